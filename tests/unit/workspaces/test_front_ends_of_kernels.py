"""Which front ends are connected to a kernel, as proxies report them."""

from __future__ import annotations

from datetime import timedelta

from hub.domain.ids import KernelId
from hub.workspaces.connections import ADMITTED_SECONDS, ANYBODY, FORGET_AFTER_SECONDS, REMEMBER_SECONDS, Connections
from proxy.contract.activity import ActivityReport, EndedSession, OpenConnection, OpenSession
from proxy.kit.clock import ManualClock

K = KernelId("k")


def report(proxy: str, *names: str, count: int | None = None) -> ActivityReport:
    connections = [OpenConnection("p", "w", K, len(names) if count is None else count)]
    return ActivityReport(proxy, connections, [OpenSession("w", K, name) for name in names])


def test_the_front_ends_of_all_proxies_are_known_by_name(clock: ManualClock) -> None:
    connections = Connections(clock)
    connections.report(report("one", "lab"))
    connections.report(report("two", "code"))
    assert connections.sessions_of(K) == {"lab", "code"}
    assert connections.sessions_of(KernelId("other")) == frozenset()
    connections.report(report("one"))
    assert connections.sessions_of(K) == {"code"}
    assert connections.last_heard(K) == {"lab": clock.monotonic(), "code": clock.monotonic()}


def test_who_was_just_let_in_counts_until_a_report_tells(clock: ManualClock) -> None:
    connections = Connections(clock)
    connections.admit(K, "lab")
    connections.admit(K, "")
    connections.report(report("one"))
    assert connections.sessions_of(K) == {"lab", ANYBODY}, "this report may be older than the connection"
    assert connections.sessions_of(KernelId("other")) == frozenset()
    ended = EndedSession("w", K, "lab", "closed", "", 0.1)
    connections.report(ActivityReport("one", [], [], [ended]))
    assert connections.sessions_of(K) == {ANYBODY}
    clock.advance(timedelta(seconds=ADMITTED_SECONDS + 0.1))
    assert connections.sessions_of(K) == frozenset()
    assert connections.last_heard(K) == {}, "nobody knows whether they ever came"


def test_a_connection_without_a_name_is_anybodys(clock: ManualClock) -> None:
    connections = Connections(clock)
    connections.report(report("one", "lab", count=2))
    assert connections.sessions_of(K) == {"lab", ANYBODY}
    connections.report(report("one", count=1))
    assert connections.sessions_of(K) == {ANYBODY}


def test_a_proxy_that_fell_silent_holds_nothing_but_is_remembered_for_a_while(clock: ManualClock) -> None:
    connections = Connections(clock)
    connections.report(report("one", "lab"))
    at = clock.monotonic()
    clock.advance(timedelta(seconds=FORGET_AFTER_SECONDS + 1))
    assert connections.sessions_of(K) == frozenset()
    assert connections.last_heard(K) == {"lab": at}
    clock.advance(timedelta(seconds=REMEMBER_SECONDS))
    connections.report(ActivityReport("two", []))
    assert connections.last_heard(K) == {}
