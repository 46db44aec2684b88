"""The registry of open WebSockets."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from proxy.contract.activity import EndedSession, OpenConnection
from proxy.contract.close_codes import CloseCode
from proxy.errors import Refused
from proxy.io.connections import Connections, Holder
from proxy.kit.clock import ManualClock


class Line:
    """A connection that writes down what is done to it."""

    heard_at = 0.0
    is_held = False
    seen = "ab"

    def __init__(
        self,
        principal: str = "p",
        kernel: str | None = "k",
        session: str | None = None,
        order: int = 0,
        user: str = "u",
    ) -> None:
        self.asked_order = order
        self.holder = Holder(principal, "w", kernel, session, user)
        self.pings = 0
        self.ended: CloseCode | None = None
        self.finishing = asyncio.Event()
        self.finishing.set()

    def send_ping(self) -> None:
        self.pings += 1

    def end(self, code: CloseCode, reason: str) -> None:
        self.ended = code

    def count(self) -> None:
        pass

    async def finish_sending(self) -> None:
        await self.finishing.wait()


def test_connections_are_counted_by_principal_and_kernel() -> None:
    connections = Connections(ManualClock())
    for line in (Line(), Line(), Line("q"), Line(kernel=None)):
        connections.add(line)
    assert sorted(connections.report(), key=str) == sorted(
        [OpenConnection("p", "w", "k", 2), OpenConnection("q", "w", "k", 1), OpenConnection("p", "w", None, 1)], key=str
    )


def test_a_workspace_has_so_many_places_and_no_more() -> None:
    connections = Connections(ManualClock(), places=2)
    with connections.place_in("w"):
        with connections.place_in("w"), pytest.raises(Refused) as refused, connections.place_in("w"):
            pass
        assert refused.value.status == 429
        with connections.place_in("w"), connections.place_in("another"):
            pass


def test_a_session_has_one_connection_per_kernel_and_user_whatever_it_was_let_in_with() -> None:
    connections = Connections(ManualClock())
    lines = [Line(session="s"), Line(user="v", session="s"), Line(kernel="l", session="s"), Line("q", session="s")]
    for line in lines:
        connections.add(line)
    assert [line.ended for line in lines] == [CloseCode.NORMAL, None, None, None]
    connections.remove(lines[0])
    newest = Line(session="s")
    connections.add(newest)
    assert lines[3].ended is CloseCode.NORMAL


def test_revoked_principals_lose_all_their_connections() -> None:
    connections = Connections(ManualClock())
    lines = [Line(), Line(kernel=None), Line("q")]
    for line in lines:
        connections.add(line)
    assert connections.end_principals(["p", "unknown"]) == 2
    assert [line.ended for line in lines] == [CloseCode.SIGNED_OUT, CloseCode.SIGNED_OUT, None]


def test_who_gives_no_sign_of_life_is_dropped() -> None:
    clock = ManualClock()
    connections = Connections(clock, silence_seconds=60)
    silent, alive, held = Line(), Line(), Line()
    held.is_held = True
    for line in (silent, alive, held):
        connections.add(line)
    for _ in range(3):
        clock.advance(timedelta(seconds=20))
        alive.heard_at = clock.monotonic()
        connections.ping_all()
    assert (silent.ended, silent.pings) == (CloseCode.SERVICE_RESTART, 2)
    assert (alive.ended, alive.pings) == (None, 3)
    assert held.ended is None


async def test_closing_waits_for_what_is_unsent_but_not_for_ever() -> None:
    connections = Connections(ManualClock())
    stuck, done = Line(), Line()
    stuck.finishing.clear()
    for line in (stuck, done):
        connections.add(line)
    await asyncio.wait_for(connections.close_all(0.05), 5)
    assert (stuck.ended, done.ended) == (CloseCode.SERVICE_RESTART, CloseCode.SERVICE_RESTART)


def test_of_two_connections_of_a_session_the_one_asked_for_last_stays_whichever_opens_last() -> None:
    connections = Connections(ManualClock())
    late, early = Line(session="s", order=2), Line(session="s", order=1)
    connections.add(late)
    connections.add(early)
    assert (late.ended, early.ended) == (None, CloseCode.NORMAL)


def test_a_session_that_another_proxy_has_is_given_up_unless_it_came_back_since() -> None:
    connections = Connections(ManualClock())
    old, other, new = Line(session="s", order=1), Line(session="t", order=1), Line(kernel="l", session="s", order=9)
    for line in (old, other, new):
        connections.add(line)
    for line in (old, new):
        assert line.holder.key is not None
        connections.give_up(line.holder.key.digest(), 5)
    assert (old.ended, other.ended, new.ended) == (CloseCode.NORMAL, None, None)


def test_requests_for_connections_are_in_order_over_all_proxies_of_the_machine() -> None:
    proxies = [Connections(ManualClock()), Connections(ManualClock())]
    orders = [proxies[turn % 2].next_order() for turn in range(100)]
    assert orders == sorted(set(orders))


def test_sessions_that_ended_are_told_until_the_hub_has_answered_and_not_if_they_came_back() -> None:
    clock = ManualClock()
    connections = Connections(clock)
    lines = {name: Line(kernel="k", session=name) for name in ("gone", "back", "stays")}
    for line in lines.values():
        connections.add(line)
    connections.remove(lines["gone"], "closed")
    connections.remove(lines["back"], "dropped")
    connections.add(Line(session="back"))
    clock.advance(timedelta(seconds=3))
    assert {session.session for session in connections.sessions()} == {"back", "stays"}
    told = connections.ended_sessions()
    assert told == [EndedSession("w", "k", "gone", "closed", "ab", 3.0)]
    assert connections.ended_sessions() == told
    connections.forget_ended(clock.monotonic())
    assert connections.ended_sessions() == []
