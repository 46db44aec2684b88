"""The base of the Jupyter handlers: who the user is, and how Jupyter's clients want their answers."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, ClassVar, TypeVar, cast
from urllib.parse import quote

import tornado.web

from hub.contents.large import LARGE_BYTES, ScratchFile
from hub.contents.service import Contents
from hub.contents.spool import Spool
from hub.domain.users import User
from hub.errors import BadRequest, HubError, NotFound, TooLarge, TooManyRequests
from hub.http.handler import JSON_TYPE
from hub.http.held_bytes import HeldBytes
from hub.http.streaming import StreamingHandler
from hub.http.user_handler import UserHandler
from hub.jupyter.frontends import FrontEnds

MAX_QUERY_CHARS = 4096
_STEP_BYTES = 1024**2
T = TypeVar("T")


class JupyterHandler(UserHandler):
    """Base of the handlers under ``/user/<name>/``; that the user is ``<name>`` has been checked."""

    @property
    def user(self) -> User:
        """The signed-in user, whose name is in the path."""
        return self.identity.user

    @property
    def contents(self) -> Contents:
        """The user's files."""
        return self.services.contents.of(self.user)

    @property
    def frontends(self) -> FrontEnds:
        """The installed front ends."""
        return self.services.frontends

    def url(self, *parts: str) -> str:
        """The address of something under the user's base, each part percent-encoded except its slashes."""
        return self.base_url + "/".join(quote(part, safe="/@+") for part in parts)

    def query(self, name: str, default: str = "") -> str:
        """A parameter of the query. Raises BadRequest when it is not UTF-8 or very long."""
        value = self.get_query_argument(name, default)
        if len(value) > MAX_QUERY_CHARS:
            raise BadRequest(f"The parameter {name!r} is too long.")
        return value

    def flag(self, name: str, default: str) -> bool:
        """A parameter that is 0 or 1. Raises BadRequest for anything else."""
        value = self.query(name, default)
        if value not in {"0", "1"}:
            raise BadRequest(f"{name.capitalize()} {value[:40]!r} is invalid: it must be 0 or 1.")
        return value == "1"

    def json_body(self) -> dict[str, Any] | None:
        """The body as an object, None when there is none. Raises BadRequest."""
        sent = self.request.body
        is_empty = len(sent) < 64 and bytes(sent).strip() in {b"", b"null"}
        return None if is_empty else self.body(dict[str, Any])

    def write_encoded(self, data: bytes, status: int = 200) -> None:
        """Answer with JSON that is bytes already."""
        self.set_status(status)
        self.set_header("Content-Type", JSON_TYPE)
        self.finish(data)

    def write_nothing(self, status: int = 204) -> None:
        """Answer without a body."""
        self.set_status(status)
        self.clear_header("Content-Type")
        self.finish()


@tornado.web.stream_request_body
class LargeBodyHandler(StreamingHandler, JupyterHandler):
    """Base of handlers that take large bodies.

    Who sends one is known, and may, before its first byte is kept (the form token must be a header); and one
    user's bodies together are bounded, as are everybody's (hub.http.held_bytes). With `spools`, no more of one than
    `LARGE_BYTES` is in memory: the rest goes to a file while it arrives.
    """

    spools: ClassVar[bool] = False
    _count = 0
    _refusal: HubError | None = None
    _spool: Spool | None = None

    def initialize(self) -> None:
        """Nothing is received yet."""
        self._received = bytearray()

    @property
    def _held(self) -> HeldBytes:
        held: HeldBytes = self.application.settings["held_bytes"]
        return held

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Keep a piece, unless there is too much already; the next is read when what is given here is done."""
        if self.is_dropping or self.found_identity is None or self._refusal is not None:
            return None  # refused, or OPTIONS, for which nobody has to be anybody
        if not self._held.take(self.user.id, len(chunk), self.body_limit(self.services.settings)):
            self._refuse(TooManyRequests("You are sending too much at once; try again when the rest has arrived.", 5))
            return None
        self._count += len(chunk)
        self._received += chunk
        if self.spools and len(self._received) >= (LARGE_BYTES if self._spool is None else _STEP_BYTES):
            return self._write_out()
        return None

    async def large_body(self) -> ScratchFile | None:
        """The file with a body that was too large for memory; None for others. Raises what it was refused with."""
        if self._refusal is not None:
            raise self._refusal
        if self._spool is None:
            return None
        last, self._received = self._received, bytearray()
        return await self._spool.add(last)

    async def _write_out(self) -> None:
        piece, self._received = self._received, bytearray()
        self._spool = self._spool or self.contents.spool()
        try:
            await self._spool.add(piece)
        except HubError as error:
            self._refuse(error)

    def _refuse(self, error: HubError) -> None:
        self._refusal = error
        self._let_go()

    def body(self, shape: type[T]) -> T:
        """See HubHandler. Raises TooManyRequests when the body was not kept."""
        self._take_body()
        return super().body(shape)

    def json_body(self) -> dict[str, Any] | None:
        """See JupyterHandler. Raises TooManyRequests when the body was not kept."""
        self._take_body()
        return super().json_body()

    def on_finish(self) -> None:
        """Hold nothing any more."""
        self._let_go()

    def on_connection_close(self) -> None:
        """Hold nothing any more."""
        super().on_connection_close()
        self._let_go()

    def _take_body(self) -> None:
        if self._refusal is not None:
            raise self._refusal
        if self._spool is not None:
            raise TooLarge("The request's body is larger than what is asked here needs.")
        self.request.body = cast(bytes, self._received)

    def _let_go(self) -> None:
        if self._count:
            self._held.give_back(self.user.id, self._count)
        self._count = 0
        self._received = bytearray()
        self._spool = None


class NoSuchApi(JupyterHandler):
    """What this hub does not offer under a user's address: answered 404 as JSON, whatever the method."""

    page: ClassVar[bool | None] = False

    async def prepare(self) -> None:
        """Say so, once it is known that the asker is the user."""
        await super().prepare()
        raise NotFound("This hub does not offer this.")
