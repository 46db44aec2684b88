"""One job: a program of the agent's own in a process of its own, and what it said, within bounds."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from hub.agent import bounds
from hub.agent.child import Child, Reaper
from hub.agent.loop import Loop, Timer

READ_BYTES = 64 * 1024
STOP_SECONDS = 5.0
"""How long a program has to end after SIGTERM; then it is killed."""
LAST_READS = 64
"""How often what a program wrote last is read: a pipe holds less than that."""

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""The folder of the installed agent, which Python runs."""


class Lines:
    """The last whole lines that a program wrote, at most `limit` bytes of them; pure.

    A position is a number of bytes since the first line. A line that is too long stands there as
    ``{"too_long": <its bytes>}``, so that every line is what it should be: one JSON object, bounded.
    """

    def __init__(self, limit: int = bounds.MAX_JOB_OUTPUT_BYTES) -> None:
        self._limit = limit
        self._lines: deque[bytes] = deque()
        self._open = b""
        self._too_long = 0
        self.start = 0
        self.end = 0

    def add(self, data: bytes) -> None:
        """Take what was read: any number of lines, the last of them perhaps not whole."""
        *whole, rest = (self._open + data).split(b"\n")
        for line in whole:
            if self._too_long or len(line) >= bounds.MAX_JOB_LINE_BYTES:
                line = b'{"too_long":%d}' % (self._too_long + len(line))
                self._too_long = 0
            self._keep(line.decode("utf-8", "replace").encode() + b"\n")
        if len(rest) >= bounds.MAX_JOB_LINE_BYTES:
            self._too_long += len(rest)
            rest = b""
        self._open = rest

    def read(self, offset: int, most_bytes: int = bounds.MAX_JOB_READ_BYTES) -> tuple[int, bytes]:
        """Whole lines from the first that begins at or after `offset`, and the position where they begin."""
        position, size = self.start, 0
        taken: list[bytes] = []
        begin = max(offset, self.start)
        for line in self._lines:
            if position >= begin:
                if taken and size + len(line) > most_bytes:
                    break
                taken.append(line)
                size += len(line)
            elif position + len(line) > begin:
                begin = position + len(line)
            position += len(line)
        return min(begin, self.end), b"".join(taken)

    def _keep(self, line: bytes) -> None:
        self._lines.append(line)
        self.end += len(line)
        while self.end - self.start > self._limit and len(self._lines) > 1:
            self.start += len(self._lines.popleft())


class Job:
    """A program that runs or has ended. `ended` is called with it when its process has. Raises OSError."""

    def __init__(
        self,
        loop: Loop,
        reaper: Reaper,
        job_id: str,
        program: str,
        arguments: dict[str, Any],
        *,
        home: str,
        environment: dict[str, str],
        ended: Callable[[Job], None],
    ) -> None:
        self.job_id = job_id
        self._program = program
        self._loop = loop
        self._ended = ended
        self._lines = Lines()
        self._started_at = time.time()
        self._ended_at: float | None = None
        self._exit_status: int | None = None
        self._reason: str | None = None
        self._killing: Timer | None = None
        self._then: list[Callable[[], None]] = []
        self._child = self._start(arguments, home, environment)
        loop.watch(self._output, self._read)
        reaper.expect(self._child.pid, self._process_ended, self._child.process)

    def _start(self, arguments: dict[str, Any], home: str, environment: dict[str, str]) -> Child:
        """Start the process. Its arguments are in memory, not in a pipe: nobody waits until they are read."""
        given = os.memfd_create("arguments", os.MFD_CLOEXEC)
        self._output, writing = os.pipe2(os.O_CLOEXEC)
        try:
            os.write(given, json.dumps(arguments).encode())
            os.lseek(given, 0, os.SEEK_SET)
            os.set_blocking(self._output, False)
            argv = [sys.executable, "-I", "-B", _ROOT, self._program]
            return Child(self._loop, argv, environment, home, stdin=given, stdout=writing)
        except BaseException:
            os.close(self._output)
            raise
        finally:
            os.close(given)
            os.close(writing)

    @property
    def running(self) -> bool:
        """Whether its process has not ended yet."""
        return self._exit_status is None

    def info(self) -> dict[str, Any]:
        """The job in the protocol's form (JobInfo)."""
        return {
            "job_id": self.job_id,
            "program": self._program,
            "started_at": self._started_at,
            "output_bytes": self._lines.end,
            "ended_at": self._ended_at,
            "exit_status": self._exit_status,
            "reason": self._reason,
        }

    def read(self, offset: int) -> dict[str, Any]:
        """What it wrote from `offset` on, in the protocol's form (JobOutput)."""
        begin, text = self._lines.read(offset)
        return {
            "job": self.info(),
            "offset": begin,
            "next_offset": begin + len(text),
            "text": text.decode(),
        }

    def stop(self, then: Callable[[], None]) -> None:
        """End the program and all of its session; call `then` when it has ended. Harmless when it has."""
        if not self.running:
            then()
            return
        self._then.append(then)
        if self._killing is None:
            self._child.signal(signal.SIGTERM)
            self._killing = self._loop.later(STOP_SECONDS, self.kill)

    def kill(self) -> None:
        """End it now."""
        if self.running:
            self._child.signal(signal.SIGKILL)

    def _read(self) -> None:
        if not self._take():
            self._loop.unwatch(self._output)

    def _take(self) -> bool:
        """Read once; whether there may be more."""
        try:
            data = os.read(self._output, READ_BYTES)
        except BlockingIOError:
            return True
        self._lines.add(data)
        return bool(data)

    def _process_ended(self, return_code: int) -> None:
        for _ in range(LAST_READS):
            if not self._take():
                break
        self._loop.unwatch(self._output)
        os.close(self._output)
        self._child.close()
        if self._killing is not None:
            self._killing.cancel()
        self._ended_at = time.time()
        self._exit_status = return_code
        self._reason = self._child.tail.strip() or None if return_code else None
        self._ended(self)
        for callback in self._then:
            callback()
