"""Child processes: started in a session of their own, observed through a pipe, signalled as a group."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable

from hub.agent import bounds
from hub.agent.loop import Loop

FIRST_VICTIM = 1000
"""The highest oom_score_adj: when memory runs out a kernel dies, never the agent."""


class Child:
    """A process that leads its own session. Its stdout and stderr are read away; their end is kept in `tail`.

    `stdin` and `stdout` are descriptors for the process that stay the caller's; without `stdin` it has none,
    without `stdout` it goes where stderr goes.

    Raises OSError when the program cannot be run. Close it after the process was reaped.
    """

    def __init__(
        self,
        loop: Loop,
        argv: list[str],
        env: dict[str, str],
        cwd: str,
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
    ) -> None:
        self._loop = loop
        self._tail = b""
        self._closed = False
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            self.process = subprocess.Popen(
                argv,
                env=env,
                cwd=cwd,
                stdin=stdin,
                stdout=writing if stdout is None else stdout,
                stderr=writing,
                start_new_session=True,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        os.set_blocking(reading, False)
        self._pipe = reading
        self.pid = self.process.pid
        make_first_victim(self.pid)
        loop.watch(reading, self._read)

    @property
    def tail(self) -> str:
        """The last that the process wrote to stdout and stderr."""
        return self._tail.decode("utf-8", "replace")

    def signal(self, number: int) -> None:
        """Signal the process and those of its group. Harmless when there are none any more."""
        if self._closed:
            return  # the number may be another's by now
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def pause(self) -> None:
        """Stop the group's processes until `resume`."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused group go on."""
        self.signal(signal.SIGCONT)

    def close(self) -> None:
        """Read what is left and let go of the pipe."""
        self._closed = True
        if self._pipe >= 0:
            self._read()
        if self._pipe >= 0:
            self._drop_pipe()

    def _drop_pipe(self) -> None:
        self._loop.unwatch(self._pipe)
        os.close(self._pipe)
        self._pipe = -1

    def _read(self) -> None:
        try:
            data = os.read(self._pipe, 65536)
        except BlockingIOError:
            return
        if data:
            self._tail = (self._tail + data)[-bounds.TAIL_BYTES :]
        else:
            self._drop_pipe()


def make_first_victim(pid: int) -> None:
    """Have the out-of-memory killer prefer this process. Raising one's own children needs no privilege."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/oom_score_adj", "w") as file:
        file.write(str(FIRST_VICTIM))


class Reaper:
    """Collects every child that ended, also orphans that PID 1 inherited, and tells who waits for it."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[subprocess.Popen[bytes] | None, Callable[[int], None]]] = {}

    def expect(self, pid: int, ended: Callable[[int], None], process: subprocess.Popen[bytes] | None = None) -> None:
        """Call `ended` with the return code (negative for a signal) when `pid` ends. `process` collects it."""
        self._waiting[pid] = (process, ended)

    def reap(self) -> None:
        """Collect what has ended by now."""
        while True:
            try:
                peeked = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if peeked is None:
                return
            self._collect(peeked.si_pid)

    def _collect(self, pid: int) -> None:
        process, ended = self._waiting.pop(pid, (None, None))
        if ended is not None:
            # The leader is not collected yet, so its group's number cannot belong to anybody else.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        return_code = process.wait() if process is not None else _return_code(os.waitpid(pid, 0)[1])
        if ended is not None:
            ended(return_code)


def _return_code(status: int) -> int:
    if os.WIFSIGNALED(status):
        return -os.WTERMSIG(status)
    return os.WEXITSTATUS(status)
