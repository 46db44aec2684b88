"""What groups may be called and what they may say of their members' containers: names and properties. Pure."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

MAX_GROUP_NAME_CHARS = 128
MAX_DISPLAY_NAME_CHARS = 200
MAX_PROPERTIES_BYTES = 16 * 1024
_NEVER = frozenset("/\\%?#!=<>\"'`")
"""What would be taken for a part of an address, or for the end of a permission's filter (``!group=<name>``)."""

LIMITS: dict[str, type] = {"memory_bytes": int, "cpus": float, "pids": int}
QUOTAS: dict[str, type] = {"containers": int, "kernels": int, "hours_per_week": float, "disk_bytes": int}


class InvalidGroup(ValueError):
    """A group cannot be called so, or its properties cannot be so; the message names the field."""


def normalise_group_name(raw: str) -> str:
    """The canonical form of a group's name: NFKC, without spaces around it, in the letters' own case.

    Raises InvalidGroup when it is empty, longer than 128 characters, begins with a dot or a dash, or holds what no
    address or permission could name: slashes, ``%?#!=<>``, quotes, anything invisible.
    """
    name = unicodedata.normalize("NFKC", raw[: MAX_GROUP_NAME_CHARS * 4]).strip()
    fits = 1 <= len(name) <= MAX_GROUP_NAME_CHARS and len(raw) <= MAX_GROUP_NAME_CHARS * 4
    if not fits or name[0] in ".-" or not name.isprintable() or _NEVER & set(name):
        raise InvalidGroup(
            f"A group's name is 1 to {MAX_GROUP_NAME_CHARS} characters, begins with no dot or dash, and holds "
            "no slashes, quotes and none of % ? # ! = < >."
        )
    return name


def normalise_display_name(raw: str) -> str:
    """What people read in place of the name; empty: the name. Raises InvalidGroup."""
    name = unicodedata.normalize("NFC", raw).strip()
    if len(name) > MAX_DISPLAY_NAME_CHARS or not name.isprintable():
        raise InvalidGroup(f"display_name is one line of at most {MAX_DISPLAY_NAME_CHARS} characters.")
    return name


def check_properties(properties: dict[str, Any]) -> dict[str, Any]:
    """A group's properties as they may be kept; other keys than the hub's three are kept for whoever wrote them.

    The hub's: `profiles` (names of what members may start), `limits` and `quotas` (numbers above zero). Raises
    InvalidGroup, naming the field and what was expected.
    """
    if len(json.dumps(properties).encode()) > MAX_PROPERTIES_BYTES:
        raise InvalidGroup(f"properties may take at most {MAX_PROPERTIES_BYTES} bytes as JSON.")
    profiles = properties.get("profiles", [])
    if not isinstance(profiles, list) or not all(isinstance(name, str) and name for name in profiles):
        raise InvalidGroup("properties.profiles must be a list of profiles' names.")
    for section, known in (("limits", LIMITS), ("quotas", QUOTAS)):
        _check_numbers(section, properties.get(section, {}), known)
    return properties


def _check_numbers(section: str, values: object, known: dict[str, type]) -> None:
    if not isinstance(values, dict):
        raise InvalidGroup(f"properties.{section} must be an object.")
    for key, value in values.items():
        if key not in known:
            raise InvalidGroup(f"properties.{section}.{str(key)[:64]} is unknown; known are {', '.join(known)}.")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (number and 0 < value < 2**53 and (known[key] is float or isinstance(value, int))):
            kind = "number" if known[key] is float else "whole number"
            raise InvalidGroup(f"properties.{section}.{key} must be a {kind} above zero, or null for no limit.")
