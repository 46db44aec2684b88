"""Where a hub is and who asks: what people paste becomes an address and a token."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlsplit, urlunsplit

from hub.errors import BadRequest

_USER_PATH = re.compile(r"(?P<prefix>.*?)/user/(?P<name>[^/]+)(?:/.*)?\Z")
_HUB_PATH = re.compile(r"(?P<prefix>.*?)/hub(?:/.*)?\Z")
_PAGE = re.compile(r"/(?:lab|tree|doc|notebooks|nbclassic|edit|consoles|terminals)(?:/.*)?\Z")


@dataclass(frozen=True, slots=True)
class HubAddress:
    """A hub's address, taken apart.

    `root` is where the hub is, without a slash at the end; `name` the user whose API is meant, None where only the
    hub was named; `token` what stood in the address, None without.
    """

    root: str
    name: str | None = None
    token: str | None = None

    @property
    def user_url(self) -> str:
        """Where the user's Jupyter API is, with a slash at the end. Raises BadRequest without a name."""
        if self.name is None:
            raise BadRequest("The address names no user.")
        return f"{self.root}/user/{quote(self.name, safe='')}/"


def parse_address(text: str) -> HubAddress:
    """Take an address apart as people copy it: with ``/lab`` and what follows, with ``?token=``, with or without name.

    Raises BadRequest when it is none.
    """
    text = text.strip()
    if "://" not in text:
        raise BadRequest(f"{text!r} is not an address of a hub: it must begin with https:// or http://.")
    wrong = BadRequest(f"{text.partition('?')[0]!r} is not an address of a hub, like https://hub.example.org/.")
    try:
        parts = urlsplit(text)
        host = parts.netloc.rpartition("@")[2]
        _ = parts.port
    except ValueError as error:
        raise wrong from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise wrong
    token = parse_qs(parts.query).get("token", [None])[0]
    if found := _USER_PATH.match(parts.path):
        prefix, name = found["prefix"], unquote(found["name"])
    else:
        found = _HUB_PATH.match(parts.path)
        prefix, name = found["prefix"] if found else _PAGE.sub("", parts.path).rstrip("/"), None
    return HubAddress(urlunsplit((parts.scheme, host, prefix, "", "")), name, token)
