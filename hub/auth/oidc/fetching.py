"""Asking providers over HTTP, with bounds: time, size, no redirects, no proxies of the environment, https.

A provider may be hostile, and what it announces (addresses, keys) decides what is asked next. Therefore an answer is
read up to a limit, is not decompressed (a small body could become a huge one), and leads nowhere else by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from hub.auth.oidc.errors import ProviderSilent
from hub.auth.oidc.strict_json import InvalidJson, loads_object
from hub.config.providers import is_safe_address
from proxy.kit.lazy import lazily

if TYPE_CHECKING:
    import aiohttp
else:
    aiohttp = lazily("aiohttp")  # most hubs have no provider

SECONDS = 10.0
MAX_BYTES = 512 * 1024
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "kernelhub"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A provider's answer."""

    status: int
    content_type: str
    body: bytes

    def json_object(self) -> dict[str, Any]:
        """The body as an object of JSON. Raises ProviderSilent."""
        try:
            return loads_object(self.body)
        except InvalidJson as error:
            raise ProviderSilent(f"status {self.status}, {error}") from error

    def json_list(self) -> list[Any]:
        """The body as a list of JSON. Raises ProviderSilent."""
        try:
            return msgspec.json.decode(self.body, type=list[Any])
        except (msgspec.DecodeError, RecursionError) as error:
            raise ProviderSilent(f"status {self.status}, not a list of JSON") from error


class Fetcher:
    """One pool of connections to all providers. Close it with `close`."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def get(self, address: str, bearer: str | None = None) -> Answer:
        """Ask; any status is an answer. Raises ProviderSilent."""
        headers = {"Authorization": f"Bearer {bearer}"} if bearer is not None else {}
        return await self._ask("GET", address, headers, None)

    async def post_form(self, address: str, body: str, headers: Mapping[str, str]) -> Answer:
        """Send a form that is encoded already. Raises ProviderSilent."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self._ask("POST", address, {**form, **headers}, body.encode())

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _ask(self, method: str, address: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        if not is_safe_address(address):
            raise ProviderSilent("an address that is not https")
        try:
            async with asyncio.timeout(SECONDS):
                return await self._ask_once(method, address, {**_HEADERS, **headers}, body)
        except TimeoutError as error:
            raise ProviderSilent(f"no answer within {SECONDS:.0f} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ProviderSilent(f"no answer: {type(error).__name__}") from error

    async def _ask_once(self, method: str, address: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                trust_env=False, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar(), max_line_size=16_384
            )
        async with self._session.request(
            method, address, headers=headers, data=body, allow_redirects=False
        ) as response:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise ProviderSilent("an answer that is compressed, though that was not asked for")
            read = bytearray()
            async for piece in response.content.iter_any():
                read += piece
                if len(read) > MAX_BYTES:
                    raise ProviderSilent(f"an answer of more than {MAX_BYTES} bytes")
            return Answer(response.status, response.content_type, bytes(read))
