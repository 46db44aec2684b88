"""Asking platforms over HTTP, with bounds: time, size, no redirects, and no addresses of the hub's own network.

A launch names addresses (rosters, gradebooks) that the hub then asks. The hosts that an administrator entered for the
platform may be anywhere; every other must have a public address, or a platform could make the hub ask its neighbours.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from hub.auth.lti.public_addresses import is_public
from hub.auth.oidc.errors import ProviderSilent
from hub.auth.oidc.strict_json import InvalidJson, loads_object
from hub.config.providers import is_safe_address
from hub.domain.lti import Platform
from hub.errors import PlatformSilent
from proxy.kit.lazy import lazily

if TYPE_CHECKING:
    import aiohttp

    from hub.auth.lti import public_resolver
else:
    aiohttp = lazily("aiohttp")  # most hubs have no platform
    public_resolver = lazily("hub.auth.lti.public_resolver")

SECONDS = 15.0
MAX_BYTES = 2 * 1024 * 1024
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "kernelhub"}
_NEXT = re.compile(r'<([^<>]{1,2000})>\s*;[^,<>]{0,200}\brel\s*=\s*"?next"?')


@dataclass(frozen=True, slots=True)
class Answer:
    """A platform's answer."""

    status: int
    body: bytes
    link: str
    """Its Link header, which leads to the next page."""

    def json_object(self) -> dict[str, Any]:
        """The body as an object of JSON. Raises PlatformSilent."""
        try:
            return loads_object(self.body)
        except InvalidJson as error:
            raise PlatformSilent("The learning platform's answer is not JSON as it should be.") from error

    def next_page(self, asked: str) -> str | None:
        """The next page's address, if it is at the same origin as the one that was asked (a token goes there)."""
        found = _NEXT.search(self.link)
        address = urljoin(asked, found[1]) if found else ""
        return address if address and origin_of(address) == origin_of(asked) else None


class Fetcher:
    """Connections to all platforms. Close it with `close`."""

    def __init__(self) -> None:
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def get(self, address: str, hosts: frozenset[str], headers: Mapping[str, str] | None = None) -> Answer:
        """Ask; any status is an answer. `hosts` are those that may be anywhere. Raises PlatformSilent."""
        return await self._ask("GET", address, hosts, headers or {}, None)

    async def post(self, address: str, hosts: frozenset[str], body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send; any status is an answer. Raises PlatformSilent."""
        return await self._ask("POST", address, hosts, headers, body)

    async def close(self) -> None:
        """Close the connections."""
        for session in self._sessions.values():
            await session.close()

    async def _ask(
        self, method: str, address: str, hosts: frozenset[str], headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        host = urlsplit(address).hostname if is_safe_address(address) else None
        if not host:
            raise PlatformSilent("The learning platform named an address that is not https.")
        known = host in hosts
        if not known and _is_private_number(host):
            raise PlatformSilent("The learning platform named an address in the hub's own network.")
        try:
            async with asyncio.timeout(SECONDS):
                return await self._ask_once(self._session(known), method, address, {**_HEADERS, **headers}, body)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError, ProviderSilent) as error:
            raise PlatformSilent(
                f"The learning platform at {host} does not answer ({type(error).__name__})."
            ) from error

    async def _ask_once(
        self, session: aiohttp.ClientSession, method: str, address: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        async with session.request(method, address, headers=headers, data=body, allow_redirects=False) as response:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise ProviderSilent("compressed, though that was not asked for")
            read = bytearray()
            async for piece in response.content.iter_any():
                read += piece
                if len(read) > MAX_BYTES:
                    raise ProviderSilent("too large")
            return Answer(response.status, bytes(read), ", ".join(response.headers.getall("Link", []))[:8192])

    def _session(self, known: bool) -> aiohttp.ClientSession:
        if known not in self._sessions:
            resolver = None if known else public_resolver.PublicOnly()
            self._sessions[known] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=resolver, limit=20),
                trust_env=False,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._sessions[known]


def hosts_of(platform: Platform) -> frozenset[str]:
    """The hosts that an administrator entered for a platform."""
    addresses = (platform.issuer, platform.authorize_url, platform.token_url, platform.jwks_url)
    return frozenset(host for host in (urlsplit(address).hostname for address in addresses) if host)


def origin_of(address: str) -> str:
    """Scheme, host and port of an address, "" if it is none."""
    if not is_safe_address(address):
        return ""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _is_private_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return not is_public(host)
