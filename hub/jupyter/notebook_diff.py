"""``api/kernelhub/diff``: how a notebook changed since its checkpoint, as JSON (the page: `hub.web.notebook_diff`)."""

from __future__ import annotations

from hub.jupyter.handler import JupyterHandler


class NotebookDiffHandler(JupyterHandler):
    """The comparison of two versions of one notebook."""

    async def get(self, _name: str) -> None:
        """``?path=`` names it; ``from`` and ``to`` are ``checkpoint`` or ``file``, by default in this order."""
        path = self.query("path").strip("/")
        old, new = self.query("from", "checkpoint"), self.query("to", "file")
        comparison = await self.contents.compare(path, old, new)
        self.write_json({"path": path, "from": old, "to": new, "comparison": comparison})
