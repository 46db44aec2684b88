"""Reads what a front end's page says to the browser."""

from __future__ import annotations

import json
import re
from typing import Any


def config_of(page: bytes) -> dict[str, Any]:
    """The page's configuration, as JupyterLab and Notebook 7 read it."""
    match = re.search(rb'<script id="jupyter-config-data" type="application/json">(.*?)</script>', page, re.S)
    assert match is not None
    config: dict[str, Any] = json.loads(match[1])
    return config


def directives(policy: str) -> dict[str, str]:
    """A content security policy's directives, name to value."""
    return dict(part.split(" ", 1) for part in policy.split("; "))
