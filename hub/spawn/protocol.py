"""The Spawner protocol: where code runs, behind few methods.

Every adapter passes tests/contract/test_spawner.py. A spawner starts and stops containers and says what it
sees; it decides nothing and remembers nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from hub.domain.ids import UserId, WorkspaceId
from hub.domain.workspace import Limits


@dataclass(frozen=True, slots=True)
class KernelRules:
    """What an agent goes by: how often it starts a kernel that died again, and how much it keeps of what one says."""

    restarts: int = 3
    restarts_within_seconds: int = 60
    journal_bytes: int = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class WorkspaceSpec:
    """Everything needed to start a workspace, typed; an adapter makes its own form of it.

    `home_folder`, `run_folder` are existing folders of this host, owned by `uid`:`gid`; `agent_folder` holds
    the agent's program, read-only. `home` is where the home appears inside. `environment` holds no secrets.
    `scratch_folder` None is the rule: the home itself is mounted. Else the container sees a view of the home, and what
    it writes goes to ``upper`` in that folder (``work`` is the engine's), the home stays as it is.
    """

    workspace_id: WorkspaceId
    user_id: UserId
    image: str
    limits: Limits
    uid: int
    gid: int
    home_folder: Path
    home: str
    run_folder: Path
    agent_folder: Path
    user_name: str
    network: str = "none"
    tmp_bytes: int = 512 * 1024**2
    spare_kernels: int = 1
    environment: dict[str, str] = field(default_factory=dict)
    scratch_folder: Path | None = None
    gpus: int | tuple[str, ...] = 0
    runtime: str | None = None
    rules: KernelRules = KernelRules()


class Presence(StrEnum):
    """What the engine positively says about a container."""

    RUNNING = "running"
    EXITED = "exited"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Observation:
    """A positive answer about one workspace. `reason` says in words why it exited, if that is known.

    `is_paused`: it runs, but its processes are frozen.
    """

    workspace_id: WorkspaceId
    presence: Presence
    container_id: str | None = None
    reason: str | None = None
    is_paused: bool = False


class Spawner(Protocol):
    """Starts, stops and observes workspaces.

    Each method raises `hub.errors.EngineSilent` when the engine does not answer: nothing is known then, and
    nothing may be concluded. `name` is ``docker`` or ``process``. `can_pause`: whether `pause` is possible at all.
    """

    name: str
    can_pause: bool

    async def start(self, spec: WorkspaceSpec) -> str:
        """Start the workspace and give its container id; one that runs already is left alone and given.

        One that is paused is thawed and given. A container of the same workspace that has exited is removed first.
        Raises ImageMissing, StartFailed.
        """

    async def stop(self, workspace_id: WorkspaceId, grace_seconds: float = 10.0) -> None:
        """Stop and remove the workspace's container; kill it after the grace. One that is absent is fine.

        One that is paused is thawed first, so that its agent has the grace.
        """

    async def pause(self, workspace_id: WorkspaceId) -> None:
        """Freeze all processes of a running container, or none; one that is paused already is fine.

        Raises Conflict when it does not run (any more), is just being started, or this spawner cannot pause.
        """

    async def thaw(self, workspace_id: WorkspaceId) -> None:
        """Let a paused container go on where it was; one that runs is fine. Raises Conflict when there is none."""

    async def reclaim(self, workspace_id: WorkspaceId) -> int:
        """Give memory of a paused container back to the machine, and say how many bytes: 0 where that is not possible.

        Takes seconds. Ends as soon as the container is thawed, so nobody needs to wait for it before a `thaw`.
        """

    async def state(self, workspace_id: WorkspaceId) -> Observation:
        """What the engine says of one workspace now."""

    async def inventory(self) -> list[Observation]:
        """All containers that carry this hub's label, running or exited."""

    async def image_id(self, image: str) -> str:
        """What identifies the image of this name now: another text once the name means something else.

        Raises ImageMissing.
        """

    async def image_names(self) -> list[str]:
        """Names of images that the engine has and profiles may have, in order."""

    async def ping(self) -> None:
        """Return if the engine answers within its deadline, else raise EngineSilent."""

    async def close(self) -> None:
        """Release connections and threads. Containers stay."""
