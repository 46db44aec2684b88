"""Which addresses are those of the public internet."""

from __future__ import annotations

import ipaddress


def is_public(number: str) -> bool:
    """Whether an IP address is one of the public internet."""
    try:
        return ipaddress.ip_address(number.partition("%")[0]).is_global
    except ValueError:
        return False
