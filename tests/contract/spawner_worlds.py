"""What the contract suite needs of each kind of spawner: a spawner, specs for it, and the power to do harm."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable
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
from hub.spawn.remote import RemoteSpawner
from hub.spawn.spec import container_name
from hub.spawn.wire import Bounds, Definition
from hub.spawner.ground import make_private
from hub.spawner.owners import Owners
from hub.spawner.rules import Ceilings, Known, Rules
from hub.spawner.server import Server
from hub.spawner.service import Service, adopt_hub_id
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
    close: Callable[[], Awaitable[None]] | None = None
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def spec(self) -> WorkspaceSpec:
        """The spec of a new workspace of a new user."""
        user = User(UserId(new_id()), next(self.numbers), "ada", Role.USER, datetime.now(UTC))
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
        if self.close is not None:
            await self.close()


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


class StubFolders(Folders):
    """The spawner's own folder, with the stub in place of the agent where there is one."""

    def prepare_agent(self) -> Path:
        """See Folders.prepare_agent."""
        stub = self.data_dir.parent / "stub"
        return stub if stub.is_dir() else super().prepare_agent()


def rules(data_dir: Path, image: str, **changes: object) -> Rules:
    """Rules with one profile, called ``only``; administrators may define profiles with every image."""
    is_root = os.geteuid() == 0
    only = Known(
        Definition(image=image, home="/home/jovyan", network="none", tmp_bytes=512 * 1024**2),
        Bounds(memory_bytes=256 * 1024**2, cpus=1.0, pids=64),
    )
    values: dict[str, object] = {
        "data_dir": data_dir,
        "folder": data_dir / "spawner",
        "hub_uid": os.geteuid(),
        "hub_gid": os.getegid(),
        "base_uid": 200_000 if is_root else None,
        "base_gid": 100 if is_root else None,
        "profiles": {"only": only},
        "allowed_images": ["*"],
        "networks": ["none"],
        "ceilings": Ceilings(tmp_bytes=1024**3, memory_bytes=512 * 1024**2),
        "start_seconds": START_SECONDS,
    }
    return Rules(**{**values, **changes})  # type: ignore[arg-type]


async def serve(given: Rules, engine: Spawner | None = None, *, stub: bool = True) -> Callable[[], Awaitable[None]]:
    """A spawner's socket here; gives what ends it. `engine` None: the real one. `stub`: it takes the agent's place."""
    make_private(given.folder, given.hub_uid, given.hub_gid)
    own = (StubFolders if stub else Folders)(given.folder, None, None)
    adopt_hub_id(given, own)
    owners = Owners(given.folder)
    docker = engine or DockerSpawner(Engine(given.docker_url), own, python=None, start_seconds=given.start_seconds)
    server = Server(given, Service(given, docker, own, owners))
    await server.start()

    async def close() -> None:
        await server.close()
        await docker.close()
        owners.close()

    return close


async def remote_world(data_dir: Path, image: str, *, stub: bool = True) -> World:
    """A real Docker Engine behind a spawner's socket. `stub`: its containers run the stub in place of the agent."""
    folders = Folders(data_dir, 200_000, 100)
    given = rules(data_dir, image)
    close = await serve(given, stub=stub)

    def make() -> Spawner:
        profiles = {name: known.definition for name, known in given.profiles.items()}
        return RemoteSpawner(given.socket, folders, profiles, start_seconds=START_SECONDS)

    def kill(workspace_id: WorkspaceId) -> None:
        subprocess.run(["docker", "kill", container_name(workspace_id)], check=True, capture_output=True)
        subprocess.run(["docker", "wait", container_name(workspace_id)], check=True, capture_output=True)

    return World(make(), make, folders, image, kill, with_failing_stub, close=close)


def with_failing_stub(spec: WorkspaceSpec, words: str) -> WorkspaceSpec:
    """The same workspace with an agent that ends at once and says why."""
    return replace(spec, environment={**spec.environment, "STUB_FAILS": words})


def silent_worlds(data_dir: Path) -> dict[str, Spawner]:
    """Spawners whose engine does not answer."""
    folders = Folders(data_dir, None, None)
    nowhere = Engine(f"unix://{data_dir}/no-engine.sock")
    return {
        "remote": RemoteSpawner(data_dir / "none" / "spawner.sock", folders, {}, start_seconds=1.0),
        "fake": FakeSpawner(silent=True),
        "docker": DockerSpawner(nowhere, folders, python=None, start_seconds=1.0),
    }
