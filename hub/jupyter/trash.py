"""``api/kernelhub/trash``: what the user deleted, for programs; people have ``/hub/home/trash``."""

from __future__ import annotations

import msgspec

from hub.jupyter.handler import JupyterHandler


class Restore(msgspec.Struct, frozen=True):
    """The body of a restore: the item's `id` as listed."""

    id: str


class TrashHandler(JupyterHandler):
    """The whole trash."""

    async def get(self, _name: str) -> None:
        """List it: ``{"items": [{id, name, folder, deleted_at, is_folder, size_bytes}], "more": 0}``."""
        self.write_json(await self.contents.trash.list())

    async def post(self, _name: str) -> None:
        """Bring one item back; answers with its path."""
        path = await self.contents.trash.restore(self.body(Restore).id)
        self.frontends.events.contents(self.user.id, "create", path)
        self.write_json({"path": path})

    async def delete(self, _name: str) -> None:
        """Delete one item (``?id=``) or, without an id, everything, for good."""
        item = self.query("id")
        if item:
            await self.contents.trash.delete(item)
        else:
            await self.contents.trash.empty()
        self.write_nothing()
