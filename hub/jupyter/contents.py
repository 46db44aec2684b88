"""``api/contents``: files, folders, notebooks and their checkpoints."""

from __future__ import annotations

import asyncio
import posixpath
from contextlib import AsyncExitStack
from typing import Any, cast

import msgspec
from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError

from hub.config import Settings
from hub.contents.models import TYPES, Model, SaveRequest
from hub.contents.raw import RawFile
from hub.errors import BadRequest, NotFound, TooManyRequests
from hub.http.handler import JSON_TYPE
from hub.http.held_bytes import HeldBytes
from hub.jupyter.handler import JupyterHandler, LargeBodyHandler
from hub.jupyter.kernels import kernel_in_path
from hub.workspaces.profiles import profiles_of, within_home

ON_THEIR_WAY_BYTES = 1024**3
"""So much large content of one user's may lie on the hub's disk until it has been sent; twice that of everybody's."""
STALLED_SECONDS = 60.0
_on_their_way = HeldBytes()
_PLACE = b'"the content stands here, in place of \\u0000 which no name has"'


class _ContentsHandler(JupyterHandler):
    def location(self, path: str) -> str:
        """The address of a file's model."""
        return self.url("api/contents", path)

    def write_model(self, model: Model, status: int = 200, location: bool = True) -> None:
        """Answer with a model and the headers that belong to it."""
        if location:
            self.set_header("Location", self.location(model.path))
        self.set_header("Last-Modified", model.last_modified)
        self.write_encoded(msgspec.json.encode(model), status)

    def announce(self, action: str, path: str, source_path: str | None = None) -> None:
        """Tell the user's other tabs."""
        self.frontends.events.contents(self.user.id, action, path, source_path)


class ContentsHandler(LargeBodyHandler, _ContentsHandler):
    """One file or folder."""

    spools = True

    @classmethod
    def body_limit(cls, settings: Settings) -> int:
        """Uploads come as one JSON body, or as chunks of it."""
        return settings.max_upload_bytes

    async def get(self, _name: str, path: str) -> None:
        """The model of a file or folder, with or without content and hash."""
        asked_type = self.query("type") or None
        asked_format = self.query("format") or None
        if asked_format not in {None, "text", "base64"}:
            raise BadRequest(f"Format {str(asked_format)[:40]!r} is invalid")
        content, hash = self.flag("content", "1"), self.flag("hash", "0")
        kind = asked_type if asked_type is None or asked_type in TYPES else "file"
        async with AsyncExitStack() as stack:
            amend = None
            if content and kind in (None, "notebook"):
                opening = self.services.results.opening(self.user, path.strip("/"))
                amend = await stack.enter_async_context(opening)
            model, large = await self.contents.stream(
                path.strip("/"), type=kind, format=asked_format, content=content, hash=hash, amend=amend
            )
        if large is None:
            self.write_model(model, location=False)
            return
        async with large:
            if not _on_their_way.take(self.user.id, large.size_bytes, ON_THEIR_WAY_BYTES):
                raise TooManyRequests("You are opening too many large files at once; wait until they have arrived.", 5)
            try:
                await self._write_large(model, large)
            finally:
                _on_their_way.give_back(self.user.id, large.size_bytes)

    async def _write_large(self, model: Model, content: RawFile) -> None:
        """Answer with content that is in a file: it is sent in pieces, between the parts of the model.

        A client that takes no piece for a minute is left: what it waits for lies on the hub's disk.
        """
        model.content = msgspec.Raw(_PLACE)
        head, _, tail = msgspec.json.encode(model).partition(_PLACE)
        self.set_header("Content-Type", JSON_TYPE)
        self.set_header("Last-Modified", model.last_modified)
        self.set_header("Content-Length", str(len(head) + content.size_bytes + len(tail)))
        if self.request.method == "HEAD":
            return
        self.write(head)
        async for piece in content.chunks():
            self.write(piece)
            try:
                async with asyncio.timeout(STALLED_SECONDS):
                    await self.flush()
            except TimeoutError as error:
                cast(HTTP1Connection, self.request.connection).close()
                raise StreamClosedError from error
        self.write(tail)

    async def post(self, _name: str, path: str) -> None:
        """Make something new in a folder, under a name that the hub chooses; or a copy."""
        folder = path.strip("/")
        body = self.json_body() or {}
        if await self.contents.find_type(folder) == "file":
            raise BadRequest("Cannot POST to files, use PUT instead.")
        if copy_from := _text(body, "copy_from"):
            model = await self.contents.copy(copy_from.strip("/"), folder)
            self.announce("copy", model.path, copy_from.strip("/"))
        else:
            wanted = _text(body, "type")
            kind = wanted if wanted in TYPES or not wanted else "file"
            model = await self.contents.new_untitled(folder, kind, _text(body, "ext"))
            self.announce("create", model.path)
        self.write_model(model, 201)

    async def put(self, _name: str, path: str) -> None:
        """Write a file, notebook or folder under a name that the client chooses."""
        large = await self.large_body()
        if large is not None:
            saved = await self.contents.save_large(path.strip("/"), large)
        else:
            asked = self.body(SaveRequest)
            if asked.copy_from:
                raise BadRequest("Cannot copy with PUT, only POST")
            if asked.type is not None and asked.type not in TYPES:
                asked.type = "file"
            saved = await self.contents.save(path.strip("/"), asked)
        if saved.model.type == "notebook":
            await self.services.results.saved(self.user, path.strip("/"), self.request.request_time())
        self.announce("save", saved.model.path)
        self.write_model(saved.model, 201 if saved.created else 200)

    async def patch(self, _name: str, path: str) -> None:
        """Rename or move."""
        body = self.json_body()
        if body is None:
            raise BadRequest("JSON body missing")
        new_path = _text(body, "path").strip("/") or path.strip("/")
        model = await self.contents.rename(path.strip("/"), new_path)
        await self.services.results.renamed(self.user, path.strip("/"), model.path)
        self.announce("rename", model.path, path.strip("/"))
        self.write_model(model)

    async def delete(self, _name: str, path: str) -> None:
        """Delete a file or an empty folder."""
        await self.contents.delete(path.strip("/"))
        self.announce("delete", path.strip("/"))
        self.write_nothing()


class CheckpointsHandler(_ContentsHandler):
    """The checkpoints of a file."""

    async def get(self, _name: str, path: str) -> None:
        """List them."""
        self.write_json(await self.contents.list_checkpoints(path.strip("/")))

    async def post(self, _name: str, path: str) -> None:
        """Make one of the file as it is now."""
        checkpoint = await self.contents.create_checkpoint(path.strip("/"))
        self.set_header("Location", self.url("api/contents", path.strip("/"), "checkpoints", checkpoint.id))
        self.write_json(checkpoint, 201)


class CheckpointHandler(JupyterHandler):
    """One checkpoint."""

    async def post(self, _name: str, path: str, checkpoint_id: str) -> None:
        """Make the file what it was."""
        await self.contents.restore_checkpoint(path.strip("/"), checkpoint_id)
        await self.services.results.saved(self.user, path.strip("/"))
        self.write_nothing()

    async def delete(self, _name: str, path: str, checkpoint_id: str) -> None:
        """Forget it."""
        await self.contents.delete_checkpoint(path.strip("/"), checkpoint_id)
        self.write_nothing()


class TrustHandler(JupyterHandler):
    """Whether the outputs of a notebook may run scripts in the page."""

    async def post(self, _name: str, path: str) -> None:
        """Trust it as it is now."""
        await self.contents.trust(path.strip("/"))
        self.write_nothing(201)


class ResolvePathHandler(JupyterHandler):
    """``api/resolvePath``: which file of the contents a path in a traceback means."""

    async def get(self, _name: str) -> None:
        """Paths in the container's home, absolute or with ``~``, and paths relative to it, that exist."""
        path = self.query("path")
        relative = within_home(profiles_of(self.services.running, self.user), path)
        if relative is None and not path.startswith(("/", "~")):
            relative = path
        normal = posixpath.normpath(relative) if relative else relative
        found = normal is not None and await self._exists(normal)
        resolved = [{"scope": "server", "path": normal}] if found else []
        kernel = self.query("kernel")
        unresolved = [await self._why_not_in(kernel)] if kernel else []
        self.write_json({"resolved": resolved, "unresolved": unresolved})

    async def _why_not_in(self, kernel: str) -> dict[str, str]:
        """Kernels are not asked: their folders are the user's home, where the path was looked for."""
        try:
            await self.services.kernels.get(self.user, kernel_in_path(kernel))
        except NotFound:
            return {"scope": "kernel", "reason": f"Kernel {kernel[:64]} could not be found"}
        return {"scope": "kernel", "reason": "This hub does not ask kernels for paths"}

    async def _exists(self, path: str) -> bool:
        try:
            return await self.contents.exists(path)
        except (BadRequest, NotFound):
            return False


def _text(body: dict[str, Any], field: str) -> str:
    value = body.get(field)
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"{field} must be text.")
    return value or ""
