"""One kernel as clients know it: an id, a state, and one incarnation after another."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

from hub.agent import bounds, messages, policy
from hub.agent.adoption import adoption_code
from hub.agent.incarnation import Incarnation, Listener, Surroundings
from hub.agent.journal import Journal
from hub.agent.messages import Parts
from hub.agent.procfs import Usage
from hub.agent.signs import Control, RecentCpu
from hub.agent.specs import Spec
from hub.agent.stopping import Stopping
from hub.agent.wire import Refusal
from hub.agent.witness import Death, Witness

NOTHING = Usage()
MOST_LINES_OF_TAIL = 12


class Kernel(Listener):
    """A kernel. `changed` is called with it whenever its state or generation changed.

    `explain` turns the return code of a process that died unasked into words. States: starting, idle, busy,
    restarting (from the death, or the request, until the new process answers), dead.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        kernel_id: str,
        spec: Spec,
        cwd: str,
        env: dict[str, str],
        *,
        changed: Callable[[Kernel], None],
        explain: Callable[[int], str],
        journal_bytes: int,
        restarts: policy.Restarts,
    ) -> None:
        self._around = surroundings
        self._cwd = cwd
        self._env = env
        self._changed = changed
        self._explain = explain
        self._incarnation: Incarnation | None = None
        self._stopping: Stopping | None = None
        self._farewell: str | None = None
        self._deaths = policy.Deaths()
        self._allowed_restarts = restarts
        self._restarts = 0
        journal = Journal(surroundings.run_folder, kernel_id, journal_bytes)
        self._witness = Witness(surroundings.session, journal, surroundings.loop.now())
        self._control = Control(spec.is_ipykernel)
        self._cpu = RecentCpu()
        self._phase = "starting"
        self._told = ""
        self.kernel_id = kernel_id
        self.spec = spec
        self.key = messages.new_key()
        self.generation = 1
        self.started_at = time.time()
        self.reason: str | None = None
        self.exit_status: int | None = None

    # ---- what is known of it

    @property
    def state(self) -> str:
        """The state that clients see. A process that is being ended by somebody else ends busy, until it is dead."""
        if self._is_ending:
            return "busy"
        if self._phase != "running":
            return self._phase
        return "busy" if self._busy else "idle"

    @property
    def _busy(self) -> bool:
        return self._witness.activity.busy

    @property
    def _is_ending(self) -> bool:
        """Whether somebody else than its user has begun to end it, for good."""
        return self._phase == "dead" and self._stopping is not None and self._farewell is not None

    @property
    def starting(self) -> bool:
        """Whether a process of it is on its way and wants the processor."""
        return self._phase in ("starting", "restarting") and self._stopping is None

    @property
    def pid(self) -> int | None:
        """The process that it has now, which leads its session."""
        return self._incarnation.child.pid if self._incarnation is not None else None

    def info(self, usage: Usage = NOTHING) -> dict[str, Any]:
        """The kernel in the protocol's form (KernelInfo)."""
        now = self._around.loop.now()
        activity = self._witness.activity
        idle_seconds = activity.idle_seconds(now)
        echo = self._incarnation.heartbeat_at if self._incarnation is not None else None
        return {
            "kernel_id": self.kernel_id,
            "name": self.spec.name,
            "state": self.state,
            "generation": self.generation,
            "started_at": self.started_at,
            "last_activity_at": time.time() - idle_seconds,
            "idle_seconds": idle_seconds,
            "executions": activity.executions,
            "pid": self.pid,
            "rss_bytes": usage.rss_bytes,
            "cpu_seconds": usage.cpu_seconds,
            "heartbeat_seconds": None if echo is None else now - echo,
            "reason": self.reason,
            "exit_status": self.exit_status,
            "journal_last": self._witness.journal.last,
            "control_seconds": self._control.seconds(now),
            "cpu_recent": self._cpu.processors(),
            "restarts": self._restarts,
            "ending": self._is_ending,
            "hands_over": self.spec.is_ipykernel,
        }

    def executions_after(self, number: int) -> dict[str, Any]:
        """What was run in its present process after execution `number`, in the protocol's form."""
        return {"generation": self.generation, **self._witness.executions.after(number)}

    # ---- what is done with it

    def start(self, environment: dict[str, str]) -> None:
        """Start its process. Raises Refusal ``start_failed``."""
        self._environment = environment
        try:
            self._incarnation = Incarnation(
                self._around,
                self.spec,
                self.kernel_id,
                self.key,
                self._cwd,
                {**environment, **self._env},
                self,
            )
        except (OSError, ValueError) as error:
            raise Refusal("start_failed", f"kernelspec {self.spec.name}: {error}") from error
        self._witness.begin(self.generation)
        self._tell()

    def adopt(self, spare: Incarnation, environment: dict[str, str]) -> None:
        """Take over a spare, which may still be starting."""
        self._environment = environment
        self.key = spare.files.key
        self._incarnation = spare
        spare.listener = self
        spare.child.resume()
        if spare.ready:
            self.became_ready()
        self._tell()

    def interrupt(self) -> None:
        """Interrupt what runs. Raises Refusal ``not_ready`` when nothing can."""
        if self._phase != "running" or self._incarnation is None:
            raise Refusal("not_ready", f"the kernel is {self.state}")
        self._incarnation.interrupt()

    def beat(self, usage: Usage) -> None:
        """Ask for signs of life; `usage` is what its processes use now. Look after the journal."""
        now = self._around.loop.now()
        if self._incarnation is not None and self._incarnation.ready and not self._incarnation.over:
            self._incarnation.ping()
            self._cpu.add(usage.cpu_seconds, now)
            if not self._control.waiting:
                self._control.ask(self._busy, now)
                self._incarnation.ask_control(lambda: self._control.answer(self._busy))
        self._witness.journal.check()
        self._witness.journal.flush()

    def sync_journal(self) -> dict[str, int]:
        """Have all that it has published by now in the journal; what that holds."""
        if self._incarnation is not None:
            self._incarnation.drain(bounds.SYNC_SECONDS)
        return self._witness.journal.extent()

    def note(self, note: dict[str, str]) -> None:
        """Write a front end's request into the journal."""
        self._witness.note(note)

    def close(self) -> None:
        """It is forgotten; its journal stays for others to read."""
        self._witness.journal.close()

    def restart(self, then: Callable[[], None]) -> None:
        """End its process and start another; `then` is called when that is started, or the kernel dead.

        Raises Refusal ``not_ready`` while it is being shut down.
        """
        self._deaths = policy.Deaths()
        self._farewell = None
        if self._phase == "dead" and self._stopping is not None:
            raise Refusal("not_ready", "the kernel is being shut down")
        self._end("restarting", lambda: self._stopped_for_restart(then), restart=True)

    def farewell(self, reason: str) -> None:
        """Whoever has a cell running is to be told why, when this process is ended next: somebody else wants it."""
        self._farewell = reason

    def shut_down(self, then: Callable[[], None]) -> None:
        """End its process; `then` is called when it has ended."""
        self._end("dead", then, restart=False)

    def _end(self, phase: str, then: Callable[[], None], *, restart: bool) -> None:
        """Bring the process to its end; a shutdown that comes during a restart has the last word."""
        if self._stopping is None and self._incarnation is not None:
            notice = self._part if self._farewell is not None and self._busy else None
            self._stopping = Stopping(
                self._around.loop, self._incarnation, restart=restart, busy=self._busy, notice=notice
            )
        self._phase = phase
        self.reason = None if restart else self._farewell or "shut down"
        self.exit_status = None
        if self._stopping is None:
            then()
        else:
            self._stopping.then.append(then)
        self._tell()

    def _part(self) -> None:
        """Its process is about to feel the end: what it has said until now it said of itself."""
        if self._incarnation is not None and self._farewell is not None:
            self._incarnation.drain(bounds.NOTICE_SECONDS)
            self._witness.part(self._farewell)

    def _stopped_for_restart(self, then: Callable[[], None]) -> None:
        if self._phase == "restarting" and self._incarnation is None:
            self._start_again()
        then()

    def _start_again(self) -> None:
        self.generation += 1
        try:
            self.start(self._environment)
        except Refusal as refusal:
            self._phase = "dead"
            self.reason = refusal.message
            self._tell()

    # ---- what its incarnation tells

    def became_ready(self) -> None:
        """See Listener. A spare that was adopted is moved to its folder first."""
        spare = self._incarnation
        if spare is None or self._phase not in ("starting", "restarting"):
            return
        if spare.files.prefix != self.kernel_id:
            try:
                spare.rename(self.kernel_id)
            except OSError:
                spare.child.signal(signal.SIGKILL)  # its sockets are not its own: it is started again as usual
                return
            spare.drain(bounds.SYNC_SECONDS)  # what it said as a spare is nobody's
            self._witness.begin(self.generation)
            spare.execute_silently(adoption_code(self._cwd, self._env), self._run)
            self._around.loop.later(bounds.ADOPTION_SECONDS, lambda: self._check_adopted(spare))
            return
        self._run()

    def _check_adopted(self, spare: Incarnation) -> None:
        if self._incarnation is spare and self._phase in ("starting", "restarting"):
            spare.child.signal(signal.SIGKILL)

    def _run(self) -> None:
        if self._phase in ("starting", "restarting"):
            self._phase = "running"
            self._deaths = self._deaths._replace(failed_starts=0)
            self._witness.activity.heard(self._around.loop.now())
            self._tell()

    def said(self, batch: list[Parts]) -> None:
        """See Listener."""
        self._witness.hear(batch, self._around.loop.now())
        self._tell()

    def ended(self, return_code: int) -> None:
        """See Listener. A death that nobody asked for leads to a restart or to the state dead, with its reason."""
        ended, self._incarnation = self._incarnation, None
        was_ready = self._phase == "running"
        now = self._around.loop.now()
        self._control.reset()
        self._cpu.reset()
        if self._stopping is not None:
            told, self._farewell = self._farewell, None
            reason, was_parting = told or self.reason or "restarted", self._witness.is_parting
            self._witness.end(Death(self.generation, reason, return_code, True, False, told is not None), now)
            stopping, self._stopping = self._stopping, None
            self._tell()
            stopping.finished(bounds.LAST_LOOK_SECONDS if was_parting else 0.0)
            return
        self.exit_status = return_code
        self.reason = self._explain(return_code)
        again, self._deaths = policy.decide_after_death(self._deaths, was_ready, now, self._allowed_restarts)
        self._witness.end(Death(self.generation, self.reason, return_code, False, again), now)
        if again:
            self._restarts += was_ready
            self._phase = "restarting" if was_ready else self._phase
            self._start_again()
            return
        if not was_ready and ended is not None and (tail := ended.child.tail.strip()):
            self.reason += ": " + "\n".join(tail.splitlines()[-MOST_LINES_OF_TAIL:])
        self._phase = "dead"
        self._tell()

    def _tell(self) -> None:
        if self._stopping is not None and self._farewell is not None and not (self._is_ending and self._busy):
            return  # its cells are told the reason first, when its process has ended
        now = f"{self.state} {self.generation} {self._is_ending}"
        if now != self._told:
            self._told = now
            self._changed(self)
