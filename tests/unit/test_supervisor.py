"""hub.supervisor and ``python -m hub.cli``: Ctrl-C ends everything within five seconds, on a busy machine too."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hub.config import Settings
from hub.supervisor import LEAST_STOP_SECONDS, Supervisor, _says_ready

MARK = "import atexit\natexit.register(print, 'taken apart', flush=True)\n"


def child(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A child as the supervisor starts it, which would say so if its interpreter were taken apart."""
    (folder / "sitecustomize.py").write_text(MARK)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "hub.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("flag", "status"), [("--help", 0), ("--no-such-flag", 2)])
def test_a_supervised_process_leaves_at_once(tmp_path: Path, flag: str, status: int) -> None:
    ended = child(tmp_path, "proxy", "--supervised", flag)
    assert ended.returncode == status
    assert (ended.stdout if status == 0 else ended.stderr).strip()
    assert "taken apart" not in ended.stdout


def test_any_other_command_ends_as_usual(tmp_path: Path) -> None:
    assert "taken apart" in child(tmp_path, "proxy", "--help").stdout


async def test_the_children_share_the_time_there_is(tmp_path: Path) -> None:
    supervisor = Supervisor(Settings(data_dir=tmp_path))
    supervisor._stopping.set()
    proxy, hub, spawner = (supervisor._patience(name) for name in ("proxy", "hub", "spawner"))
    assert proxy < hub < spawner < 5, "each has until a moment that counts from the wish to stop"
    assert supervisor._stopping_since is not None
    supervisor._stopping_since -= 60
    assert supervisor._patience("hub") == LEAST_STOP_SECONDS, "who comes late is still asked before it is killed"


async def test_a_new_proxy_takes_over_when_it_says_that_it_listens_and_not_when_it_ends_before() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"ready\n")
    os.close(writing)
    assert await _says_ready(reading)
    reading, writing = os.pipe()
    os.close(writing)
    assert not await _says_ready(reading)


async def test_a_port_that_somebody_has_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        supervisor = Supervisor(Settings(data_dir=tmp_path, port=taken.getsockname()[1]))
        problem = supervisor._listen()
    assert problem is not None and "it cannot listen on 127.0.0.1:" in problem
