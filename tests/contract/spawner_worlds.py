"""What the contract suite needs of each kind of spawner: a spawner, specs for it, and the power to do harm."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from hub.domain.ids import UserId, WorkspaceId, new_id
from hub.domain.users import Role, User
from hub.domain.workspace import Limits
from hub.spawn.docker import DockerSpawner
from hub.spawn.engine import Engine
from hub.spawn.folders import Folders
from hub.spawn.process import ProcessSpawner
from hub.spawn.protocol import Spawner, WorkspaceSpec
from hub.spawn.spec import container_name
from tests.contract.fake_spawner import FakeSpawner

STUB = Path(__file__).with_name("stub_agent.py")
START_SECONDS = 30.0


@dataclass
class World:
    """One kind of spawner. `again` makes a second one for the same data, as after a restart of the hub."""

    spawner: Spawner
    again: Callable[[], Spawner]
    folders: Folders
    image: str
    kill: Callable[[WorkspaceId], None]
    fail: Callable[[WorkspaceSpec, str], WorkspaceSpec]
    made: list[WorkspaceId] = field(default_factory=list)

    def spec(self, number: int = 1) -> WorkspaceSpec:
        """The spec of a new workspace of a new user."""
        user = User(UserId(new_id()), number, "ada", Role.USER, datetime.now(UTC))
        workspace_id = WorkspaceId(new_id())
        self.made.append(workspace_id)
        agent = self.folders.data_dir / "stub"
        agent.mkdir(exist_ok=True)
        (agent / "__main__.py").write_text(STUB.read_text())
        return WorkspaceSpec(
            workspace_id=workspace_id,
            user_id=user.id,
            image=self.image,
            limits=Limits(memory_bytes=256 * 1024**2, cpus=1.0, pids=64),
            uid=self.folders.uid_of(user),
            gid=self.folders.gid,
            home_folder=self.folders.prepare_home(user),
            home="/home/jovyan",
            run_folder=self.folders.prepare_run(user, workspace_id),
            agent_folder=agent,
            user_name=user.name,
        )

    async def clean(self) -> None:
        """Leave nothing running."""
        for workspace_id in self.made:
            await self.spawner.stop(workspace_id, grace_seconds=0)
        await self.spawner.close()


def fake_world(data_dir: Path) -> World:
    """A spawner in memory."""
    spawner = FakeSpawner()

    def fail(spec: WorkspaceSpec, words: str) -> WorkspaceSpec:
        spawner.fails[spec.workspace_id] = words
        return spec

    def kill(workspace_id: WorkspaceId) -> None:
        spawner.end(workspace_id, "it was killed from outside (SIGKILL)")

    spawner.images = {"some/image:latest"}
    folders = Folders(data_dir, None, None)
    return World(spawner, lambda: spawner, folders, "some/image:latest", kill, fail)


def process_world(data_dir: Path) -> World:
    """Local processes."""
    folders = Folders(data_dir, None, None)
    spawner = ProcessSpawner(folders, start_seconds=START_SECONDS)

    def kill(workspace_id: WorkspaceId) -> None:
        record = (folders.run(workspace_id) / "process.json").read_text()
        os.kill(int(record.partition('"pid":')[2].partition(",")[0]), signal.SIGKILL)

    def again() -> Spawner:
        return ProcessSpawner(folders, start_seconds=START_SECONDS)

    return World(spawner, again, folders, "", kill, with_failing_stub)


def docker_world(data_dir: Path, image: str) -> World:
    """A real Docker Engine."""
    folders = Folders(data_dir, 200_000, 100)

    def make() -> Spawner:
        return DockerSpawner(Engine(), folders, python=None, start_seconds=START_SECONDS)

    def kill(workspace_id: WorkspaceId) -> None:
        subprocess.run(["docker", "kill", container_name(workspace_id)], check=True, capture_output=True)
        subprocess.run(["docker", "wait", container_name(workspace_id)], check=True, capture_output=True)

    return World(make(), make, folders, image, kill, with_failing_stub)


def with_failing_stub(spec: WorkspaceSpec, words: str) -> WorkspaceSpec:
    """The same workspace with an agent that ends at once and says why."""
    return replace(spec, environment={**spec.environment, "STUB_FAILS": words})


def silent_worlds(data_dir: Path) -> dict[str, Spawner]:
    """Spawners whose engine does not answer."""
    folders = Folders(data_dir, None, None)
    nowhere = Engine(f"unix://{data_dir}/no-engine.sock")
    return {
        "fake": FakeSpawner(silent=True),
        "docker": DockerSpawner(nowhere, folders, python=None, start_seconds=1.0),
    }
