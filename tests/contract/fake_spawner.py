"""A Spawner in memory, for tests of what uses one. It passes the same contract suite as the real adapters."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

from hub.domain.ids import WorkspaceId
from hub.errors import Conflict, EngineSilent, ImageMissing, StartFailed
from hub.spawn.protocol import Observation, Presence, WorkspaceSpec


@dataclass
class FakeSpawner:
    """Does what it is told. `silent`: the engine does not answer. `fails`: reasons for which starts fail, by id.

    `images` is what the engine has, None for everything. `calls` lists what was asked, in order. `spare_bytes` is what
    a paused container can give back.
    """

    name: str = "fake"
    can_pause: bool = True
    silent: bool = False
    spare_bytes: int = 0
    images: set[str] | None = None
    image_ids: dict[str, str] = field(default_factory=dict)
    fails: dict[WorkspaceId, str] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    specs: dict[WorkspaceId, WorkspaceSpec] = field(default_factory=dict)
    containers: dict[WorkspaceId, Observation] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def start(self, spec: WorkspaceSpec) -> str:
        self._asked("start", spec.workspace_id)
        seen = self.containers.get(spec.workspace_id)
        if seen is not None and seen.presence is Presence.RUNNING and seen.container_id is not None:
            self.containers[spec.workspace_id] = replace(seen, is_paused=False)
            return seen.container_id
        self.containers.pop(spec.workspace_id, None)
        if self.images is not None and spec.image not in self.images:
            raise ImageMissing(f"The image {spec.image} is not on this machine.")
        if reason := self.fails.get(spec.workspace_id):
            raise StartFailed(reason)
        container_id = f"fake-{next(self._numbers)}"
        self.specs[spec.workspace_id] = spec
        self.containers[spec.workspace_id] = Observation(spec.workspace_id, Presence.RUNNING, container_id)
        return container_id

    async def stop(self, workspace_id: WorkspaceId, grace_seconds: float = 10.0) -> None:
        self._asked("stop", workspace_id)
        self.containers.pop(workspace_id, None)

    async def pause(self, workspace_id: WorkspaceId) -> None:
        self._asked("pause", workspace_id)
        self._freeze(workspace_id, True)

    async def thaw(self, workspace_id: WorkspaceId) -> None:
        self._asked("thaw", workspace_id)
        self._freeze(workspace_id, False)

    async def reclaim(self, workspace_id: WorkspaceId) -> int:
        self._asked("reclaim", workspace_id)
        seen = self.containers.get(workspace_id)
        return self.spare_bytes if seen is not None and seen.is_paused else 0

    async def state(self, workspace_id: WorkspaceId) -> Observation:
        self._asked("state", workspace_id)
        return self.containers.get(workspace_id) or Observation(workspace_id, Presence.ABSENT)

    async def inventory(self) -> list[Observation]:
        self._asked("inventory", "")
        return list(self.containers.values())

    async def image_id(self, image: str) -> str:
        self._asked("image_id", image)
        if self.images is not None and image not in self.images:
            raise ImageMissing(f"The image {image} is not on this machine.")
        return self.image_ids.get(image, f"id of {image}")

    async def image_names(self) -> list[str]:
        self._asked("image_names", "")
        return sorted(self.images or ())

    async def ping(self) -> None:
        self._asked("ping", "")

    async def close(self) -> None:
        self.calls.append(("close", ""))

    def end(self, workspace_id: WorkspaceId, reason: str = "it ended by itself") -> None:
        """Let a container end, as if from outside."""
        seen = self.containers[workspace_id]
        self.containers[workspace_id] = Observation(workspace_id, Presence.EXITED, seen.container_id, reason)

    def _freeze(self, workspace_id: WorkspaceId, is_paused: bool) -> None:
        seen = self.containers.get(workspace_id)
        if seen is None or seen.presence is not Presence.RUNNING:
            raise Conflict("The container does not run.")
        self.containers[workspace_id] = replace(seen, is_paused=is_paused)

    def _asked(self, what: str, whom: str) -> None:
        self.calls.append((what, whom))
        if self.silent:
            raise EngineSilent("The container engine does not answer; nothing was changed. Try again soon.")
