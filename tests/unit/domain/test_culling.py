"""Culling: what is busy or unknown is never culled, and every decision has a reason in words."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.culling import (
    Action,
    CullingPolicy,
    Decision,
    KernelSnapshot,
    WorkspaceSnapshot,
    decide,
    decide_kernel,
    decide_workspace,
    in_words,
)
from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.kernels import KernelState

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
POLICY = CullingPolicy(kernel_idle=4 * HOUR, workspace_empty=15 * MINUTE)
PLACE = WorkspaceId("w")


def kernel(
    state: KernelState = KernelState.IDLE,
    idle_for: timedelta = 5 * HOUR,
    connections: int = 0,
    reason: str | None = None,
) -> KernelSnapshot:
    return KernelSnapshot(KernelId("k"), state, idle_for, connections, reason)


def place(
    *kernels: KernelSnapshot,
    terminals: int = 0,
    connections: int = 0,
    empty_for: timedelta = HOUR,
    jobs: tuple[str, ...] = (),
) -> WorkspaceSnapshot:
    return WorkspaceSnapshot(PLACE, kernels, terminals, connections, empty_for, jobs)


spans = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=400))
policies = st.builds(CullingPolicy, st.none() | spans, st.none() | spans, st.booleans())
kernels = st.builds(
    KernelSnapshot,
    st.just(KernelId("k")),
    st.sampled_from(KernelState),
    spans,
    st.integers(0, 5),
    st.none() | st.text(),
)
places = st.builds(
    WorkspaceSnapshot,
    st.just(PLACE),
    st.lists(kernels, max_size=4).map(tuple),
    st.integers(0, 3),
    st.integers(0, 3),
    spans,
)


def test_a_kernel_that_was_idle_for_too_long_is_shut_and_told_why() -> None:
    decision = decide_kernel(POLICY, PLACE, kernel(idle_for=4 * HOUR))
    assert decision == Decision(Action.SHUT_KERNEL, PLACE, KernelId("k"), "idle for 4 h, the limit is 4 h")


def test_a_kernel_that_is_idle_is_told_when_it_will_be_shut() -> None:
    decision = decide_kernel(POLICY, PLACE, kernel(idle_for=HOUR))
    assert decision == Decision(Action.KEEP, PLACE, KernelId("k"), "idle for 60 min", 3 * HOUR)


def test_an_open_but_idle_tab_keeps_a_kernel_only_where_the_policy_says_so() -> None:
    watched = kernel(connections=2)
    assert decide_kernel(POLICY, PLACE, watched).action is Action.SHUT_KERNEL
    lenient = CullingPolicy(4 * HOUR, 15 * MINUTE, cull_connected=False)
    assert decide_kernel(lenient, PLACE, watched) == Decision(Action.KEEP, PLACE, KernelId("k"), "open in 2 places")


@pytest.mark.parametrize(("reason", "said"), [("out of memory", "out of memory"), (None, "the kernel process ended")])
def test_a_dead_kernel_is_reported_with_the_reason(reason: str | None, said: str) -> None:
    decision = decide_kernel(POLICY, PLACE, kernel(KernelState.DEAD, reason=reason))
    assert (decision.action, decision.reason) == (Action.REPORT_DEAD, said)


def test_an_empty_container_is_stopped_after_its_time() -> None:
    assert decide_workspace(POLICY, place(empty_for=14 * MINUTE)) == Decision(
        Action.KEEP, PLACE, None, "empty for 14 min", MINUTE
    )
    assert decide_workspace(POLICY, place(empty_for=15 * MINUTE)) == Decision(
        Action.STOP_WORKSPACE, PLACE, None, "empty for 15 min, the limit is 15 min"
    )


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


@given(policies, kernels)
def test_a_kernel_that_is_not_idle_is_never_shut(policy: CullingPolicy, snapshot: KernelSnapshot) -> None:
    decision = decide_kernel(policy, PLACE, snapshot)
    if snapshot.state is not KernelState.IDLE:
        assert decision.action is not Action.SHUT_KERNEL
        assert decision.due_in is None


@given(policies, places)
def test_a_container_with_a_living_kernel_is_never_stopped(policy: CullingPolicy, snapshot: WorkspaceSnapshot) -> None:
    if any(kernel.state is not KernelState.DEAD for kernel in snapshot.kernels):
        assert decide_workspace(policy, snapshot).action is Action.KEEP


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


@given(policies, kernels)
def test_what_is_kept_until_a_time_is_shut_at_that_time_and_not_before(
    policy: CullingPolicy, snapshot: KernelSnapshot
) -> None:
    decision = decide_kernel(policy, PLACE, snapshot)
    if decision.due_in is None:
        return
    tick = timedelta(microseconds=1)

    def at(moment: timedelta) -> Action:
        later = KernelSnapshot(snapshot.id, snapshot.state, moment, snapshot.connections, snapshot.reason)
        return decide_kernel(policy, PLACE, later).action

    assert at(snapshot.idle_for + decision.due_in) is Action.SHUT_KERNEL
    assert at(snapshot.idle_for + decision.due_in - tick) is Action.KEEP


@given(policies, kernels, spans)
def test_more_idleness_never_saves_a_kernel(policy: CullingPolicy, snapshot: KernelSnapshot, more: timedelta) -> None:
    longer = KernelSnapshot(
        snapshot.id, snapshot.state, snapshot.idle_for + more, snapshot.connections, snapshot.reason
    )
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
