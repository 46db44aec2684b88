"""``api/events``: the sockets on which tabs hear of what happens, and what tabs announce themselves."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import tornado.websocket

from hub.auth.identity import Credential
from hub.domain.ids import PrincipalId, SignInId, TokenId
from hub.domain.scopes import Scope
from hub.errors import BadRequest, TooManyRequests
from hub.http.cors import check_socket_origin
from hub.http.services import Services
from hub.jupyter.handler import JupyterHandler
from proxy.contract.close_codes import CloseCode

MAX_UNSENT = 64
MAX_MESSAGE_BYTES = 4096
PING_SECONDS = 30.0
_FIELDS = ("schema_id", "version", "data")


async def live_principals(services: Services, held: set[PrincipalId]) -> set[str]:
    """Those of the sign-ins and tokens that have not ended."""
    sign_ins = await services.sign_ins.live({SignInId(principal) for principal in held})
    return {*sign_ins, *await services.tokens.live({TokenId(principal) for principal in held})}


class EventsHandler(JupyterHandler):
    """``POST api/events``: a front end announces something to the user's other tabs."""

    def post(self, _name: str) -> None:
        """Pass it on."""
        body = self.json_body()
        missing = [field for field in _FIELDS if body is None or field not in body]
        if missing or body is None:
            raise BadRequest(f"Missing `{missing[0]}` in the JSON request body.")
        schema_id, data = body["schema_id"], body["data"]
        if not isinstance(schema_id, str) or not isinstance(data, dict):
            raise BadRequest("schema_id must be text and data an object.")
        self.frontends.events.publish(self.user.id, schema_id, data)
        self.write_nothing()


class EventsSocket(JupyterHandler, tornado.websocket.WebSocketHandler):
    """``api/events/subscribe``: JSON objects with ``schema_id``, one per event; what clients send is ignored."""

    page: ClassVar[bool | None] = False
    permission: ClassVar[Scope | Mapping[str, Scope] | None] = Scope.JUPYTER
    principal: PrincipalId
    _unsent = 0

    @property
    def ping_interval(self) -> float:
        """So that what lies between does not take the socket for dead."""
        return PING_SECONDS

    @property
    def max_message_size(self) -> int:
        """Clients have nothing to say here."""
        return MAX_MESSAGE_BYTES

    def check_meant(self) -> None:
        """A browser's upgrade must say that it comes from a page of ours (cross-site WebSocket hijacking)."""
        origin, host = self.request.headers.get("Origin"), self.request.headers.get("Host", "")
        by_token = self.identity.credential is Credential.TOKEN
        check_socket_origin(origin, host, by_token, self.services.settings.allowed_origins)

    def token_in_address(self) -> str | None:
        """Pages cannot send an Authorization header with a WebSocket."""
        return self.get_query_argument("token", None)

    def check_origin(self, origin: str) -> bool:
        """True: `check_meant` has decided."""
        return True

    def open(self, *_args: str, **_kwargs: str) -> None:
        """Listen."""
        self.principal = self.identity.principal
        self.frontends.watch_events(functools.partial(live_principals, self.services))
        try:
            self.frontends.events.join(self.user.id, self)
        except TooManyRequests as error:
            self.close(CloseCode.TRY_AGAIN_LATER, error.message)

    def on_message(self, message: str | bytes) -> None:
        """Ignore it."""

    def on_close(self) -> None:
        """Listen no more."""
        if self.found_identity is not None:
            self.frontends.events.leave(self.user.id, self)

    def tell(self, event: bytes) -> None:
        """See hub.jupyter.announcements."""
        if self._unsent >= MAX_UNSENT:
            return
        try:
            writing = asyncio.ensure_future(self.write_message(event.decode()))
        except tornado.websocket.WebSocketClosedError:
            return
        self._unsent += 1
        writing.add_done_callback(self._sent)

    def end(self) -> None:
        """See hub.jupyter.announcements."""
        self.close(CloseCode.SIGNED_OUT, "signed out")

    def _sent(self, writing: asyncio.Future[Any]) -> None:
        self._unsent -= 1
        if not writing.cancelled():
            writing.exception()  # a tab that went away
