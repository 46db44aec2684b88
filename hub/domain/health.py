"""The health of a kernel: one state out of three signals, and of what is known of its container. Pure.

The signals are the echo of its heartbeat, its answer to ``kernel_info`` on the control channel, and the processor time
that it used lately (SECURITY A.3):

    | heartbeat | control | processor | container       | state                                        |
    |-----------|---------|-----------|-----------------|----------------------------------------------|
    | yes       | yes     | any       | runs            | idle, busy (as its IOPub says)               |
    | yes       | no      | high      | runs            | busy_not_responding                          |
    | yes       | no      | about 0   | runs            | stuck                                        |
    | no        | no      | 0         | paused          | paused                                       |
    | no        | no      | any       | runs            | not_responding, after 5 misses and 60 s      |
    | no        | no      | any       | ended           | gone                                         |
    | any       | any     | any       | nobody can tell | unknown                                      |

A signal that a kernel does not give (None) is no evidence against it. When the hub itself was held up, or the agent
does not answer, the state is `unknown`, from which nothing follows (`MAY_ACT`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from hub.domain.kernels import KernelState

BEAT = timedelta(seconds=5)
"""How often agents send a heartbeat, and ask on the control channel."""
LATE = 2 * BEAT
"""An echo, or an answer, that is not there after so long is missed."""
MISSES = 5
SILENCE = timedelta(seconds=60)
"""A heartbeat counts as lost after so many answers of the agent that said it is missed, and so long."""
QUIET_CPU = 0.02
"""Processors in use below which a kernel does nothing at all."""
MOST_LAG = timedelta(seconds=2)
"""A hub that was held up for longer does not believe its own clock."""
PATIENCE = timedelta(seconds=10)
"""How long an interrupt may take before a restart is advised."""


class HealthState(StrEnum):
    """The states that people are shown."""

    STARTING = "starting"
    RESTARTING = "restarting"
    IDLE = "idle"
    BUSY = "busy"
    BUSY_NOT_RESPONDING = "busy_not_responding"
    STUCK = "stuck"
    NOT_RESPONDING = "not_responding"
    PAUSED = "paused"
    GONE = "gone"
    UNKNOWN = "unknown"


TROUBLE = frozenset({HealthState.BUSY_NOT_RESPONDING, HealthState.STUCK, HealthState.NOT_RESPONDING})
MAY_ACT = frozenset({HealthState.IDLE, HealthState.STUCK, HealthState.NOT_RESPONDING})
"""The states in which anything may be ended without its user's wish; the last two only after a long time, warned."""


class Container(StrEnum):
    """What the engine positively said of the kernel's container; `unknown` when it did not answer."""

    RUNNING = "running"
    PAUSED = "paused"
    GONE = "gone"
    UNKNOWN = "unknown"


class Step(StrEnum):
    """What a user can do with a kernel, the mildest first."""

    INTERRUPT = "interrupt"
    RESTART = "restart"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Signals:
    """All that a state is judged from.

    `told`: the state that the agent tells, from the process and IOPub. `heartbeat_for`: age of the last echo, None when
    there was none yet. `misses`: answers of the agent, one after the other and at least a beat apart, in which the echo
    was late. `control_for`: how long a question on the control channel is unanswered, zero when the last was answered,
    None when the kernel is not asked. `cpu`: processors in use lately, None when not known. `hub_lag`: how long the hub
    was held up lately. `interrupted_for`: since when an interrupt was sent to what runs, None if none was.
    """

    told: KernelState
    container: Container = Container.RUNNING
    agent_answers: bool = True
    hub_lag: timedelta = timedelta(0)
    heartbeat_for: timedelta | None = None
    misses: int = 0
    control_for: timedelta | None = None
    cpu: float | None = None
    reason: str | None = None
    restarts: int = 0
    is_python: bool = False
    interrupted_for: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """A kernel's state, a sentence about it for its user (may be empty), and what can be done.

    `since`: when that began, as far as this hub has seen; None when it has not. `steps`: what can be done by hand now,
    in the order in which it should be tried; `advised`: which of them helps most likely, None when nothing is wrong.
    """

    state: HealthState
    words: str = ""
    steps: tuple[Step, ...] = ()
    advised: Step | None = None
    since: datetime | None = None

    @property
    def may_act(self) -> bool:
        """Whether anything may be ended in this state without its user's wish."""
        return self.state in MAY_ACT

    @property
    def is_trouble(self) -> bool:
        """Whether its user should do something about it."""
        return self.state in TROUBLE


def judge(signals: Signals, since: datetime | None = None) -> Health:
    """The state that follows from the signals. `since` is handed on."""
    state, words = _judged(signals)
    steps = _STEPS.get(state, ())
    if state is HealthState.GONE and signals.container is Container.GONE:
        steps = ()
    if state not in TROUBLE:
        return Health(state, words, steps, Step.RESTART if state is HealthState.GONE and steps else None, since)
    advised, advice = _advice(signals.interrupted_for)
    return Health(state, f"{words} {advice}", steps, advised, since)


def _judged(signals: Signals) -> tuple[HealthState, str]:
    """State and sentence, without the advice."""
    if (known := _of_container(signals)) is not None:
        return known
    match signals.told:
        case KernelState.DEAD:
            return HealthState.GONE, f"It ended: {signals.reason or 'the kernel process ended'}."
        case KernelState.UNKNOWN:
            return HealthState.UNKNOWN, "Its agent did not say how it is."
        case KernelState.STARTING:
            return HealthState.STARTING, ""
        case KernelState.RESTARTING:
            return HealthState.RESTARTING, _of_former(signals).replace("was started again", "is being started again")
    if _is_silent(signals):
        return HealthState.NOT_RESPONDING, "It has given no sign of life for over a minute, though its container runs."
    if _control_is_missed(signals):
        return _of_processor(signals)
    former = _of_former(signals)
    if signals.told is KernelState.BUSY:
        return HealthState.BUSY, f"A cell is running. {former}".strip()
    return HealthState.IDLE, former


def _of_container(signals: Signals) -> tuple[HealthState, str] | None:
    """What is known without asking the kernel."""
    match signals.container:
        case Container.UNKNOWN:
            return HealthState.UNKNOWN, "The container engine does not answer. Nothing is done on a guess."
        case Container.GONE:
            return HealthState.GONE, f"Its container ended: {signals.reason or 'nobody knows why'}."
        case Container.PAUSED:
            return HealthState.PAUSED, "Its container is paused, with all variables; it goes on when it is needed."
    if signals.hub_lag > MOST_LAG:
        return HealthState.UNKNOWN, "The hub itself was held up a moment ago. Nothing is done on a guess."
    if not signals.agent_answers:
        return HealthState.UNKNOWN, "Its container does not answer at the moment. Nothing is done on a guess."
    return None


def _is_silent(signals: Signals) -> bool:
    """Whether the heartbeat is lost beyond doubt, and the control channel says nothing else."""
    if signals.heartbeat_for is None or signals.heartbeat_for < SILENCE or signals.misses < MISSES:
        return False
    return signals.control_for is None or signals.control_for >= LATE


def _control_is_missed(signals: Signals) -> bool:
    """Whether the kernel lives, by its heartbeat, and does not answer all the same."""
    beats = signals.heartbeat_for is not None and signals.heartbeat_for < LATE
    return beats and signals.control_for is not None and signals.control_for >= LATE


def _of_processor(signals: Signals) -> tuple[HealthState, str]:
    busy = signals.told is KernelState.BUSY
    what = "Python itself" if signals.is_python else "the kernel itself"
    # A cell that takes the interpreter at once may never be told of: its kernel says "busy" from another thread.
    begin = f"A cell is running, and {what}" if busy else f"No cell is known to run, and yet {what}"
    if signals.cpu is None or signals.cpu >= QUIET_CPU:
        why = "it is probably in long-running C code" if busy else "something in the background keeps it busy"
        return HealthState.BUSY_NOT_RESPONDING, f"{begin} does not answer: {why}."
    why = "it probably waits for something that does not come (a deadlock, or a call of C code)"
    return HealthState.STUCK, f"{begin} does not answer and uses no processor: {why}."


def _of_former(signals: Signals) -> str:
    """What is still to be said of the death before this life; empty if there was none."""
    if signals.reason is None:
        return ""
    times = f" ({signals.restarts} times so far)" if signals.restarts > 1 else ""
    return f"It died and was started again{times}, without its variables: {signals.reason}."


def _advice(interrupted_for: timedelta | None) -> tuple[Step, str]:
    seconds = int(PATIENCE.total_seconds())
    if interrupted_for is None:
        return Step.INTERRUPT, f"Interrupt it; if that has not helped after {seconds} seconds, restart it."
    if interrupted_for < PATIENCE:
        return Step.INTERRUPT, f"It was interrupted; if that has not helped after {seconds} seconds, restart it."
    return Step.RESTART, "The interrupt did not help: restart it, or stop it."


_ALL = (Step.INTERRUPT, Step.RESTART, Step.STOP)
_END = (Step.RESTART, Step.STOP)
_STEPS = {
    HealthState.STARTING: _END,
    HealthState.RESTARTING: _END,
    HealthState.IDLE: _END,
    HealthState.BUSY: _ALL,
    HealthState.BUSY_NOT_RESPONDING: _ALL,
    HealthState.STUCK: _ALL,
    HealthState.NOT_RESPONDING: _ALL,
    HealthState.PAUSED: _END,
    HealthState.GONE: _END,
}
