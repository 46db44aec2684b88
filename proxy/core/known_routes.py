"""Routes that the hub gave lately, for the seconds in which it is away: who was let in may open another tab.

While the hub is away nobody can be signed out, so what it said last holds. What could have changed between an answer
and the hub's end is bounded: an answer counts only if, when the hub was heard last, it was given or confirmed within
`FRESH_SECONDS`. Reports of activity, which the hub answers every two seconds, confirm principals with open connections
and name those whose sign-in has ended; these are forgotten at once. Pure: time comes in as seconds that only grow.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

import msgspec

from proxy.contract.route import KernelRoute, RouteQuestion, TerminalRoute

FRESH_SECONDS = 5.0
"""As long as a sign-out may take to reach open connections."""
AWAY_SECONDS = 60.0
"""A hub that is away for longer did not just restart: then nobody new is let in."""
MOST = 4096
SESSION = "session_id"
"""Of the query, what is another for each page and gives nobody any permission."""


@dataclass(slots=True)
class _Known:
    route: KernelRoute | TerminalRoute
    at: float


class KnownRoutes:
    """The last answers, by everything of the question that counts for permission. Holds digests, no credentials."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._heard_at = 0.0

    def learn(self, question: RouteQuestion, route: KernelRoute | TerminalRoute | None, now: float) -> None:
        """The hub has answered: with a route, or None for a refusal, after which nothing is known."""
        self._heard_at = now
        digest = digest_of(question)
        self._known.pop(digest, None)
        if route is not None:
            self._known[digest] = _Known(route, now)
            if len(self._known) > MOST:
                self._known.popitem(last=False)

    def confirm(self, principals: Iterable[str], revoked: Iterable[str], now: float) -> None:
        """The hub has answered a report: these principals' permissions hold, but for those that are revoked."""
        self._heard_at = now
        holding, gone = set(principals), set(revoked)
        for digest, known in list(self._known.items()):
            if known.route.principal in gone:
                del self._known[digest]
            elif known.route.principal in holding:
                known.at = now

    def find(self, question: RouteQuestion, now: float) -> KernelRoute | TerminalRoute | None:
        """What the hub would say, if that is known well enough; None otherwise."""
        known = self._known.get(digest_of(question))
        if known is None or now - self._heard_at > AWAY_SECONDS or self._heard_at - known.at > FRESH_SECONDS:
            return None
        return known.route


def digest_of(question: RouteQuestion) -> bytes:
    """All that permission depends on; of the query all but the front end's name for itself."""
    query = [(name, value) for name, value in parse_qsl(question.query, keep_blank_values=True) if name != SESSION]
    counted = msgspec.structs.replace(question, query=urlencode(query), user_agent="")
    return hashlib.blake2b(msgspec.json.encode(counted), digest_size=32).digest()
