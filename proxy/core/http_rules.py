"""Rules for HTTP requests and headers that need no I/O: what is refused at the door, what is passed on.

Sources: RFC 9112 6.3 and 11.2 (request smuggling), RFC 9110 7.6.1 (hop-by-hop fields), SECURITY 1.4 and 1.6.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from proxy.errors import Refused

Fields = Iterable[tuple[str, str]]

_HOP_BY_HOP = (
    "connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer "
    "transfer-encoding upgrade http2-settings"
)
HOP_BY_HOP = frozenset(_HOP_BY_HOP.split())
_SPOOFABLE = (
    "forwarded x-real-ip x-client-ip client-ip true-client-ip cf-connecting-ip remote-user x-original-url "
    "x-original-uri x-rewrite-url x-http-method x-http-method-override x-method-override x-scheme "
    "x-script-name x-url-scheme front-end-https via"
)
SPOOFABLE = frozenset(_SPOOFABLE.split())
SPOOFABLE_PREFIXES = ("x-forwarded-", "x-kernelhub-", "x-remote-", "x-accel-", "x-envoy-", "x-sendfile")
STRICT_SEGMENTS = 3
"""In so many first segments of a path nothing may be encoded that could move a border between segments."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_HIDDEN = ("/internal", "/metrics")


class Heads(NamedTuple):
    """The fields of a request as they came, names in any case, in order."""

    method: str
    version: str
    target: str
    fields: Sequence[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        """All values of a field, `name` in lower case."""
        return [value for found, value in self.fields if found.lower() == name]


def check_request(head: Heads) -> None:
    """Raise Refused when a request is ambiguous, malformed, or for a path that is not public."""
    check_framing(head)
    check_path(head.target.partition("?")[0])


def check_framing(head: Heads) -> None:
    """Raise Refused(400) unless there is exactly one way to tell where this request ends."""
    lengths, codings = head.all("content-length"), head.all("transfer-encoding")
    if lengths and (len(lengths) > 1 or not (lengths[0].isascii() and lengths[0].isdigit())):
        raise _bad("http.content_length", "The request has no single, whole Content-Length.")
    if lengths and len(lengths[0]) > 18:
        raise _bad("http.content_length", "The request's Content-Length is too large.")
    if codings and (lengths or len(codings) > 1 or codings[0].lower() != "chunked" or head.version == "HTTP/1.0"):
        raise _bad("http.transfer_encoding", "The request's Transfer-Encoding is not one this server reads.")
    hosts = head.all("host")
    if len(hosts) > 1 or (not hosts and head.version != "HTTP/1.0"):
        raise _bad("http.host", "The request has no single Host.")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise _bad("http.host", "The request's Host is not a host name.")
    for name, value in head.fields:
        if not _TOKEN.fullmatch(name) or _CONTROL.search(value.replace("\t", "")):
            raise _bad("http.field", "A header of the request is malformed.")


def check_path(path: str) -> None:
    """Raise Refused for a path that parts of the system could read differently, or that is not public."""
    if not path.startswith("/") or _CONTROL.search(path) or "\\" in path or "#" in path:
        raise _bad("http.path", "The request's path is malformed.")
    segments = path.split("/")[1:]
    if path != "/" and not segments[0]:
        raise _bad("http.path", "The request's path begins with an empty segment.")
    for place, segment in enumerate(segments):
        plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), segment)
        if plain in (".", "..") or "\x00" in plain:
            raise _bad("http.path", "The request's path has dot segments or NUL in it.")
        if place < STRICT_SEGMENTS and ("/" in plain or "\\" in plain):
            raise _bad("http.path", "The request's path has encoded slashes where none may be.")
        if place == 0 and ("/" + plain.lower()) in _HIDDEN:
            raise Refused(404, "http.not_found", "There is nothing here.")


def encode_target(target: str) -> str:
    """The request target with raw non-ASCII bytes percent-encoded; everything else stays as it is."""
    if target.isascii():
        return target
    return "".join(c if c.isascii() else f"%{ord(c):02X}" for c in target)


def request_fields(fields: Fields, vouched: Fields = ()) -> list[tuple[str, str]]:
    """The client's fields that may go on to the hub: not hop-by-hop, not what only a proxy may say.

    `vouched`: what a gateway says about who this is (`Vouching.said`), which goes on all the same.
    """
    kept = [*((name, value) for name, value in fields if not _is_spoofable(name)), *vouched]
    return [(name, _from_latin(value)) for name, value in end_to_end(kept) if name.lower() != "expect"]


def end_to_end(fields: Fields) -> list[tuple[str, str]]:
    """`fields` without the hop-by-hop ones, those that ``Connection`` names included."""
    found = list(fields)
    named = {
        token.strip().lower() for name, value in found if name.lower() == "connection" for token in value.split(",")
    } - {"host", "content-length"}  # never hop-by-hop, whatever a client says
    return [(n, v) for n, v in found if n.lower() not in HOP_BY_HOP and n.lower() not in named]


def response_fields(fields: Fields) -> list[tuple[str, str]]:
    """The hub's fields that go back to the client; the name of the server software is nobody's business."""
    return [(name, value) for name, value in end_to_end(fields) if name.lower() != "server"]


class Gateways:
    """The addresses whose forwarding headers are believed, as addresses or networks. Raises ValueError."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(entry, strict=False) for entry in trusted]

    def trusts(self, address: str) -> bool:
        """Whether `address` is one of them."""
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(ip.version == network.version and ip in network for network in self._networks)

    def client(self, peer: str, scheme: str, head: Heads) -> tuple[str, str]:
        """The client's address and scheme: the peer's own words count only where the peer is trusted.

        Of ``X-Forwarded-For`` the last address counts that is not itself a trusted gateway's.
        """
        if not self.trusts(peer):
            return peer, scheme
        address = peer
        for entry in reversed(",".join(head.all("x-forwarded-for")).split(",")):
            try:
                address = str(ipaddress.ip_address(entry.strip()))
            except ValueError:
                break
            if not self.trusts(address):
                break
        told = head.all("x-forwarded-proto")
        if told and told[-1].strip().lower() in ("http", "https"):
            scheme = told[-1].strip().lower()
        return address, scheme


class Vouching:
    """Headers in which a gateway says who somebody is: they count from its addresses, once, and from nobody else.

    Raises ValueError for what is no address or network.
    """

    def __init__(self, headers: Iterable[str] = (), addresses: Iterable[str] = ()) -> None:
        self._names = frozenset(name.lower() for name in headers if name)
        self._gateways = Gateways(addresses)

    def said(self, peer: str, fields: Fields) -> list[tuple[str, str]]:
        """What the peer may say of these headers: nothing if it is no gateway, none that comes twice."""
        if not self._names or not self._gateways.trusts(peer):
            return []
        named = [(name.lower(), value) for name, value in fields if name.lower() in self._names]
        return [(name, value) for name, value in named if sum(name == other for other, _ in named) == 1]

    def without(self, fields: Fields) -> list[tuple[str, str]]:
        """The fields without these headers, whoever says them."""
        return [(name, value) for name, value in fields if name.lower() not in self._names]


def _is_spoofable(name: str) -> bool:
    lower = name.lower()
    # "X_Forwarded_For" becomes the same variable as "X-Forwarded-For" in some servers.
    return "_" in lower or lower in SPOOFABLE or lower.startswith(SPOOFABLE_PREFIXES)


def _from_latin(value: str) -> str:
    """A field's bytes, read as Latin-1 by tornado, in the form that aiohttp (UTF-8) writes as the same bytes."""
    if value.isascii():
        return value
    return value.encode("latin-1").decode("utf-8", "replace")


def _bad(code: str, message: str) -> Refused:
    return Refused(400, code, message)
