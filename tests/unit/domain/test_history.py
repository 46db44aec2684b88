"""What is counted of the history, and which days are meant."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.audit import AuditEvent, canonical
from hub.domain.history import (
    HUB_WAS_DOWN,
    LONGEST_RANGE,
    Begin,
    End,
    Outcome,
    Range,
    Run,
    change_of,
    date_of,
    histogram,
    monday_of,
    percentile,
)
from hub.domain.ids import UserId, WorkspaceId
from hub.domain.workspace import (
    Event,
    Limits,
    ObservedGone,
    ObservedRunning,
    Started,
    StartFailed,
    StartRequested,
    Stopped,
    StopRequested,
    Workspace,
    WorkspaceState,
    advance,
)

NOW = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)


def workspace(state: WorkspaceState, reason: str | None = None) -> Workspace:
    return Workspace(
        WorkspaceId("w"), UserId("u"), "p", state, "image", Limits(None, None, None), "c", NOW, stop_reason=reason
    )


@pytest.mark.parametrize(
    ("state", "event", "change"),
    [
        (WorkspaceState.STOPPED, StartRequested(), Begin()),
        (WorkspaceState.STARTING, Started("c", NOW, {"created": 7}), Run({"created": 7})),
        (WorkspaceState.STARTING, StartFailed("no image", "x.y"), End(Outcome.FAILED, "no image", "x.y")),
        (WorkspaceState.STARTING, ObservedGone("gone"), End(Outcome.FAILED, "gone")),
        (WorkspaceState.RUNNING, StopRequested("idle"), None),
        (WorkspaceState.RUNNING, ObservedGone("out of memory"), End(Outcome.DIED, "out of memory")),
        (WorkspaceState.STOPPED, ObservedRunning("c"), Begin(found=True)),
        (WorkspaceState.UNKNOWN, ObservedRunning("c"), None),
        (WorkspaceState.STOPPED, Stopped(), None),
    ],
)
def test_an_event_means_this_to_the_containers_life(state: WorkspaceState, event: Event, change: object) -> None:
    before = workspace(state)
    assert change_of(before, event, advance(before, event).workspace) == change


def test_what_somebody_stopped_has_ended_even_if_it_is_only_seen_to_be_gone() -> None:
    before = workspace(WorkspaceState.STOPPING, "stopped by its user")
    for event in (Stopped(), ObservedGone("exited")):
        after = advance(before, event).workspace
        assert change_of(before, event, after) == End(Outcome.ENDED, "stopped by its user")


def test_what_ended_while_the_hub_was_down_is_lost() -> None:
    before = workspace(WorkspaceState.RUNNING)
    after = advance(before, ObservedGone("gone")).workspace
    assert change_of(before, ObservedGone("gone"), after, hub_was_down=True) == End(Outcome.LOST, HUB_WAS_DOWN)


@pytest.mark.parametrize(
    ("days", "since", "until", "first", "last"),
    [
        ("7", "", "", date(2026, 11, 16), date(2026, 11, 22)),
        ("", "", "", date(2026, 10, 24), date(2026, 11, 22)),
        ("x", "", "", date(2026, 10, 24), date(2026, 11, 22)),
        ("7", "2026-01-05", "2026-01-02", date(2026, 1, 2), date(2026, 1, 5)),
        ("", "2026-11-20", "", date(2026, 11, 20), date(2026, 11, 22)),
        ("", "", "2026-06-30", date(2026, 6, 1), date(2026, 6, 30)),
        ("", "2026-11-01", "2099-01-01", date(2026, 11, 1), date(2026, 11, 22)),
        ("", "nonsense", "nonsense", date(2026, 10, 24), date(2026, 11, 22)),
    ],
)
def test_a_range_is_what_people_mean(days: str, since: str, until: str, first: date, last: date) -> None:
    span = Range.read(days, since, until, NOW)
    assert (date_of(span.first), date_of(span.last)) == (first, last)


@given(st.text(max_size=12), st.text(max_size=12), st.text(max_size=12))
def test_no_text_makes_a_range_that_is_empty_or_endless(days: str, since: str, until: str) -> None:
    assert 1 <= Range.read(days, since, until, NOW).days <= LONGEST_RANGE.days


@given(st.integers(0, 80_000))
def test_weeks_begin_on_mondays(day: int) -> None:
    monday = date_of(monday_of(day))
    assert monday.weekday() == 0
    assert timedelta(0) <= date_of(day) - monday < timedelta(days=7)


@given(st.lists(st.integers(0, 500), min_size=1))
def test_a_percentile_is_the_nearest_rank_of_the_values_themselves(values: list[int]) -> None:
    counts = {value: values.count(value) for value in set(values)}
    ordered = sorted(values)
    assert percentile(counts, 0.5) == ordered[(len(ordered) + 1) // 2 - 1]
    assert percentile(counts, 1.0) == ordered[-1]


def test_nothing_has_no_percentile() -> None:
    assert percentile({}, 0.5) is None


def test_every_start_is_in_one_bucket() -> None:
    assert sum(histogram({0: 1, 500: 2, 501: 3, 10**9: 4})) == 10
    assert histogram({10**9: 4})[-1] == 4


@given(
    st.dictionaries(st.text(max_size=5), st.one_of(st.integers(-(2**53), 2**53), st.text(max_size=5), st.booleans()))
)
def test_the_form_that_is_hashed_does_not_depend_on_the_order_of_details(details: dict[str, int | str | bool]) -> None:
    backwards = dict(reversed(details.items()))
    one = AuditEvent(NOW, "a.b", "x", "y", "", {**details})
    assert canonical(one) == canonical(AuditEvent(NOW, "a.b", "x", "y", "", {**backwards}, id=7))


@pytest.mark.parametrize("pair", [(1e16, 10**16), (3.0, 3), (1e300, 10**300), (-0.0, 0)])
def test_numbers_that_databases_give_back_otherwise_are_the_same(pair: tuple[float, int]) -> None:
    forms = {canonical(AuditEvent(NOW, "a.b", "x", "y", "", {"n": number})) for number in pair}
    assert len(forms) == 1


def test_fields_cannot_run_into_each_other() -> None:
    one = AuditEvent(NOW, "a.b", "xy", "z")
    other = AuditEvent(NOW, "a.b", "x", "yz")
    assert canonical(one) != canonical(other)
