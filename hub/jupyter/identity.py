"""What users choose of how others see them: the colour of their cursor and badge. Pure apart from the folder."""

from __future__ import annotations

import re
from typing import Any

from hub.errors import BadRequest
from hub.jupyter.json_folder import JsonFolder

UPDATABLE = ["color"]
"""Names are the administrators'."""

_KEY = "identity"
_COLOUR = re.compile(r"(?:#[0-9A-Fa-f]{3,8}|[A-Za-z]{1,32}|var\(--[A-Za-z0-9-]{1,64}\))\Z")
"""``#rrggbb``, a name, or one of the front end's own variables: what may stand in a style and do nothing else."""


def chosen_colour(folder: JsonFolder) -> str | None:
    """The colour that the user chose, None if none."""
    stored = folder.find(_KEY)
    colour = stored.value.get("color") if stored is not None and isinstance(stored.value, dict) else None
    return colour if isinstance(colour, str) and _COLOUR.match(colour) else None


def save_identity(folder: JsonFolder, changes: dict[str, Any]) -> str:
    """Keep a choice and give the colour. Raises BadRequest for other fields, and for what is no colour."""
    unknown = sorted(set(changes) - set(UPDATABLE))
    if unknown:
        raise BadRequest(f"{unknown[0][:40]!r} cannot be changed here: names are the administrators' of this hub.")
    colour = changes.get("color")
    if not isinstance(colour, str) or not _COLOUR.match(colour):
        raise BadRequest("Give color as #rrggbb or as the name of a colour.")
    folder.save(_KEY, {"color": colour})
    return colour
