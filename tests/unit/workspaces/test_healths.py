"""What is heard of kernels over time: misses are counted by answers, silence and stalls are told from sickness."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hub.domain.health import HealthState, Step
from hub.domain.ids import KernelId, UserId, WorkspaceId
from hub.domain.kernels import Kernel, KernelState
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.workspaces.health import Healths, Signs, Word
from hub.workspaces.punctuality import Punctuality
from proxy.kit.clock import ManualClock

WS, K = WorkspaceId("w"), KernelId("k")
WORKSPACE = Workspace(WS, UserId("u"), "p", WorkspaceState.RUNNING, "image", Limits(None, None, None))
FRESH = Signs(timedelta(seconds=2), timedelta(0), 0.5)
H = HealthState


class World:
    """One kernel of one workspace, heard of by the test."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.punctuality = Punctuality(clock)
        self.healths = Healths(clock, self.punctuality)
        self.kernel = Kernel(K, WS, UserId("u"), "python3", KernelState.IDLE, clock.now(), clock.now())

    def hear(
        self,
        state: KernelState = KernelState.BUSY,
        signs: Signs = FRESH,
        generation: int = 1,
        workspace_id: WorkspaceId = WS,
    ) -> None:
        self.healths.hear(K, Word(workspace_id, state, generation, timedelta(seconds=30), None, signs))

    def state(self, workspace: Workspace = WORKSPACE) -> HealthState:
        return self.healths.of(self.kernel, workspace).state


@pytest.fixture
def world(clock: ManualClock) -> World:
    return World(clock)


def test_a_heartbeat_is_lost_only_after_five_answers_that_say_so(world: World) -> None:
    world.hear()
    silent = Signs(timedelta(minutes=5), timedelta(minutes=5), 0.0)
    for _ in range(4):
        world.clock.advance(timedelta(seconds=10))
        world.hear(signs=silent)
        assert world.state() is H.BUSY
    world.clock.advance(timedelta(seconds=10))
    world.hear(signs=silent)
    assert world.state() is H.NOT_RESPONDING
    world.hear()
    assert world.state() is H.BUSY


def test_answers_in_quick_succession_are_one_miss(world: World) -> None:
    silent = Signs(timedelta(minutes=5), timedelta(minutes=5), 0.0)
    for _ in range(50):
        world.clock.advance(timedelta(seconds=0.1))
        world.hear(signs=silent)
    assert world.state() is H.BUSY


def test_an_agent_that_does_not_answer_leaves_kernels_unknown_and_misses_begin_anew(world: World) -> None:
    silent = Signs(timedelta(minutes=5), timedelta(minutes=5), 0.0)
    for _ in range(6):
        world.clock.advance(timedelta(seconds=10))
        world.hear(signs=silent)
    world.healths.lose(WS)
    assert world.state() is H.UNKNOWN
    world.hear(signs=silent)
    assert world.state() is H.BUSY  # one miss


def test_an_old_word_is_no_word(world: World) -> None:
    world.hear()
    world.clock.advance(timedelta(seconds=31))
    assert world.state() is H.UNKNOWN
    world.hear()
    assert world.state() is H.BUSY


def test_a_hub_that_was_held_up_knows_nothing_for_a_while(world: World) -> None:
    world.punctuality.tick()
    world.clock.advance(timedelta(seconds=8))  # stopped, swapping, or a loop that is blocked
    world.hear()
    assert world.state() is H.UNKNOWN
    world.punctuality.tick()
    assert world.state() is H.UNKNOWN
    for _ in range(40):
        world.clock.advance(timedelta(seconds=0.5))
        world.punctuality.tick()
    world.hear()
    assert world.state() is H.BUSY


def test_the_engines_silence_leaves_kernels_unknown_and_its_word_ends_them(world: World) -> None:
    world.hear()
    assert world.state(replace(WORKSPACE, state=WorkspaceState.UNKNOWN)) is H.UNKNOWN
    stopped = replace(WORKSPACE, state=WorkspaceState.STOPPED, stop_reason="it ran out of memory")
    health = world.healths.of(world.kernel, stopped)
    assert (health.state, "it ran out of memory" in health.words, health.steps) == (H.GONE, True, ())


def test_another_containers_word_about_a_kernel_counts_for_nothing(world: World) -> None:
    world.hear(workspace_id=WorkspaceId("hostile"), state=KernelState.DEAD)
    world.hear()
    world.hear(workspace_id=WorkspaceId("hostile"), state=KernelState.DEAD)
    assert world.state() is H.BUSY


def test_since_when_a_state_is_stays_while_it_is(world: World) -> None:
    began = world.clock.now()
    world.hear()
    for _ in range(5):
        world.clock.advance(timedelta(seconds=10))
        world.hear()
        assert world.healths.of(world.kernel, WORKSPACE).since == began
    stuck = Signs(timedelta(seconds=1), timedelta(seconds=15), 0.0)
    world.hear(signs=stuck)
    health = world.healths.of(world.kernel, WORKSPACE)
    assert (health.state, health.since) == (H.STUCK, world.clock.now() - timedelta(seconds=15))


def test_idle_is_counted_by_the_agent(world: World) -> None:
    world.hear(KernelState.IDLE)
    assert world.healths.of(world.kernel, WORKSPACE).since == world.clock.now() - timedelta(seconds=30)


def test_an_interrupt_in_vain_leads_to_the_advice_to_restart(world: World) -> None:
    stuck = Signs(timedelta(seconds=1), timedelta(seconds=15), 0.0)
    world.hear(signs=stuck)
    assert world.healths.of(world.kernel, WORKSPACE).advised is Step.INTERRUPT
    world.healths.interrupted(WS, K)
    world.clock.advance(timedelta(seconds=5))
    world.healths.interrupted(WS, K)  # pressing again does not begin anew
    world.clock.advance(timedelta(seconds=5))
    world.hear(signs=stuck)
    assert world.healths.of(world.kernel, WORKSPACE).advised is Step.RESTART
    world.hear(generation=2)  # it was restarted
    assert world.healths.of(world.kernel, WORKSPACE).advised is None


def test_kernels_that_are_no_more_are_forgotten(world: World) -> None:
    world.hear()
    world.healths.keep_only(WS, set())
    assert world.state() is H.IDLE  # what the database knows
    world.hear()
    world.healths.forget(WS)
    assert world.state() is H.IDLE
