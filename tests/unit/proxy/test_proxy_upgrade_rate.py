"""proxy.core.upgrade_rate: who opens too many WebSockets waits, and nobody else."""

from __future__ import annotations

from proxy.core.upgrade_rate import BURST, PER_SECOND, REMEMBERED, UpgradeRate


def test_all_tabs_may_come_back_at_once_and_then_there_is_a_rate() -> None:
    rate = UpgradeRate()
    assert all(rate.admit(b"ada", 0.0) for _ in range(BURST))
    assert not rate.admit(b"ada", 0.0)
    assert sum(rate.admit(b"ada", second / 1000) for second in range(1, 2001)) == 2 * PER_SECOND


def test_one_persons_storm_costs_nobody_else_a_connection() -> None:
    rate = UpgradeRate()
    for _ in range(10 * BURST):
        rate.admit(b"mallory", 1.0)
    assert not rate.admit(b"mallory", 1.0)
    assert rate.admit(b"ada", 1.0)


def test_what_is_remembered_is_bounded() -> None:
    rate = UpgradeRate()
    for number in range(2 * REMEMBERED):
        rate.admit(str(number).encode(), 1.0)
    assert len(rate._buckets) == REMEMBERED
