"""The proxy's HTTP connections to the hub: one pool for forwarded requests, routes and activity.

Resource handling: `HubClient` owns its aiohttp session until `close`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from proxy.errors import HubAway, Refused
from proxy.kit import request_ids

INTERNAL_HEADER = "X-Kernelhub-Internal"
CONNECT_SECONDS = 5.0
WEBSOCKET_SECONDS = 10.0
BODY_IDLE_SECONDS = 3600.0
"""A response may be silent for so long between two pieces (server-sent events)."""
ANSWER_BYTES = 8 * 1024 * 1024
_AUTOMATIC = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")

Answer = TypeVar("Answer")


class HubClient:
    """Speaks to the hub at `base_url`, such as ``http://127.0.0.1:8081``, with the internal token."""

    def __init__(self, base_url: str, internal_token: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._token = internal_token
        self._session: aiohttp.ClientSession | None = None

    def start(self) -> None:
        """Open the pool. Needs a running event loop."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, enable_cleanup_closed=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_AUTOMATIC,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=BODY_IDLE_SECONDS),
            max_line_size=64 * 1024,
            max_field_size=64 * 1024,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the pool and its connections."""
        if self._session is not None:
            await self._session.close()

    async def forward(
        self, method: str, target: str, headers: CIMultiDict[str], body: Any | None
    ) -> aiohttp.ClientResponse:
        """Send a request as it is; return when the head of the answer is there. `target` stays undecoded.

        The caller closes or releases the answer. Raises HubAway.
        """
        headers[INTERNAL_HEADER] = self._token
        url = URL(self._base_url + target, encoded=True)
        try:
            return await self._opened().request(method, url, headers=headers, data=body, allow_redirects=False)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise HubAway(f"the hub did not answer: {error}") from error

    async def ask(
        self, path: str, question: msgspec.Struct, answer: type[Answer] | Any, deadline_seconds: float
    ) -> Answer:
        """POST `question` as JSON, return the answer as a value of type `answer`. Raises HubAway."""
        try:
            async with self._opened().post(
                self._base_url + path,
                data=msgspec.json.encode(question),
                headers={
                    INTERNAL_HEADER: self._token,
                    "Content-Type": "application/json",
                    request_ids.HEADER: request_ids.current.get() or request_ids.new_request_id(),
                },
                timeout=aiohttp.ClientTimeout(total=deadline_seconds),
                allow_redirects=False,
            ) as response:
                if response.status != 200:
                    raise HubAway(f"the hub answered {response.status} to {path}")
                body = await response.content.read(ANSWER_BYTES)
                while len(body) < ANSWER_BYTES and (more := await response.content.read(ANSWER_BYTES)):
                    body += more
                return msgspec.json.decode(body, type=answer)
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.MsgspecError) as error:
            raise HubAway(f"the hub did not answer {path}: {error}") from error

    async def open_websocket(
        self, target: str, headers: CIMultiDict[str], protocols: Sequence[str], message_bytes: int
    ) -> aiohttp.ClientWebSocketResponse:
        """Open a WebSocket to the hub. The caller closes it.

        Raises Refused with the status of the hub's refusal, HubAway when there is no answer.
        """
        headers[INTERNAL_HEADER] = self._token
        url = URL(self._base_url + target, encoded=True)
        try:
            async with asyncio.timeout(WEBSOCKET_SECONDS):
                return await self._opened().ws_connect(
                    url,
                    headers=headers,
                    protocols=protocols,
                    max_msg_size=message_bytes,
                    timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
                )
        except aiohttp.WSServerHandshakeError as error:
            status = error.status if 400 <= error.status <= 599 else 502
            raise Refused(status, "hub.refused", "The hub refused this WebSocket.") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise HubAway(f"the hub did not answer: {error}") from error

    async def is_ready(self, deadline_seconds: float = 3.0) -> bool:
        """Whether the hub says that it is ready: it answers, and so does its database."""
        timeout = aiohttp.ClientTimeout(total=deadline_seconds)
        try:
            async with self._opened().get(self._base_url + "/health/ready", timeout=timeout) as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            raise HubAway("this proxy has not started, or has ended")
        return self._session
