"""Connections that proxies report."""

from __future__ import annotations

from datetime import timedelta

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
