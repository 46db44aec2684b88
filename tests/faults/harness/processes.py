"""The processes of a hub that runs: found by what they are, signalled by pid, and by nothing broader."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.harness.running import RunningHub, eventually


def agent_processes(hub: RunningHub) -> list[psutil.Process]:
    """The agents that this hub's process spawner started."""
    found = []
    for process in psutil.process_iter(["environ", "cmdline"]):
        environment = process.info["environ"] or {}
        is_agent = any("agent" in part for part in (process.info["cmdline"] or ())[:4])
        if is_agent and environment.get("KERNELHUB_RUN", "").startswith(f"{hub.data_dir}/"):
            found.append(process)
    return found


def identity(process: psutil.Process) -> tuple[int, float]:
    """What is never used twice: pid and start time."""
    return process.pid, process.create_time()


def kill(process: psutil.Process) -> float:
    """SIGKILL, and wait for the end; gives the moment (monotonic) of the signal."""
    moment = time.monotonic()
    process.kill()
    with contextlib.suppress(psutil.TimeoutExpired):
        process.wait(10)
    return moment


@contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    """SIGSTOP for a block: alive, and answers nothing."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)


def seconds_until_ready(hub: RunningHub, name: str, old_pid: int, since: float, longest: float = 30.0) -> float:
    """How long after `since` there is a new process called `name` and the public address says that all is ready."""
    eventually(lambda: hub.find_child(name, other_than=old_pid), longest, f"a new {name}")
    eventually(hub.is_ready, longest, "readiness")
    return time.monotonic() - since


class Memory:
    """How much resident memory of a process grows."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.before = self.peak = process.memory_info().rss

    def look(self) -> int:
        """Take a sample; gives the bytes by which it has grown at most so far."""
        self.peak = max(self.peak, self._process.memory_info().rss)
        return self.peak - self.before
