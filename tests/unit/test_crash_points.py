"""hub.crash_points: a hub dies where it is told, the time it is told, and once if it is told so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from hub.crash_points import Point

PROGRAM = (
    "from hub.crash_points import Point, reached\nfor _ in range(3):\n    reached(Point.MOVED); print('on', flush=True)"
)


def run(at: str, **more: str) -> tuple[int, int]:
    """The exit status, and how often it went on."""
    environment = {**os.environ, "HUB_CRASH_AT": at, **more}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.count("on")


def test_it_dies_at_its_label_and_at_no_other() -> None:
    assert run(Point.MOVED) == (-signal.SIGKILL, 0)
    assert run(f"{Point.MOVED}@3") == (-signal.SIGKILL, 2)
    assert run(Point.DRAFT_MADE) == (0, 3)


def test_it_dies_once_where_a_file_remembers_it(tmp_path: Path) -> None:
    mark = str(tmp_path / "died")
    assert run(Point.MOVED, HUB_CRASH_ONCE=mark) == (-signal.SIGKILL, 0)
    assert run(Point.MOVED, HUB_CRASH_ONCE=mark) == (0, 3)
