"""hub.spawner.confine: which engines there may be, and programs that run inside and outside."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hub.spawner.confine import DAC_OVERRIDE, FOR_HUB, FOR_PROXY, SYS_ADMIN, Plan, engine_sockets, has_capability

DAC_READ_SEARCH, SYS_PTRACE = 2, 19
PYTHON = [sys.executable, "-c"]


def confined(plan: Plan, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hub.spawner.confine", plan.text(), *PYTHON, code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture
def needs_root() -> None:
    if os.geteuid() != 0 or not has_capability(SYS_ADMIN):
        pytest.skip("only root with CAP_SYS_ADMIN can confine a program")


def test_an_engine_is_looked_for_where_the_settings_and_the_environment_say_and_at_the_usual_places() -> None:
    sockets = engine_sockets("unix:///srv/docker.sock", None, "tcp://127.0.0.1:2375", "unix:///srv/docker.sock")
    assert sockets[0] == "/srv/docker.sock" and sockets.count("/srv/docker.sock") == 1
    assert "/run/docker.sock" in sockets and not any("tcp" in path for path in sockets)


def test_what_leads_out_is_kept_by_nobody() -> None:
    assert not {DAC_READ_SEARCH, SYS_ADMIN, SYS_PTRACE} & {*FOR_HUB, *FOR_PROXY}
    assert DAC_OVERRIDE in FOR_PROXY


@pytest.mark.usefixtures("needs_root")
def test_an_engine_at_another_place_is_covered_with_its_folder(data_dir: Path) -> None:
    place = data_dir / "elsewhere"
    engine = place / "docker.sock"
    place.mkdir()
    code = f"import os; print(os.listdir({str(place)!r})); print(os.path.exists({str(engine)!r}))"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(engine))
        done = confined(Plan([*FOR_HUB], [], [], [str(engine)]), code)
        assert (done.stdout, done.stderr) == ("[]\nFalse\n", "")
        # A folder that the program needs cannot be covered: then the socket itself is.
        code = f"import socket; socket.socket(socket.AF_UNIX).connect({str(engine)!r})"
        done = confined(Plan([*FOR_HUB], [str(place)], [], [str(engine)]), code)
        assert "ConnectionRefusedError" in done.stderr and "kernelhub:" not in done.stderr


@pytest.mark.usefixtures("needs_root")
def test_only_the_folders_named_can_be_written_to(data_dir: Path) -> None:
    (data_dir / "own").mkdir()
    code = (
        "import sys\n"
        "for path in sys.argv[1:]:\n"
        "    try: open(path + '/x', 'w').close(); print('written')\n"
        "    except OSError as error: print(error.strerror)"
    )
    plan = Plan([*FOR_HUB], [str(data_dir)], [str(data_dir / "own")], [], [])
    done = confined(plan, code, str(data_dir), str(data_dir / "own"), "/etc", "/tmp")
    Path("/tmp/x").unlink(missing_ok=True)
    assert done.stdout.splitlines() == ["written", "Read-only file system", "Read-only file system", "written"]


@pytest.mark.usefixtures("needs_root")
def test_where_the_machine_refuses_the_program_runs_and_that_is_said(data_dir: Path) -> None:
    """As in a container: root without CAP_SYS_ADMIN."""
    engine = data_dir / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(engine))
        outer, inner = Plan([*FOR_HUB], [str(data_dir)], [], []), Plan([*FOR_PROXY], [], [], [str(engine)])
        command = [sys.executable, "-m", "hub.spawner.confine", inner.text(), *PYTHON, "print('runs')"]
        code = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
        done = confined(outer, code, *command)
    assert done.stdout == "runs\n"
    assert f"access to the container engine ({engine}): a mount namespace: Operation not permitted" in done.stderr
