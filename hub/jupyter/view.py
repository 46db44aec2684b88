"""``view/<path>``: a file as a page, in a frame that has no rights here."""

from __future__ import annotations

from html import escape

from hub.errors import NotFound
from hub.jupyter.front_page import FrontEndPage

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
_STYLE = "html, body { height: 100%; margin: 0; overflow: hidden } iframe { width: 100%; height: 100%; border: 0 }"


class ViewHandler(FrontEndPage):
    """The page around the frame; the file itself comes from ``files/``, which the same sandbox holds."""

    def content_security_policy(self) -> str:
        """No script at all; the frame may be shown."""
        return _POLICY

    async def get(self, _name: str, path: str) -> None:
        """The page. Raises NotFound unless there is such a file."""
        path = path.strip("/")
        if await self.contents.find_type(path) != "file":
            raise NotFound(f"There is no file {path[:200]!r} in your home.")
        title, address = escape(path.rsplit("/", 1)[-1]), escape(self.url("files/" + path))
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f"<style>{_STYLE}</style></head>"
            f'<body><iframe title="{title}" sandbox="allow-scripts" src="{address}"></iframe></body></html>'
        )
