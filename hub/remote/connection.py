"""A connection to a hub from outside: its address, a token, requests and WebSockets, and errors as sentences.

    async with connect("https://hub.example.org/user/ada/?token=…") as hub:
        kernels = await hub.get("api/kernels")

Paths are below ``/user/<name>/``. What goes wrong is raised as an error of `hub.errors` whose message can be shown
as it is: Unavailable (nobody answers, TLS), NotSignedIn (the token), Forbidden, NotFound, BadRequest, HubError.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec

from hub.errors import BadRequest, NotSignedIn, TooLarge
from hub.remote.address import HubAddress, parse_address
from hub.remote.refusals import explained, message_in, refusal

REQUEST_SECONDS = 120.0
"""Deadline of a request: starting the first kernel of an image may take a minute."""
CONNECT_SECONDS = 15.0
ANSWER_BYTES = 64 * 1024 * 1024
"""Largest answer that is read."""
_WITHOUT_BODY = frozenset({204, 304})


class RemoteHub:
    """A hub, as one user with a token reaches it. Made by `connect`, which closes it."""

    def __init__(self, http: aiohttp.ClientSession, address: HubAddress, token: str) -> None:
        self._http = http
        self._address = address
        self.token = token

    @property
    def root(self) -> str:
        """The hub's address, without a slash at the end."""
        return self._address.root

    @property
    def name(self) -> str:
        """The user's name."""
        return self._address.name or ""

    @property
    def user_url(self) -> str:
        """``https://hub/user/<name>/``."""
        return self._address.user_url

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """GET `path` below the user's address; the answer's JSON, or None without a body."""
        return await self.request("GET", path, query=query)

    async def post(self, path: str, body: Any = None) -> Any:
        """POST JSON to `path` below the user's address; the answer's JSON, or None without a body."""
        return await self.request("POST", path, body)

    async def delete(self, path: str) -> None:
        """DELETE `path` below the user's address."""
        await self.request("DELETE", path)

    async def request(self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None) -> Any:
        """A request below the user's address; the answer's JSON, or None without a body.

        `path` is quoted here; a leading slash makes no difference. Raises as the module says.
        """
        url = self.user_url + quote(path.lstrip("/"), safe="/:@,+")
        return await _json_of(self._http, method, url, body, query)

    @asynccontextmanager
    async def websocket(
        self, path: str, query: Mapping[str, str] | None = None, protocols: tuple[str, ...] = ()
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a WebSocket below the user's address and close it at the end. Messages may be of any size.

        Raises as the module says where the upgrade is refused.
        """
        url = self.user_url + quote(path.lstrip("/"), safe="/:@,+")
        with explained(url):
            socket = await self._http.ws_connect(
                url, params=query, protocols=protocols, max_msg_size=0, heartbeat=30.0, autoping=True
            )
        async with socket:
            yield socket


@asynccontextmanager
async def connect(url: str, token: str | None = None) -> AsyncIterator[RemoteHub]:
    """Reach the hub at `url`, as the user whom the address names, or whose token it is.

    `token` beats the one in the address. Nothing is asked of the hub where the address names the user. Raises
    BadRequest for a poor address, NotSignedIn without a token, and as the module says.
    """
    address = parse_address(url)
    secret = (token or address.token or "").strip()
    if not secret:
        raise NotSignedIn(
            f"A token is needed. Make one at {address.root}/hub/token and give it by --token or KERNELHUB_TOKEN."
        )
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise NotSignedIn("The token has characters that no token has; copy it once more.")
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=CONNECT_SECONDS)
    headers = {"Authorization": f"token {secret}", "User-Agent": "kernelhub"}
    async with aiohttp.ClientSession(
        headers=headers, timeout=timeout, proxy=_web_proxy(address.root), cookie_jar=aiohttp.DummyCookieJar()
    ) as http:
        if address.name is None:
            model = await _json_of(http, "GET", f"{address.root}/hub/api/user")
            if not isinstance(model, dict) or not isinstance(model.get("name"), str):
                raise BadRequest(f"{address.root} does not answer as a hub does; check the address.")
            address = HubAddress(address.root, model["name"])
        yield RemoteHub(http, address, secret)


async def _json_of(
    http: aiohttp.ClientSession, method: str, url: str, body: Any = None, query: Mapping[str, str] | None = None
) -> Any:
    with explained(url):
        async with http.request(method, url, json=body, params=query, allow_redirects=False) as answer:
            data = await answer.content.read(ANSWER_BYTES + 1)
            while len(data) <= ANSWER_BYTES and (more := await answer.content.readany()):
                data += more
    if len(data) > ANSWER_BYTES:
        raise TooLarge("The hub's answer is larger than this program reads.")
    try:
        found = msgspec.json.decode(data) if data and answer.status not in _WITHOUT_BODY else None
    except msgspec.DecodeError as error:
        if answer.status < 300:
            raise BadRequest(f"{urlsplit(url).netloc} does not answer as a hub does; check the address.") from error
        found = None
    if answer.status < 300:
        return found
    raise refusal(answer.status, message_in(found), urlsplit(url).netloc)


def _web_proxy(root: str) -> str | None:
    """The proxy that the environment names for this address; aiohttp's own way would read ~/.netrc as well."""
    parts = urlsplit(root)
    if proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)
