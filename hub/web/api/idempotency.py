"""Requests that come again: an ``Idempotency-Key`` makes a POST that was repeated by a network's fault harmless.

After the IETF's draft "The Idempotency-Key HTTP Header Field" (httpapi-idempotency-key-header-06): the same key with
the same request is answered as before, with another one 400, and 409 while the first is being worked on. Answers are
kept in memory for ten minutes and only for who sent the request; after a restart of the hub a key is new.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from tornado.httputil import HTTPServerRequest

from hub.errors import BadRequest, Conflict
from proxy.kit.clock import Clock

KEY_HEADER = "Idempotency-Key"
MAX_KEY_CHARS = 200
KEPT_SECONDS = 600.0
MAX_KEPT = 1000
MAX_KEPT_BYTES = 256 * 1024


@dataclass(slots=True)
class Kept:
    """One request and, once there is one, its answer: status and body."""

    key: tuple[str, str, str]
    digest: bytes
    at: float
    answer: tuple[int, bytes] | None = None


class Answers:
    """The latest requests with a key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str, str], Kept] = OrderedDict()

    def begin(self, principal: str, request: HTTPServerRequest) -> Kept | None:
        """The request as it is kept, with its answer if it was answered before; None if it has no key.

        Raises BadRequest for an impossible key, or one that came with another request, and Conflict while the first one
        is being worked on.
        """
        key = request.headers.get(KEY_HEADER, "")
        if not key:
            return None
        if len(key) > MAX_KEY_CHARS or not key.isprintable():
            raise BadRequest(f"{KEY_HEADER} is at most {MAX_KEY_CHARS} printable characters.")
        self._forget_old()
        digest = hashlib.sha256(request.body or b"").digest()
        place = (principal, request.path, key)
        known = self._kept.get(place)
        if known is None:
            self._kept[place] = known = Kept(place, digest, self._clock.monotonic())
            return known
        if known.digest != digest:
            raise BadRequest(f"This {KEY_HEADER} came with another request before; use a new one.")
        if known.answer is None:
            raise Conflict("The same request is being worked on.")
        return Kept(place, digest, known.at, known.answer)

    def end(self, kept: Kept, status: int, body: bytes) -> None:
        """Keep the answer; one that failed for a moment's reason is forgotten, so that it can be tried again."""
        if status >= 500 or status in {409, 429} or len(body) > MAX_KEPT_BYTES:
            self._kept.pop(kept.key, None)
        else:
            kept.answer = (status, body)

    def _forget_old(self) -> None:
        before = self._clock.monotonic() - KEPT_SECONDS
        while self._kept:
            key, oldest = next(iter(self._kept.items()))
            if oldest.at > before and len(self._kept) < MAX_KEPT:
                return
            del self._kept[key]
