"""Sizes in words, the same wherever people meet them."""

from __future__ import annotations


def size(value: int) -> str:
    """A number of bytes as people read it: ``3.4 MB``. Steps are of 1,024, as limits of memory and forms mean them."""
    if value < 1024:
        return f"{value} bytes" if value != 1 else "1 byte"
    shown = float(value)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        shown /= 1024
        if shown < 999.5 or unit == "PB":
            break
    return f"{shown:.1f} {unit}".replace(".0 ", " ") if shown < 9.95 else f"{shown:.0f} {unit}"
