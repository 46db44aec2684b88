"""Local processes: what only they can leave behind."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hub.errors import StartFailed
from hub.spawn import proc
from hub.spawn.folders import Folders
from hub.spawn.process import NICENESS, WORKSPACE_VARIABLE
from tests.contract.spawner_worlds import process_world

ORPHAN_MAKER = """
import os, signal, socket, subprocess
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
subprocess.Popen(["sleep", "600"], start_new_session=True)
listener = socket.socket(socket.AF_UNIX)
listener.bind(os.environ["KERNELHUB_RUN"] + "/agent.sock")
signal.sigwait({signal.SIGTERM})
"""


@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_no_kernel_outlives_its_workspace(data_dir: Path, how: str) -> None:
    world = process_world(data_dir)
    spec = world.spec()
    (spec.agent_folder / "__main__.py").write_text(ORPHAN_MAKER)
    await world.spawner.start(spec)
    marker = f"{WORKSPACE_VARIABLE}={spec.workspace_id}"
    assert len(proc.with_variable(marker)) == 2
    if how == "killed":
        world.kill(spec.workspace_id)
    await world.spawner.stop(spec.workspace_id)
    assert proc.with_variable(marker) == []


async def test_the_hubs_settings_and_secrets_are_not_handed_on(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERNELHUB_DATABASE_URL", "postgresql://hub:secret@host/db")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    world = process_world(data_dir)
    spec = world.spec()
    container_id = await world.spawner.start(spec)
    environment = Path(f"/proc/{container_id.partition('-')[0]}/environ").read_bytes()
    assert b"secret" not in environment
    assert f"HOME={spec.home_folder}".encode() in environment.split(b"\0")
    await world.clean()


async def test_kernels_give_way_to_the_hub(data_dir: Path) -> None:
    world = process_world(data_dir)
    container_id = await world.spawner.start(world.spec())
    pid = int(container_id.partition("-")[0])
    assert os.getpriority(os.PRIO_PROCESS, pid) == max(os.getpriority(os.PRIO_PROCESS, 0), NICENESS)
    await world.clean()


async def test_an_agent_that_never_listens_is_stopped_and_said(data_dir: Path) -> None:
    world = process_world(data_dir)
    world.spawner._start_seconds = 0.3
    spec = world.spec()
    (spec.agent_folder / "__main__.py").write_text("import signal; signal.pause()")
    with pytest.raises(StartFailed, match="did not answer"):
        await world.spawner.start(spec)
    assert proc.with_variable(f"{WORKSPACE_VARIABLE}={spec.workspace_id}") == []


async def test_a_path_too_long_for_sockets_is_refused_with_what_to_do(data_dir: Path) -> None:
    deep = data_dir / ("d" * 60)
    deep.mkdir()
    world = process_world(deep)
    spec = replace(world.spec(), uid=os.geteuid())
    with pytest.raises(StartFailed, match="shorter data_dir"):
        await world.spawner.start(spec)
    assert Folders(deep, None, None).run(spec.workspace_id).is_dir()
