"""hub.spawn.proc: processes named by pid and start time."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from hub.spawn import proc


@pytest.fixture
def child():
    with subprocess.Popen(["sleep", "60"], env={"MARK": "me"}) as process:
        yield process
        process.kill()


def test_a_process_is_known_by_pid_and_start_time(child: subprocess.Popen[bytes]) -> None:
    started = proc.start_time(child.pid)
    assert started is not None
    assert proc.is_alive(child.pid, started)
    assert not proc.is_alive(child.pid, started + 1)


def test_what_has_ended_but_was_not_reaped_is_not_alive(child: subprocess.Popen[bytes]) -> None:
    started = proc.start_time(child.pid)
    assert started is not None
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not proc.is_alive(child.pid, started)


def test_a_reused_pid_gives_no_descriptor(child: subprocess.Popen[bytes]) -> None:
    with pytest.raises(ProcessLookupError), proc.pidfd(child.pid, 1):
        pass


def test_processes_are_found_by_a_variable_of_their_environment(child: subprocess.Popen[bytes]) -> None:
    assert [pid for pid, _started in proc.with_variable("MARK=me")] == [child.pid]
    assert proc.with_variable("MARK=m") == []


async def test_the_end_of_a_process_is_waited_for_without_polling(child: subprocess.Popen[bytes]) -> None:
    started = proc.start_time(child.pid)
    assert started is not None
    with proc.pidfd(child.pid, started) as descriptor:
        assert not await proc.ended(descriptor, 0.0)
        waiting = asyncio.create_task(proc.ended(descriptor, 10.0))
        child.kill()
        assert await waiting


def test_the_interpreter_itself_is_alive() -> None:
    assert proc.start_time(os.getpid()) is not None, sys.executable
