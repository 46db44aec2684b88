"""Culling: what is busy or unknown is never culled, and every decision has a reason in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.culling import (
    Action,
    Decision,
    KernelSnapshot,
    Rule,
    Standing,
    WorkspaceSnapshot,
    decide,
    decide_kernel,
    decide_workspace,
    in_words,
)
from hub.domain.culling_policy import CullingPolicy, read_quiet
from hub.domain.health import MAY_ACT, HealthState
from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.kernels import KernelState

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
POLICY = CullingPolicy(kernel_idle=4 * HOUR, workspace_empty=15 * MINUTE, warning=10 * MINUTE)
PLACE = WorkspaceId("w")
LONG = timedelta(days=400)
WARNED = Standing(Rule.KERNEL_IDLE, LONG)
WARNED_OF_EMPTY = Standing(Rule.WORKSPACE_EMPTY, LONG)
MONDAY = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def kernel(
    state: KernelState = KernelState.IDLE,
    idle_for: timedelta = 5 * HOUR,
    connections: int = 0,
    reason: str | None = None,
    standing: Standing = WARNED,
    **more: Any,
) -> KernelSnapshot:
    return KernelSnapshot(KernelId("k"), state, idle_for, connections, reason, standing=standing, **more)


def place(
    *kernels: KernelSnapshot,
    terminals: int = 0,
    connections: int = 0,
    empty_for: timedelta = HOUR,
    jobs: tuple[str, ...] = (),
    standing: Standing = WARNED_OF_EMPTY,
    **more: Any,
) -> WorkspaceSnapshot:
    return WorkspaceSnapshot(PLACE, kernels, terminals, connections, empty_for, jobs, standing=standing, **more)


spans = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=400))
quiets = st.sampled_from(
    [(), (read_quiet("mon-fri 08:00-18:00", "Europe/Berlin"),), (read_quiet("daily 22:00-06:00"),)]
)
policies = st.builds(
    CullingPolicy,
    kernel_idle=st.none() | spans,
    workspace_empty=st.none() | spans,
    cull_connected=st.booleans(),
    max_age=st.none() | spans,
    kernel_stuck=st.none() | spans,
    pause_after=st.none() | spans,
    busy_cpu=st.none() | st.floats(0.01, 2),
    warning=spans,
)
standings = st.builds(Standing, st.none() | st.sampled_from(Rule), st.none() | spans, spans, st.integers(0, 5), spans)
kernels = st.builds(
    KernelSnapshot,
    st.just(KernelId("k")),
    st.sampled_from(KernelState),
    spans,
    st.integers(0, 5),
    st.none() | st.text(),
    cpu=st.none() | st.floats(0, 4),
    health=st.none() | st.sampled_from(HealthState),
    stuck_for=st.none() | spans,
    standing=standings,
)
places = st.builds(
    WorkspaceSnapshot,
    st.just(PLACE),
    st.lists(kernels, max_size=4).map(tuple),
    st.integers(0, 3),
    st.integers(0, 3),
    spans,
    age=st.none() | spans,
    rest_for=spans,
    standing=standings,
)
moments = st.integers(0, 365 * 24 * 60).map(lambda minutes: MONDAY + timedelta(minutes=minutes))
ENDS = frozenset({Action.SHUT_KERNEL, Action.STOP_WORKSPACE})


def test_a_kernel_that_was_idle_for_too_long_is_shut_and_told_why() -> None:
    decision = decide_kernel(POLICY, PLACE, kernel(idle_for=4 * HOUR))
    assert (decision.action, decision.reason) == (Action.SHUT_KERNEL, "idle for 4 h, the limit is 4 h")
    facts = decision.facts
    assert (facts.spent, facts.limit, facts.source) == (4 * HOUR, 4 * HOUR, "the hub's settings")


def test_a_kernel_that_is_idle_is_told_when_it_will_be_shut() -> None:
    decision = decide_kernel(POLICY, PLACE, kernel(idle_for=HOUR))
    assert (decision.action, decision.reason, decision.due_in) == (Action.KEEP, "idle for 60 min", 3 * HOUR)


def test_nobody_is_ended_unwarned_however_late_it_is() -> None:
    late = kernel(idle_for=30 * HOUR, standing=Standing())
    decision = decide_kernel(POLICY, PLACE, late)
    assert (decision.action, decision.due_in) == (Action.WARN, 10 * MINUTE)
    warned = kernel(idle_for=30 * HOUR, standing=Standing(Rule.KERNEL_IDLE, 9 * MINUTE))
    decision = decide_kernel(POLICY, PLACE, warned)
    assert (decision.action, decision.due_in, decision.is_warned) == (Action.KEEP, MINUTE, True)


def test_a_warning_of_something_else_is_none() -> None:
    stuck = kernel(health=HealthState.STUCK, stuck_for=LONG, standing=Standing(Rule.KERNEL_IDLE, LONG))
    policy = replace(POLICY, kernel_stuck=24 * HOUR)
    assert decide_kernel(policy, PLACE, stuck).action is Action.WARN


def test_a_warning_is_never_longer_than_half_of_the_limit() -> None:
    short = CullingPolicy(kernel_idle=timedelta(seconds=2), workspace_empty=None, warning=10 * MINUTE)
    unwarned = Standing()
    early = decide_kernel(short, PLACE, kernel(idle_for=timedelta(seconds=0.9), standing=unwarned))
    assert (early.action, early.due_in) == (Action.KEEP, timedelta(seconds=1.1))
    assert decide_kernel(short, PLACE, kernel(idle_for=timedelta(seconds=1), standing=unwarned)).action is Action.WARN


def test_what_was_put_off_is_kept_for_so_long_and_warned_of_again() -> None:
    put_off = Standing(None, None, HOUR, 1, HOUR)
    decision = decide_kernel(POLICY, PLACE, kernel(idle_for=4 * HOUR, standing=put_off))
    assert (decision.action, decision.due_in) == (Action.KEEP, HOUR)
    assert decision.reason == "idle for 4 h, put off for 60 min"
    near = Standing(None, None, 10 * MINUTE, 1, HOUR)
    assert decide_kernel(POLICY, PLACE, kernel(standing=near)).action is Action.WARN


def test_nothing_ends_in_quiet_hours_and_the_warning_comes_before_they_end() -> None:
    policy = replace(POLICY, quiet=(read_quiet("mon-fri 08:00-18:00"),))
    decision = decide_kernel(policy, PLACE, kernel(), MONDAY)
    assert (decision.action, decision.due_in) == (Action.KEEP, 6 * HOUR)
    assert decision.reason == "idle for 5 h; nothing ends in the quiet hours"
    at_ten_to_six = MONDAY + 5 * HOUR + 50 * MINUTE
    assert decide_kernel(policy, PLACE, kernel(standing=Standing()), at_ten_to_six).action is Action.WARN
    assert decide_kernel(policy, PLACE, kernel(), MONDAY + 6 * HOUR).action is Action.SHUT_KERNEL
    before = decide_kernel(policy, PLACE, kernel(idle_for=3 * HOUR), MONDAY - 5 * HOUR)
    assert before.due_in == 11 * HOUR, "at eight it would be due, so it is due when the quiet hours end"


def test_an_open_but_idle_tab_keeps_a_kernel_only_where_the_policy_says_so() -> None:
    watched = kernel(connections=2)
    assert decide_kernel(POLICY, PLACE, watched).action is Action.SHUT_KERNEL
    lenient = replace(POLICY, cull_connected=False)
    decision = decide_kernel(lenient, PLACE, watched)
    assert (decision.action, decision.reason, decision.due_in) == (Action.KEEP, "open in 2 places", None)


def test_work_in_the_background_counts_where_the_policy_says_so() -> None:
    working = kernel(cpu=0.5)
    assert decide_kernel(POLICY, PLACE, working).action is Action.SHUT_KERNEL
    decision = decide_kernel(replace(POLICY, busy_cpu=0.05), PLACE, working)
    assert (decision.action, decision.reason) == (Action.KEEP, "no cell is running, but it uses 0.50 processors")


def test_a_stuck_kernel_ends_after_the_long_limit_and_warned() -> None:
    policy = replace(POLICY, kernel_stuck=24 * HOUR)
    warned = Standing(Rule.KERNEL_STUCK, LONG)
    stuck = kernel(KernelState.BUSY, health=HealthState.STUCK, stuck_for=23 * HOUR, standing=warned)
    assert decide_kernel(policy, PLACE, stuck).due_in == HOUR
    assert decide_kernel(policy, PLACE, replace(stuck, stuck_for=24 * HOUR)).action is Action.SHUT_KERNEL
    assert decide_kernel(POLICY, PLACE, replace(stuck, stuck_for=LONG)).action is Action.KEEP


@pytest.mark.parametrize(("reason", "said"), [("out of memory", "out of memory"), (None, "the kernel process ended")])
def test_a_dead_kernel_is_reported_with_the_reason(reason: str | None, said: str) -> None:
    decision = decide_kernel(POLICY, PLACE, kernel(KernelState.DEAD, reason=reason))
    assert (decision.action, decision.reason) == (Action.REPORT_DEAD, said)


def test_an_empty_container_is_stopped_after_its_time() -> None:
    decision = decide_workspace(POLICY, place(empty_for=14 * MINUTE))
    assert (decision.action, decision.reason, decision.due_in) == (Action.KEEP, "empty for 14 min", MINUTE)
    decision = decide_workspace(POLICY, place(empty_for=15 * MINUTE))
    assert (decision.action, decision.reason) == (Action.STOP_WORKSPACE, "empty for 15 min, the limit is 15 min")


@pytest.mark.parametrize(
    ("snapshot", "reason"),
    [
        (place(kernel()), "it holds 1 kernel"),
        (place(kernel(), kernel(KernelState.DEAD), kernel()), "it holds 2 kernels"),
        (place(terminals=2), "it holds 2 terminals"),
        (place(connections=1), "it holds 1 open connection"),
        (place(jobs=("git_pull", "run_notebook")), "a program is running: git-pull"),
    ],
)
def test_a_container_that_holds_something_is_kept(snapshot: WorkspaceSnapshot, reason: str) -> None:
    assert decide_workspace(POLICY, snapshot) == Decision(Action.KEEP, PLACE, None, reason)


def test_dead_kernels_hold_no_container_open() -> None:
    assert decide_workspace(POLICY, place(kernel(KernelState.DEAD))).action is Action.STOP_WORKSPACE


def test_a_container_that_is_too_old_ends_at_its_first_rest() -> None:
    policy = replace(POLICY, max_age=48 * HOUR)
    warned = Standing(Rule.MAX_AGE, LONG)
    resting = place(kernel(idle_for=HOUR), age=49 * HOUR, rest_for=HOUR, standing=warned)
    decision = decide_workspace(policy, resting)
    assert (decision.action, decision.reason) == (Action.STOP_WORKSPACE, "2 d 1 h old, the limit is 2 d")
    just_now = decide_workspace(policy, replace(resting, rest_for=MINUTE))
    assert (just_now.action, just_now.due_in) == (Action.KEEP, 9 * MINUTE)
    unwarned = decide_workspace(policy, replace(resting, standing=Standing()))
    assert (unwarned.action, unwarned.due_in) == (Action.WARN, 10 * MINUTE)
    busy = decide_workspace(policy, place(kernel(KernelState.BUSY), age=100 * HOUR, standing=warned))
    assert (busy.action, busy.due_in) == (Action.KEEP, None)
    assert busy.reason == "4 d 4 h old, the limit is 2 d; it ends when nothing runs in it"


def test_an_idle_container_is_paused_first_where_the_policy_says_so() -> None:
    policy = replace(POLICY, pause_after=HOUR)
    assert decide_workspace(policy, place(kernel(), still_for=HOUR)).action is Action.PAUSE_WORKSPACE
    assert decide_workspace(policy, place(kernel(), still_for=59 * MINUTE)).action is Action.KEEP
    assert decide_workspace(policy, place(kernel(KernelState.BUSY), still_for=HOUR)).action is Action.KEEP
    assert decide_workspace(POLICY, place(kernel(), still_for=HOUR)).action is Action.KEEP


def test_a_paused_kernel_goes_on_being_idle_and_says_that_it_is_paused() -> None:
    paused = kernel(idle_for=HOUR, health=HealthState.PAUSED, paused_for=HOUR, standing=Standing())
    kept = decide_kernel(POLICY, PLACE, paused)
    assert (kept.action, kept.rule) == (Action.KEEP, Rule.KERNEL_IDLE)
    assert kept.reason == "idle for 60 min (paused for 60 min)"
    never = decide_kernel(replace(POLICY, kernel_idle=None), PLACE, paused)
    assert (never.action, never.reason) == (Action.KEEP, "paused for 60 min; it goes on at the next message")
    over = replace(paused, idle_for=POLICY.kernel_idle or HOUR)
    assert decide_kernel(POLICY, PLACE, over).action is Action.WARN
    assert decide_kernel(POLICY, PLACE, replace(over, standing=WARNED)).action is Action.SHUT_KERNEL
    busy = replace(over, state=KernelState.BUSY, standing=WARNED)
    assert decide_kernel(POLICY, PLACE, busy).action is Action.KEEP


def test_a_paused_container_is_not_paused_again_and_still_grows_too_old() -> None:
    policy = replace(POLICY, pause_after=HOUR, max_age=48 * HOUR)
    resting = kernel(health=HealthState.PAUSED, paused_for=HOUR)
    paused = place(resting, still_for=2 * HOUR, rest_for=2 * HOUR, paused_for=HOUR, age=2 * HOUR)
    decision = decide_workspace(policy, paused)
    assert (decision.action, decision.reason) == (Action.KEEP, "paused for 60 min; it goes on at the next message")
    warned = Standing(warned_of=Rule.MAX_AGE, warned_for=10 * MINUTE)
    assert decide_workspace(policy, replace(paused, age=49 * HOUR, standing=warned)).action is Action.STOP_WORKSPACE


def test_an_open_tab_prevents_no_pause() -> None:
    policy = replace(POLICY, pause_after=HOUR, cull_connected=False)
    open_tab = place(kernel(connections=1), connections=1, still_for=HOUR)
    assert decide_workspace(policy, open_tab).action is Action.PAUSE_WORKSPACE


def is_known_to_be_idle(snapshot: KernelSnapshot) -> bool:
    return snapshot.state is KernelState.IDLE and snapshot.health in (None, HealthState.IDLE)


@given(policies, kernels)
def test_a_kernel_that_is_busy_or_unknown_is_never_shut_for_idleness(
    policy: CullingPolicy, snapshot: KernelSnapshot
) -> None:
    decision = decide_kernel(policy, PLACE, snapshot)
    if not is_known_to_be_idle(snapshot):
        assert decision.rule is not Rule.KERNEL_IDLE
    if snapshot.health is not None and snapshot.health not in MAY_ACT:
        assert decision.action in (Action.KEEP, Action.REPORT_DEAD)


@given(policies, places)
def test_a_container_with_a_kernel_that_is_not_known_to_be_idle_is_never_stopped(
    policy: CullingPolicy, snapshot: WorkspaceSnapshot
) -> None:
    living = [kernel for kernel in snapshot.kernels if kernel.state is not KernelState.DEAD]
    decision = decide_workspace(policy, snapshot)
    if any(not is_known_to_be_idle(kernel) for kernel in living):
        assert decision.action is Action.KEEP
    if living and decision.action is Action.STOP_WORKSPACE:
        assert decision.rule is Rule.MAX_AGE


@given(st.lists(places, max_size=5))
def test_without_limits_nothing_is_ever_culled(snapshots: list[WorkspaceSnapshot]) -> None:
    actions = {decision.action for decision in decide(CullingPolicy(None, None), snapshots)}
    assert actions <= {Action.KEEP, Action.REPORT_DEAD}


@given(policies, st.lists(places, max_size=5))
def test_everything_gets_one_decision_with_a_reason_and_all_of_them_in_order(
    policy: CullingPolicy, snapshots: list[WorkspaceSnapshot]
) -> None:
    decisions = decide(policy, snapshots)
    expected = [about for snapshot in snapshots for about in (*(k.id for k in snapshot.kernels), None)]
    assert [decision.kernel_id for decision in decisions] == expected
    assert all(decision.reason for decision in decisions)


@given(policies, places, quiets, moments)
def test_nothing_ends_without_a_warning_of_the_same_reason_as_old_as_the_warnings_time(
    policy: CullingPolicy, snapshot: WorkspaceSnapshot, quiet: tuple[Any, ...], now: datetime
) -> None:
    for decision in decide(replace(policy, quiet=quiet), [snapshot], now):
        if decision.action in ENDS:
            facts = decision.facts
            assert facts.limit is not None and facts.standing.warned_of is decision.rule
            assert facts.standing.warned_for is not None
            assert facts.standing.warned_for >= min(policy.warning, facts.limit / 2)


@given(policies, places)
def test_what_was_put_off_does_not_end_before_its_time(policy: CullingPolicy, snapshot: WorkspaceSnapshot) -> None:
    for decision in decide(policy, [snapshot]):
        left = decision.facts.standing.put_off_for
        if left and decision.rule not in (None, Rule.PAUSE_AFTER):
            assert decision.action not in ENDS
            assert decision.due_in is None or decision.due_in >= left


@given(policies, places, moments, st.integers(-1, 1))
def test_a_wall_clock_that_jumps_by_a_day_changes_no_decision(
    policy: CullingPolicy, snapshot: WorkspaceSnapshot, now: datetime, days: int
) -> None:
    there = decide(policy, [snapshot], now)
    here = decide(policy, [snapshot], now + timedelta(days=days))
    assert [(one, one.facts) for one in there] == [(one, one.facts) for one in here]


@given(policies, places, quiets, moments)
def test_in_quiet_hours_nothing_ends(
    policy: CullingPolicy, snapshot: WorkspaceSnapshot, quiet: tuple[Any, ...], now: datetime
) -> None:
    if any(span.ends_at(now) is not None for span in quiet):
        decisions = decide(replace(policy, quiet=quiet), [snapshot], now)
        assert not ENDS & {decision.action for decision in decisions}


def end_of(decision: Decision) -> timedelta:
    if decision.action in ENDS:
        return timedelta(0)
    return decision.due_in if decision.due_in is not None else timedelta.max


@given(policies, places, spans, st.booleans())
def test_a_more_permissive_policy_never_ends_anything_earlier(
    policy: CullingPolicy, snapshot: WorkspaceSnapshot, more: timedelta, tabs: bool
) -> None:
    def longer(span: timedelta | None) -> timedelta | None:
        return None if span is None else span + more

    lenient = replace(
        policy,
        kernel_idle=longer(policy.kernel_idle),
        workspace_empty=longer(policy.workspace_empty),
        max_age=longer(policy.max_age),
        kernel_stuck=longer(policy.kernel_stuck),
        cull_connected=policy.cull_connected and tabs,
        pause_after=None,
    )
    strict = replace(policy, pause_after=None)
    for before, after in zip(decide(strict, [snapshot]), decide(lenient, [snapshot]), strict=True):
        assert end_of(after) >= end_of(before)
        assert after.action not in ENDS or before.action in ENDS


@given(policies, kernels)
def test_what_is_kept_until_a_time_is_shut_at_that_time_and_not_before(
    policy: CullingPolicy, snapshot: KernelSnapshot
) -> None:
    decision = decide_kernel(policy, PLACE, snapshot)
    if decision.due_in is None or decision.rule is None:
        return
    standing, tick = snapshot.standing, timedelta(microseconds=1)

    def at(passed: timedelta) -> Action:
        later = replace(
            snapshot,
            idle_for=snapshot.idle_for + passed,
            stuck_for=None if snapshot.stuck_for is None else snapshot.stuck_for + passed,
            standing=replace(
                standing,
                warned_of=decision.rule,
                warned_for=LONG + passed,
                put_off_for=max(standing.put_off_for - passed, timedelta(0)),
            ),
        )
        return decide_kernel(policy, PLACE, later).action

    assert at(decision.due_in) is Action.SHUT_KERNEL
    limit_left = (decision.facts.limit or timedelta(0)) - (decision.facts.spent or timedelta(0))
    if decision.due_in == max(limit_left, standing.put_off_for) and decision.due_in:
        assert at(decision.due_in - tick) is Action.KEEP


@given(policies, kernels, spans)
def test_more_idleness_never_saves_a_kernel(policy: CullingPolicy, snapshot: KernelSnapshot, more: timedelta) -> None:
    longer = replace(snapshot, idle_for=snapshot.idle_for + more)
    if decide_kernel(policy, PLACE, snapshot).action is Action.SHUT_KERNEL:
        assert decide_kernel(policy, PLACE, longer).action is Action.SHUT_KERNEL


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=89.9), "89 s"),
        (timedelta(seconds=90), "1 min"),
        (timedelta(minutes=89), "89 min"),
        (timedelta(minutes=90), "1 h 30 min"),
        (timedelta(hours=3), "3 h"),
        (timedelta(hours=47, minutes=59), "47 h 59 min"),
        (timedelta(hours=48), "2 d"),
        (timedelta(days=2, hours=4), "2 d 4 h"),
    ],
)
def test_spans_are_said_as_people_say_them(span: timedelta, words: str) -> None:
    assert in_words(span) == words
