"""The table of SECURITY A.3, row by row; and that nothing ever follows from not knowing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.health import (
    LATE,
    MAY_ACT,
    MISSES,
    MOST_LAG,
    PATIENCE,
    SILENCE,
    Container,
    HealthState,
    Signals,
    Step,
    judge,
)
from hub.domain.kernels import KernelState

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
AT_ONCE, LATELY, LONG = timedelta(0), timedelta(seconds=5), timedelta(minutes=2)
IDLE, BUSY = KernelState.IDLE, KernelState.BUSY
H = HealthState

ROWS = {
    "yes, yes, any: idle": (Signals(IDLE, heartbeat_for=LATELY, control_for=AT_ONCE, cpu=1.0), H.IDLE),
    "yes, yes, any: busy": (Signals(BUSY, heartbeat_for=LATELY, control_for=AT_ONCE, cpu=0.0), H.BUSY),
    "yes, not asked": (Signals(BUSY, heartbeat_for=LATELY, control_for=None, cpu=0.0), H.BUSY),
    "yes, late but not missed": (Signals(BUSY, heartbeat_for=LATELY, control_for=LATELY, cpu=0.0), H.BUSY),
    "yes, no, high": (Signals(BUSY, heartbeat_for=LATELY, control_for=LONG, cpu=0.98), H.BUSY_NOT_RESPONDING),
    "yes, no, not known": (Signals(BUSY, heartbeat_for=LATELY, control_for=LONG, cpu=None), H.BUSY_NOT_RESPONDING),
    "yes, no, about 0": (Signals(BUSY, heartbeat_for=LATELY, control_for=LONG, cpu=0.0), H.STUCK),
    "yes, no, about 0, and no cell": (Signals(IDLE, heartbeat_for=LATELY, control_for=LONG, cpu=0.0), H.STUCK),
    "no, no, 0, paused": (
        Signals(BUSY, Container.PAUSED, False, heartbeat_for=LONG, misses=99, control_for=LONG, cpu=0.0),
        H.PAUSED,
    ),
    "no, no, any, runs": (
        Signals(BUSY, heartbeat_for=SILENCE, misses=MISSES, control_for=LONG, cpu=0.5),
        H.NOT_RESPONDING,
    ),
    "no, not asked, runs": (Signals(IDLE, heartbeat_for=SILENCE, misses=MISSES), H.NOT_RESPONDING),
    "no, no, but too few misses": (
        Signals(BUSY, heartbeat_for=LONG, misses=MISSES - 1, control_for=LONG, cpu=0.0),
        H.BUSY,
    ),
    "no, no, but not long enough": (
        Signals(BUSY, heartbeat_for=SILENCE - LATELY, misses=99, control_for=LONG, cpu=0.0),
        H.BUSY,
    ),
    "no, yes": (Signals(IDLE, heartbeat_for=LONG, misses=99, control_for=AT_ONCE), H.IDLE),
    "no heartbeat yet": (Signals(IDLE, control_for=LONG, cpu=0.0), H.IDLE),
    "the container ended": (Signals(BUSY, Container.GONE, False, reason="out of memory"), H.GONE),
    "the process ended": (Signals(KernelState.DEAD, reason="exited with status 3"), H.GONE),
    "the engine does not answer": (
        Signals(IDLE, Container.UNKNOWN, heartbeat_for=LATELY, control_for=AT_ONCE),
        H.UNKNOWN,
    ),
    "the agent does not answer": (Signals(IDLE, agent_answers=False, heartbeat_for=LATELY), H.UNKNOWN),
    "the hub was held up": (Signals(IDLE, hub_lag=MOST_LAG + LATELY, heartbeat_for=LATELY), H.UNKNOWN),
    "nobody said": (Signals(KernelState.UNKNOWN), H.UNKNOWN),
    "starting": (Signals(KernelState.STARTING, heartbeat_for=LONG, misses=99), H.STARTING),
    "restarting": (Signals(KernelState.RESTARTING, heartbeat_for=LONG, misses=99), H.RESTARTING),
}


@pytest.mark.parametrize(("signals", "state"), ROWS.values(), ids=ROWS.keys())
def test_each_row_of_the_table_gives_its_state(signals: Signals, state: HealthState) -> None:
    health = judge(signals, NOW)
    assert (health.state, health.since) == (state, NOW)


def spans() -> st.SearchStrategy[timedelta]:
    return st.timedeltas(timedelta(0), timedelta(days=2))


SIGNALS = st.builds(
    Signals,
    told=st.sampled_from(KernelState),
    container=st.sampled_from(Container),
    agent_answers=st.booleans(),
    hub_lag=st.one_of(st.just(AT_ONCE), spans()),
    heartbeat_for=st.none() | spans(),
    misses=st.integers(0, 20),
    control_for=st.none() | spans(),
    cpu=st.none() | st.floats(0, 64),
    reason=st.none() | st.just("why"),
    restarts=st.integers(0, 5),
    is_python=st.booleans(),
    interrupted_for=st.none() | spans(),
)


@given(SIGNALS)
def test_nothing_follows_from_not_knowing(signals: Signals) -> None:
    health = judge(signals)
    nobody_can_tell = signals.container is Container.UNKNOWN or (
        signals.container is Container.RUNNING and (signals.hub_lag > MOST_LAG or not signals.agent_answers)
    )
    if nobody_can_tell:
        assert health.state is HealthState.UNKNOWN
    if health.state is HealthState.UNKNOWN:
        assert not health.may_act and health.steps == () and health.advised is None


@given(SIGNALS)
def test_only_what_is_positively_known_may_lead_to_an_action(signals: Signals) -> None:
    health = judge(signals)
    if health.may_act:
        assert signals.container is Container.RUNNING and signals.agent_answers and signals.hub_lag <= MOST_LAG
        assert signals.told in (IDLE, BUSY)
    if health.state is HealthState.IDLE:
        assert signals.told is IDLE
    assert HealthState.BUSY not in MAY_ACT and HealthState.BUSY_NOT_RESPONDING not in MAY_ACT


@given(SIGNALS)
def test_whatever_is_wrong_is_said_in_a_sentence_and_what_is_advised_can_be_done(signals: Signals) -> None:
    health = judge(signals)
    if health.state not in (HealthState.IDLE, HealthState.STARTING, HealthState.RESTARTING):
        assert health.words.endswith(".")
    assert health.advised is None or health.advised in health.steps
    assert list(health.steps) == sorted(health.steps, key=list(Step).index)  # the mildest first


def test_python_in_c_code_is_said_in_words() -> None:
    signals = Signals(BUSY, heartbeat_for=LATELY, control_for=LONG, cpu=1.0, is_python=True)
    assert judge(signals).words.startswith(
        "A cell is running, and Python itself does not answer: it is probably in long-running C code."
    )


@pytest.mark.parametrize(
    ("interrupted_for", "advised"),
    [(None, Step.INTERRUPT), (AT_ONCE, Step.INTERRUPT), (PATIENCE, Step.RESTART)],
    ids=["not interrupted", "just interrupted", "in vain"],
)
def test_an_interrupt_is_advised_first_and_a_restart_when_it_did_not_help(
    interrupted_for: timedelta | None, advised: Step
) -> None:
    health = judge(Signals(BUSY, heartbeat_for=LATELY, control_for=LATE, cpu=0.0, interrupted_for=interrupted_for))
    assert (health.advised, health.steps) == (advised, (Step.INTERRUPT, Step.RESTART, Step.STOP))


def test_a_kernel_that_was_started_again_says_why_and_how_often() -> None:
    once = judge(Signals(IDLE, heartbeat_for=LATELY, reason="out of memory (limit 256 MiB)", restarts=1))
    assert once.words == "It died and was started again, without its variables: out of memory (limit 256 MiB)."
    assert "(3 times so far)" in judge(Signals(IDLE, heartbeat_for=LATELY, reason="x", restarts=3)).words


def test_a_dead_kernel_can_be_restarted_but_not_without_its_container() -> None:
    assert judge(Signals(KernelState.DEAD)).advised is Step.RESTART
    assert judge(Signals(BUSY, Container.GONE)).steps == ()
