"""``api/kernelhub/missed``: what ran while nobody watched and found no place in its notebook. An addition."""

from __future__ import annotations

from typing import Any

from hub.domain.missed import Missed
from hub.jupyter.handler import JupyterHandler


class MissedHandler(JupyterHandler):
    """The user's missed results."""

    async def get(self, _name: str) -> None:
        """List them, newest first, and what is not in its notebook yet."""
        results = self.services.results
        missed = [_model(each) for each in await results.missed.list(self.user)]
        waiting = [{"path": each.path, "trouble": each.trouble} for each in results.waiting(self.user)]
        self.write_json({"missed": missed, "waiting": waiting})


class OneMissedHandler(JupyterHandler):
    """One of them."""

    async def get(self, _name: str, missed_id: str) -> None:
        """It as a notebook of one cell. Raises NotFound."""
        _, data = await self.services.results.missed.notebook(self.user, missed_id)
        self.write_encoded(data)

    async def delete(self, _name: str, missed_id: str) -> None:
        """Delete it. Raises NotFound."""
        await self.services.results.missed.delete(self.user, missed_id)
        self.write_nothing()


def _model(each: Missed) -> dict[str, Any]:
    return {
        "id": each.id,
        "path": each.path,
        "kernel_id": each.kernel_id,
        "code": each.code,
        "reason": each.reason,
        "ran_at": each.ran_at,
        "kept_at": each.kept_at,
        "size_bytes": each.size_bytes,
    }
