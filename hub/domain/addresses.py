"""Addresses of clients, as limits count them. Pure."""

from __future__ import annotations

import ipaddress


def address_key(address: str) -> str:
    """What an address counts as: an IPv6 address with its whole /64, which one household or machine has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), 64), strict=False).network_address)
