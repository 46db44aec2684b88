"""One kernel as clients know it: an id, a state, and one incarnation after another."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

from hub.agent import bounds, messages, policy
from hub.agent.activity import Activity
from hub.agent.adoption import adoption_code
from hub.agent.executions import Executions
from hub.agent.incarnation import Incarnation, Listener, Surroundings
from hub.agent.messages import Received
from hub.agent.procfs import Usage
from hub.agent.specs import Spec
from hub.agent.stopping import Stopping
from hub.agent.wire import Refusal

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
    ) -> None:
        self._around = surroundings
        self._cwd = cwd
        self._env = env
        self._changed = changed
        self._explain = explain
        self._incarnation: Incarnation | None = None
        self._stopping: Stopping | None = None
        self._deaths = policy.Deaths()
        self._activity = Activity(surroundings.session, surroundings.loop.now())
        self.executions = Executions()
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
        """The state that clients see."""
        if self._phase != "running":
            return self._phase
        return "busy" if self._activity.busy else "idle"

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
        idle_seconds = self._activity.idle_seconds(now)
        echo = self._incarnation.heartbeat_at if self._incarnation is not None else None
        return {
            "kernel_id": self.kernel_id,
            "name": self.spec.name,
            "state": self.state,
            "generation": self.generation,
            "started_at": self.started_at,
            "last_activity_at": time.time() - idle_seconds,
            "idle_seconds": idle_seconds,
            "executions": self._activity.executions,
            "pid": self.pid,
            "rss_bytes": usage.rss_bytes,
            "cpu_seconds": usage.cpu_seconds,
            "heartbeat_seconds": None if echo is None else now - echo,
            "reason": self.reason,
            "exit_status": self.exit_status,
        }

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

    def ping(self) -> None:
        """Send a heartbeat."""
        if self._incarnation is not None:
            self._incarnation.ping()

    def restart(self, then: Callable[[], None]) -> None:
        """End its process and start another; `then` is called when that is started, or the kernel dead.

        Raises Refusal ``not_ready`` while it is being shut down.
        """
        self._deaths = policy.Deaths()
        if self._phase == "dead" and self._stopping is not None:
            raise Refusal("not_ready", "the kernel is being shut down")
        self._end("restarting", lambda: self._stopped_for_restart(then), restart=True)

    def shut_down(self, then: Callable[[], None]) -> None:
        """End its process; `then` is called when it has ended."""
        self._end("dead", then, restart=False)

    def _end(self, phase: str, then: Callable[[], None], *, restart: bool) -> None:
        """Bring the process to its end; a shutdown that comes during a restart has the last word."""
        if self._stopping is None and self._incarnation is not None:
            self._stopping = Stopping(self._around.loop, self._incarnation, restart=restart, busy=self._activity.busy)
        self._phase = phase
        self.reason = None if restart else "shut down"
        self.exit_status = None
        if self._stopping is not None:
            self._stopping.then.append(then)
        else:
            then()
        self._tell()

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
            self._activity.last_at = self._around.loop.now()
            self._tell()

    def said(self, message: Received) -> None:
        """See Listener."""
        self._activity.observe(message, self._around.loop.now())
        if message.code is not None and message.parent_session != self._around.session:
            self.executions.add(message.execution_count, message.code, time.time())
        self._tell()

    def ended(self, return_code: int) -> None:
        """See Listener. A death that nobody asked for leads to a restart or to the state dead, with its reason."""
        ended, self._incarnation = self._incarnation, None
        was_ready = self._phase == "running"
        self.executions.reset()
        self._activity.reset(self._around.loop.now())
        if self._stopping is not None:
            stopping, self._stopping = self._stopping, None
            stopping.finished()
            return
        self.exit_status = return_code
        self.reason = self._explain(return_code)
        again, self._deaths = policy.decide_after_death(self._deaths, was_ready, self._around.loop.now())
        if again:
            self._phase = "restarting" if was_ready else self._phase
            self._start_again()
            return
        if not was_ready and ended is not None and (tail := ended.child.tail.strip()):
            self.reason += ": " + "\n".join(tail.splitlines()[-MOST_LINES_OF_TAIL:])
        self._phase = "dead"
        self._tell()

    def _tell(self) -> None:
        now = f"{self.state} {self.generation}"
        if now != self._told:
            self._told = now
            self._changed(self)
