"""One terminal: a login shell on a pseudo-terminal, with a bounded memory of what it showed."""

from __future__ import annotations

import codecs
import contextlib
import errno
import fcntl
import os
import signal
import struct
import subprocess
import termios
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from hub.agent import bounds
from hub.agent.child import Reaper, make_first_victim
from hub.agent.loop import Loop
from hub.agent.wire import Refusal

READ_BYTES = 32 * 1024
PACE_SECONDS = 0.01
"""After each read the terminal rests this long: 3 MB/s, more than a browser draws; the program waits meanwhile."""
HANGUP_SECONDS = 1.0
LAST_READS = 64
"""How often what a shell wrote last is read; a program that it left behind might go on writing for ever."""


class Scrollback:
    """The last that a terminal showed, at most `limit` characters; pure."""

    def __init__(self, limit: int = bounds.SCROLLBACK_CHARACTERS) -> None:
        self._limit = limit
        self._chunks: deque[str] = deque()
        self._size = 0
        self._forgot = False

    def add(self, text: str) -> None:
        """Remember `text`; forget the oldest."""
        self._chunks.append(text)
        self._size += len(text)
        while self._size > self._limit and len(self._chunks) > 1:
            self._size -= len(self._chunks.popleft())
            self._forgot = True

    def text(self) -> str:
        """What is remembered, from the beginning of a line where something was forgotten."""
        whole = "".join(self._chunks)
        if not self._forgot and self._size <= self._limit:
            return whole
        cut = whole[-self._limit :]
        return cut[cut.find("\n") + 1 :]


class Terminal:
    """A running shell. `output` is called with what it shows, `ended` when it has ended. Raises OSError."""

    def __init__(
        self,
        loop: Loop,
        reaper: Reaper,
        name: str,
        cwd: str,
        env: dict[str, str],
        *,
        output: Callable[[str, str], None],
        ended: Callable[[str], None],
    ) -> None:
        self.name = name
        self._loop = loop
        self._output = output
        self._ended = ended
        self._scrollback = Scrollback()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._unwritten = b""
        self._active_at = loop.now()
        self._master, slave = os.openpty()
        try:
            os.set_blocking(self._master, False)
            self.resize(24, 80)
            process = _start_shell(slave, cwd, env)
        except BaseException:
            os.close(self._master)
            raise
        finally:
            os.close(slave)
        self.pid = process.pid
        make_first_victim(self.pid)
        reaper.expect(self.pid, self._shell_ended, process)
        loop.watch(self._master, self._read)

    def info(self) -> dict[str, Any]:
        """The terminal in the protocol's form (TerminalInfo)."""
        idle_seconds = self._loop.now() - self._active_at
        return {
            "name": self.name,
            "last_activity_at": time.time() - idle_seconds,
            "idle_seconds": idle_seconds,
        }

    def scrollback(self) -> str:
        """What it showed last."""
        return self._scrollback.text()

    def resize(self, rows: int, cols: int) -> None:
        """Set the size in characters; programs in it get SIGWINCH."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def type(self, data: str) -> None:
        """Give `data` to the program in it. Raises Refusal ``too_many`` while it does not read what it got."""
        encoded = data.encode("utf-8", "replace")
        if len(self._unwritten) + len(encoded) > bounds.MAX_INPUT_CHARACTERS * 4:
            raise Refusal("too_many", "the program in the terminal does not read its input")
        self._active_at = self._loop.now()
        self._unwritten += encoded
        self._write()

    def hang_up(self) -> None:
        """End the shell and what runs in it: hang up, and kill what is still there a second later."""
        self._signal(signal.SIGHUP)
        self._signal(signal.SIGCONT)
        self._loop.later(HANGUP_SECONDS, lambda: self._signal(signal.SIGKILL))

    def _signal(self, number: int) -> None:
        if self.pid > 0:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _write(self) -> None:
        try:
            written = os.write(self._master, self._unwritten)
        except BlockingIOError:
            written = 0
        except OSError:
            self._unwritten = b""
            return
        self._unwritten = self._unwritten[written:]
        if self._unwritten:
            self._loop.watch_writable(self._master, self._write)
        else:
            self._loop.unwatch_writable(self._master)

    def _read(self) -> None:
        self._loop.unwatch(self._master)
        if self._take() is not None:
            self._loop.later(PACE_SECONDS, self._read_on)

    def _read_on(self) -> None:
        if self._master >= 0:
            self._loop.watch(self._master, self._read)

    def _take(self) -> int | None:
        """Read once and pass it on. How many bytes there were, or None at the end."""
        try:
            data = os.read(self._master, READ_BYTES)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: nobody has the other side open
                raise
            data = b""
        if not data:
            return None
        self._active_at = self._loop.now()
        if text := self._decoder.decode(data):
            self._scrollback.add(text)
            self._output(self.name, text)
        return len(data)

    def _shell_ended(self, return_code: int) -> None:
        self.pid = 0
        for _ in range(LAST_READS):
            if not self._take():
                break
        self._loop.unwatch(self._master)
        self._loop.unwatch_writable(self._master)
        os.close(self._master)
        self._master = -1
        self._ended(self.name)


def _start_shell(slave: int, cwd: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a login shell whose controlling terminal is `slave`."""
    shell = next((path for path in (env.get("SHELL"), "/bin/bash") if path and os.access(path, os.X_OK)), "/bin/sh")

    def take_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    return subprocess.Popen(
        ["-" + shell.rpartition("/")[2]],
        executable=shell,
        env={**env, "SHELL": shell, "TERM": "xterm-256color"},
        cwd=cwd,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
