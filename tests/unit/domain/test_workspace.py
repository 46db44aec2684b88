"""The life of a workspace: every event in every state moves it on or is ignored with a reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hub.domain.ids import UserId, WorkspaceId
from hub.domain.workspace import (
    EngineSilent,
    Event,
    ForgetKernels,
    Limits,
    ObservedGone,
    ObservedRunning,
    Paused,
    StartContainer,
    Started,
    StartFailed,
    StartRequested,
    StopContainer,
    Stopped,
    StopRequested,
    Thawed,
    Workspace,
    WorkspaceState,
    advance,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
STOPPED, STARTING, RUNNING, STOPPING, UNKNOWN = (
    WorkspaceState.STOPPED,
    WorkspaceState.STARTING,
    WorkspaceState.RUNNING,
    WorkspaceState.STOPPING,
    WorkspaceState.UNKNOWN,
)


def workspace(state: WorkspaceState, stop_reason: str | None = None) -> Workspace:
    """A workspace as it is in this state after a usual life."""
    return Workspace(
        id=WorkspaceId("w"),
        user_id=UserId("u"),
        profile="datascience",
        state=state,
        image="image",
        limits=Limits(None, None, None),
        container_id="c" if state in (RUNNING, STOPPING, UNKNOWN) else None,
        started_at=NOW,
        last_activity_at=LATER,
        stop_reason=stop_reason,
    )


EVENTS: list[Event] = [
    StartRequested(),
    Started("c2", LATER),
    StartFailed("no image"),
    StopRequested("idle"),
    Stopped(),
    Paused(LATER),
    Thawed(),
    EngineSilent(),
    ObservedRunning("c2"),
    ObservedGone("out of memory"),
]

# The whole life in one table: state and event, next state (None: ignored), effects.
TABLE: dict[tuple[WorkspaceState, type], tuple[WorkspaceState, tuple[type, ...]] | None] = {
    (STOPPED, StartRequested): (STARTING, (StartContainer,)),
    (STOPPED, Started): None,
    (STOPPED, StartFailed): None,
    (STOPPED, StopRequested): None,
    (STOPPED, Stopped): None,
    (STOPPED, Paused): None,
    (STOPPED, Thawed): None,
    (STOPPED, EngineSilent): None,
    (STOPPED, ObservedRunning): (RUNNING, ()),
    (STOPPED, ObservedGone): None,
    (STARTING, StartRequested): None,
    (STARTING, Started): (RUNNING, ()),
    (STARTING, StartFailed): (STOPPED, ()),
    (STARTING, StopRequested): (STOPPING, (StopContainer,)),
    (STARTING, Stopped): None,
    (STARTING, Paused): None,
    (STARTING, Thawed): None,
    (STARTING, EngineSilent): (UNKNOWN, ()),
    (STARTING, ObservedRunning): (RUNNING, ()),
    (STARTING, ObservedGone): (STOPPED, ()),
    (RUNNING, StartRequested): None,
    (RUNNING, Started): None,
    (RUNNING, StartFailed): None,
    (RUNNING, StopRequested): (STOPPING, (StopContainer,)),
    (RUNNING, Stopped): None,
    (RUNNING, Paused): (RUNNING, ()),
    (RUNNING, Thawed): None,
    (RUNNING, EngineSilent): (UNKNOWN, ()),
    (RUNNING, ObservedRunning): None,
    (RUNNING, ObservedGone): (STOPPED, (ForgetKernels,)),
    (STOPPING, StartRequested): None,
    (STOPPING, Started): None,
    (STOPPING, StartFailed): None,
    (STOPPING, StopRequested): None,
    (STOPPING, Stopped): (STOPPED, (ForgetKernels,)),
    (STOPPING, Paused): None,
    (STOPPING, Thawed): None,
    (STOPPING, EngineSilent): (UNKNOWN, ()),
    (STOPPING, ObservedRunning): None,
    (STOPPING, ObservedGone): (STOPPED, (ForgetKernels,)),
    (UNKNOWN, StartRequested): None,
    (UNKNOWN, Started): (RUNNING, ()),
    (UNKNOWN, StartFailed): None,
    (UNKNOWN, StopRequested): (STOPPING, (StopContainer,)),
    (UNKNOWN, Stopped): (STOPPED, (ForgetKernels,)),
    (UNKNOWN, Paused): None,
    (UNKNOWN, Thawed): None,
    (UNKNOWN, EngineSilent): None,
    (UNKNOWN, ObservedRunning): (RUNNING, ()),
    (UNKNOWN, ObservedGone): (STOPPED, (ForgetKernels,)),
}


def test_the_table_has_every_event_in_every_state() -> None:
    assert set(TABLE) == {(state, type(event)) for state in WorkspaceState for event in EVENTS}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("state", WorkspaceState)
def test_every_event_in_every_state_does_what_the_table_says(state: WorkspaceState, event: Event) -> None:
    before = workspace(state)
    transition = advance(before, event)
    expected = TABLE[state, type(event)]
    if expected is None:
        assert transition.workspace == before
        assert transition.effects == ()
        assert transition.ignored == f"{type(event).__name__} does not apply to a {state} workspace"
    else:
        assert transition.workspace.state is expected[0]
        assert tuple(type(effect) for effect in transition.effects) == expected[1]
        assert transition.ignored is None


def test_a_start_forgets_why_it_was_stopped() -> None:
    assert advance(workspace(STOPPED, "idle"), StartRequested()).workspace.stop_reason is None


def test_a_start_is_the_time_of_the_first_activity() -> None:
    started = advance(workspace(STARTING), Started("c2", LATER)).workspace
    assert (started.container_id, started.started_at, started.last_activity_at) == ("c2", LATER, LATER)


@pytest.mark.parametrize("state", [STARTING, UNKNOWN, STOPPED])
def test_finding_a_container_running_says_nothing_about_start_or_activity(state: WorkspaceState) -> None:
    found = advance(workspace(state), ObservedRunning("c2")).workspace
    assert (found.container_id, found.started_at, found.last_activity_at) == ("c2", NOW, LATER)


def test_a_failed_start_says_why() -> None:
    assert advance(workspace(STARTING), StartFailed("no image")).workspace.stop_reason == "no image"


@pytest.mark.parametrize("end", [Stopped(), ObservedGone("the container ended")])
def test_a_stop_that_was_asked_for_keeps_its_own_reason(end: Event) -> None:
    stopping = advance(workspace(RUNNING), StopRequested("idle for 4 h")).workspace
    transition = advance(stopping, end)
    assert transition.workspace.stop_reason == "idle for 4 h"
    assert transition.effects == (ForgetKernels("idle for 4 h"),)


def test_a_stop_during_which_the_engine_fell_silent_keeps_its_reason() -> None:
    silent = advance(advance(workspace(RUNNING), StopRequested("idle")).workspace, EngineSilent()).workspace
    assert advance(silent, ObservedGone("the container ended")).workspace.stop_reason == "idle"


def test_a_container_that_ended_by_itself_is_stopped_with_the_reason_of_the_engine() -> None:
    transition = advance(workspace(RUNNING), ObservedGone("out of memory"))
    assert transition.workspace.stop_reason == "out of memory"
    assert transition.effects == (ForgetKernels("out of memory"),)


@pytest.mark.parametrize(
    "event",
    [StopRequested("idle"), ObservedGone("it ended"), Thawed(), ObservedRunning("c")],
    ids=lambda event: type(event).__name__,
)
def test_a_paused_workspace_is_paused_until_it_is_thawed_stopped_or_seen_otherwise(event: Event) -> None:
    paused = advance(workspace(RUNNING), Paused(NOW)).workspace
    assert (paused.state, paused.container_id, paused.paused_at) == (RUNNING, "c", NOW)
    assert advance(paused, event).workspace.paused_at is None


def test_pausing_twice_keeps_the_first_time_and_nothing_but_a_paused_one_is_thawed() -> None:
    paused = advance(workspace(RUNNING), Paused(NOW)).workspace
    assert advance(paused, Paused(LATER)).workspace.paused_at == NOW
    assert advance(paused, Paused(LATER)).ignored and advance(workspace(RUNNING), Thawed()).ignored


def test_what_is_found_paused_is_paused_since_it_was_known_to_be() -> None:
    for state in (STOPPED, STARTING, UNKNOWN):
        assert advance(workspace(state), ObservedRunning("c", True, LATER)).workspace.paused_at == LATER
    paused = advance(workspace(RUNNING), Paused(NOW)).workspace
    assert advance(paused, ObservedRunning("c", True, LATER)).ignored
    silent = advance(paused, EngineSilent()).workspace
    assert (silent.state, silent.paused_at) == (UNKNOWN, NOW)
    assert advance(silent, ObservedRunning("c", True, LATER)).workspace == paused
    assert advance(silent, ObservedRunning("c", False, LATER)).workspace.paused_at is None


def test_a_container_that_somebody_froze_or_thawed_is_taken_as_it_is_but_not_another_one() -> None:
    frozen = advance(workspace(RUNNING), ObservedRunning("c", True, LATER)).workspace
    assert frozen == replace(workspace(RUNNING), paused_at=LATER)
    assert advance(frozen, ObservedRunning("c", False, LATER)).workspace == workspace(RUNNING)
    assert advance(frozen, ObservedRunning("c2", False, LATER)).ignored


events = st.one_of(
    st.just(StartRequested()),
    st.builds(Started, st.text(min_size=1, max_size=3), st.just(LATER)),
    st.builds(StartFailed, st.text(min_size=1)),
    st.builds(StopRequested, st.text(min_size=1)),
    st.just(Stopped()),
    st.builds(Paused, st.sampled_from([NOW, LATER])),
    st.just(Thawed()),
    st.just(EngineSilent()),
    st.builds(ObservedRunning, st.text(min_size=1, max_size=3), st.booleans(), st.just(LATER)),
    st.builds(ObservedGone, st.text(min_size=1)),
)


@given(st.lists(events))
def test_whatever_happens_the_value_stays_sound(history: list[Event]) -> None:
    now = workspace(STOPPED)
    for event in history:
        transition = advance(now, event)
        after = transition.workspace
        assert (transition.ignored is None) == (after != now)
        assert transition.ignored is None or not transition.effects
        assert replace(after, image=now.image) == after, "life does not change the image"
        assert (after.id, after.user_id, after.profile) == (now.id, now.user_id, now.profile)
        assert after.container_id is None or after.state is not STOPPED
        assert after.container_id is not None or after.state is not RUNNING
        assert after.stop_reason is None or after.state not in (STARTING, RUNNING)
        assert after.paused_at is None or after.state in (RUNNING, UNKNOWN)
        assert any(isinstance(effect, StopContainer) for effect in transition.effects) == (
            after.state is STOPPING and now.state is not STOPPING
        )
        now = after


@given(st.lists(events), events)
def test_the_same_news_twice_does_nothing_twice(history: list[Event], event: Event) -> None:
    now = workspace(STOPPED)
    for past in history:
        now = advance(now, past).workspace
    once = advance(now, event)
    twice = advance(once.workspace, event)
    assert not twice.effects
    assert twice.workspace == once.workspace


class Engine(RuleBasedStateMachine):
    """A hub beside a modelled engine that may fall silent, lose containers, and answer late.

    The container runs in the model, or not; the hub only sees events. Each effect is performed once, but the
    answer may be lost; a reconciler then looks. When the engine answers, the hub's word becomes true.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = workspace(STOPPED)
        self.container: str | None = None
        self.is_frozen = False
        self.started = 0

    def happens(self, event: Event) -> None:
        transition = advance(self.now, event)
        self.now = transition.workspace
        self.effects = transition.effects

    @rule(silent=st.booleans(), fails=st.booleans())
    def a_user_comes(self, silent: bool, fails: bool) -> None:
        self.happens(StartRequested())
        if StartContainer() not in self.effects:
            return
        if not fails:
            self.started += 1
            self.container = f"c{self.started}"
        if silent:
            self.happens(EngineSilent())
        elif self.container is None:
            self.happens(StartFailed("no image"))
        else:
            self.happens(Started(self.container, LATER))

    @rule(silent=st.booleans(), stops=st.booleans())
    def the_culler_comes(self, silent: bool, stops: bool) -> None:
        self.happens(StopRequested("idle"))
        if not self.effects:
            return
        if not silent or stops:
            self.container, self.is_frozen = None, False
        self.happens(EngineSilent() if silent else Stopped())

    @precondition(lambda self: self.container is not None)
    @rule()
    def the_container_dies(self) -> None:
        self.container, self.is_frozen = None, False

    @precondition(lambda self: self.container is not None)
    @rule(told=st.booleans())
    def it_is_paused_or_thawed(self, told: bool) -> None:
        self.is_frozen = not self.is_frozen
        if told:
            self.happens(Paused(LATER) if self.is_frozen else Thawed())

    @rule()
    def the_engine_is_silent_when_asked(self) -> None:
        self.happens(EngineSilent())

    @rule()
    def the_reconciler_looks(self) -> None:
        gone = ObservedGone("it ended")
        self.happens(gone if self.container is None else ObservedRunning(self.container, self.is_frozen, LATER))
        assert (self.now.paused_at is not None) == self.is_frozen
        assert self.now.state is (STOPPED if self.container is None else RUNNING)
        assert self.now.container_id == self.container

    @invariant()
    def nothing_is_stopped_on_a_guess(self) -> None:
        if self.container is not None:
            assert self.now.state is not STOPPED, "a running container was given up"


TestEngine = Engine.TestCase
