"""The hub's own static files, out of memory; there are few and they are small."""

from __future__ import annotations

import mimetypes

from hub.errors import NotFound
from hub.http.handler import Access, HubHandler
from hub.web.rendering import STATIC_FILES

_FOR_EVER = "public, max-age=31536000, immutable"


class StaticFile(HubHandler):
    """``/hub/static/<name>?v=<hash>``: kept for ever by browsers, since the hash changes with the file."""

    access = Access.PUBLIC

    def get(self, name: str) -> None:
        """Answer the file; without the right hash it is asked for again each time."""
        found = STATIC_FILES.get(name)
        if found is None:
            raise NotFound("There is nothing at this address.")
        data, version = found
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        current = self.get_query_argument("v", "") == version
        self.set_header("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)
        self.set_header("Cache-Control", _FOR_EVER if current else "no-cache")
        self.finish(data)

    async def _identify(self) -> None:
        """Who asks does not matter, and must not cost a question to the database."""
