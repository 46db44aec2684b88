"""HTTP without a helping hand: request targets and headers go out byte for byte as they are given."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """An answer: header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def message(self) -> str:
        """The sentence of an error."""
        message: str = self.json()["message"]
        return message


def ask(
    address: str,
    target: str,
    method: str = "GET",
    *,
    token: str | None = None,
    headers: dict[str, str] | None = None,
    body: Any = None,
    seconds: float = 30.0,
) -> Answer:
    """One request. `token` goes into ``Authorization: token``; a `body` that is not bytes is sent as JSON."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=seconds)
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    sent = dict(headers or {})
    if token is not None:
        sent["Authorization"] = f"token {token}"
    if data is not None:
        sent.setdefault("Content-Type", "application/json")
        sent.setdefault("Content-Length", str(len(data)))
    elif method in ("POST", "PUT", "PATCH"):
        sent.setdefault("Content-Length", "0")
    try:
        connection.putrequest(method, target, skip_accept_encoding=True, skip_host="Host" in sent)
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders(data)
        response = connection.getresponse()
        return Answer(response.status, {n.lower(): v for n, v in response.getheaders()}, response.read())
    finally:
        connection.close()
