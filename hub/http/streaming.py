"""Handlers that decide about a request before its body arrives."""

from __future__ import annotations

import asyncio
import contextlib

import tornado.iostream
import tornado.web

from hub.errors import TooLarge
from hub.http.handler import Access, HubHandler

DROP_SECONDS = 30.0
"""So long is a body that is not wanted read and dropped before it is answered."""


@tornado.web.stream_request_body
class StreamingHandler(HubHandler):
    """Base of handlers that are asked before the body arrives, which comes to `data_received` in pieces.

    A refusal is answered when the body has been sent and dropped: a connection closed in the midst of it would be
    reset, and the answer lost on its way to the client.
    """

    is_dropping = False

    async def prepare(self) -> None:
        """See HubHandler."""
        try:
            await self.decide()
        except Exception:
            await self._drop_body()
            raise

    async def decide(self) -> None:
        """Whether the body is wanted. Raises HubErrors."""
        await super().prepare()

    async def _drop_body(self) -> None:
        self.is_dropping = True
        if self._prepared_future is not None and not self._prepared_future.done():
            self._prepared_future.set_result(None)  # lets tornado read on
        with contextlib.suppress(TimeoutError, tornado.iostream.StreamClosedError):
            async with asyncio.timeout(DROP_SECONDS):
                await asyncio.shield(self.request._body_future)


@tornado.web.stream_request_body
class BodyTooLarge(StreamingHandler):
    """Takes the place of a handler whose `body_limit` the request's length exceeds; keeps nothing of the body."""

    access = Access.PUBLIC

    def initialize(self, limit: int) -> None:
        """Take the limit that is exceeded."""
        self._limit = limit

    async def decide(self) -> None:
        """Refuse, whoever asks."""
        self._begin()
        raise TooLarge(f"The request's body is larger than {self._limit} bytes.")

    def data_received(self, chunk: bytes) -> None:
        """Drop it."""
