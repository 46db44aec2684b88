"""Connections that proxies report."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from hub.domain.ids import KernelId, WorkspaceId
from hub.workspaces.connections import FORGET_AFTER_SECONDS, Connections
from proxy.contract.activity import ActivityReport, OpenConnection
from proxy.kit.clock import ManualClock

K, W = KernelId("k"), WorkspaceId("w")


def report(proxy: str, kernel: int, terminal: int = 0) -> ActivityReport:
    held = [OpenConnection("p", W, K, kernel)] if kernel else []
    held += [OpenConnection("p", W, None, terminal)] if terminal else []
    return ActivityReport(proxy, held)


def test_reports_of_several_proxies_add_up() -> None:
    connections = Connections(ManualClock())
    connections.report(report("one", 2))
    connections.report(report("two", 1, terminal=1))
    assert connections.to_kernel(K) == 3
    assert connections.to_workspace(W) == 4


def test_a_newer_report_takes_the_place_of_the_last() -> None:
    connections = Connections(ManualClock())
    connections.report(report("one", 2))
    connections.report(report("one", 0))
    assert connections.to_kernel(K) == 0


def test_a_proxy_that_says_nothing_holds_nothing() -> None:
    clock = ManualClock()
    connections = Connections(clock)
    connections.report(report("one", 2))
    clock.advance(timedelta(seconds=FORGET_AFTER_SECONDS + 0.1))
    assert connections.to_kernel(K) == 0


def test_each_proxy_with_connections_must_say_that_it_knows_of_a_pause() -> None:
    clock = ManualClock()
    connections, began = Connections(clock), clock.monotonic()
    assert connections.all_know_of_pause(W, began), "nobody is connected"
    clock.advance(timedelta(seconds=1))
    connections.report(report("one", 2))
    connections.report(msgspec.structs.replace(report("two", 1), paused=[W]))
    connections.report(report("three", 0))
    assert not connections.all_know_of_pause(W, began), "one does not know"
    clock.advance(timedelta(seconds=FORGET_AFTER_SECONDS + 0.1))
    connections.report(msgspec.structs.replace(report("two", 1), paused=[W]))
    assert connections.all_know_of_pause(W, began), "one that says nothing holds nothing"


def test_what_a_proxy_said_of_a_pause_that_was_given_up_is_not_said_of_the_next() -> None:
    clock = ManualClock()
    connections = Connections(clock)
    connections.report(msgspec.structs.replace(report("one", 1), paused=[W]))
    clock.advance(timedelta(seconds=1))
    listed_at = clock.monotonic()
    assert not connections.all_know_of_pause(W, listed_at)
    for knows in (False, True):  # the first report may have been under way when the former pause was given up
        clock.advance(timedelta(seconds=1))
        connections.report(msgspec.structs.replace(report("one", 1), paused=[W]))
        assert connections.all_know_of_pause(W, listed_at) is knows
