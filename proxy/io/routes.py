"""Asks the hub, once per WebSocket, whether it may pass and whereto; answers itself while the hub restarts."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.contract.route import KernelRoute, Refusal, RouteAnswer, RouteQuestion, TerminalRoute
from proxy.core.known_routes import KnownRoutes
from proxy.errors import HubAway, Refused
from proxy.io.hub_client import HubClient
from proxy.kit.clock import Clock

ROUTE_SECONDS = 10.0


class Routes:
    """The hub's answers. What it said lately counts while it is away, and only then: a sign-out holds at once."""

    def __init__(self, hub: HubClient, clock: Clock) -> None:
        self._hub = hub
        self._clock = clock
        self._known = KnownRoutes()

    def told(self, principals: Iterable[str], revoked: Iterable[str]) -> None:
        """The hub has answered a report about these principals: all are still who they were, but for the revoked."""
        self._known.confirm(principals, revoked, self._clock.monotonic())

    async def ask(self, question: RouteQuestion) -> KernelRoute | TerminalRoute:
        """The route. Raises Refused with the hub's status, or with 503 when the hub is away."""
        try:
            answer: RouteAnswer = await self._hub.ask("/internal/route", question, RouteAnswer, ROUTE_SECONDS)
        except HubAway as error:
            if (known := self._known.find(question, self._clock.monotonic())) is not None:
                return known
            raise Refused(503, HubAway.code, "The hub is not there at the moment; try again.") from error
        route = None if isinstance(answer, Refusal) else answer
        self._known.learn(question, route, self._clock.monotonic())
        if isinstance(answer, Refusal):
            status = answer.status if 400 <= answer.status <= 599 else 403
            raise Refused(status, answer.code, answer.message)
        return answer
