"""Notebooks as HTML without scripts, for people who look into somebody else's files (hub.web.admin.views)."""

from __future__ import annotations

from hub.config import Settings
from hub.domain.users import User
from hub.jupyter.exports import Asked, can_give_up_root, export
from hub.jupyter.turns import Turns

WAIT_SECONDS = 30.0


class NotebookPages:
    """Two at once, one for each reader; see `hub.jupyter.exports` for what the child may do."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turns = Turns(2, 1, WAIT_SECONDS, "Too many notebooks are being opened.")

    async def __call__(self, reader: User, owner: User, title: str, notebook: bytes) -> str:
        """The notebook of `owner` for `reader`, with its scripts taken out. Raises ExportFailed, TooManyRequests."""
        uid = self._settings.base_uid + owner.number if can_give_up_root() else None
        async with self._turns.one(reader.id):
            _, data = await export(Asked("html", title, uid, sanitize=True), notebook)
        return data.decode("utf-8", "replace")
