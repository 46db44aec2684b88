"""Asks the hub, once per WebSocket, whether it may pass and whereto."""

from __future__ import annotations

from proxy.contract.route import KernelRoute, Refusal, RouteAnswer, RouteQuestion, TerminalRoute
from proxy.errors import HubAway, Refused
from proxy.io.hub_client import HubClient

ROUTE_SECONDS = 10.0


class Routes:
    """The hub's answers; nothing is remembered, so that a sign-out holds at once."""

    def __init__(self, hub: HubClient) -> None:
        self._hub = hub

    async def ask(self, question: RouteQuestion) -> KernelRoute | TerminalRoute:
        """The route. Raises Refused with the hub's status, or with 503 when the hub is away."""
        try:
            answer: RouteAnswer = await self._hub.ask("/internal/route", question, RouteAnswer, ROUTE_SECONDS)
        except HubAway as error:
            raise Refused(503, HubAway.code, "The hub is not there at the moment; try again.") from error
        if isinstance(answer, Refusal):
            status = answer.status if 400 <= answer.status <= 599 else 403
            raise Refused(status, answer.code, answer.message)
        return answer
