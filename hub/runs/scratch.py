"""Throw-away containers in which a user's home can be spoilt: made for one verification, gone after it.

With an engine, and a hub that is root, the container sees the home through a layer that takes all writes (an overlay:
nothing is copied, however large the home is). Elsewhere it gets a copy, which is bounded.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
from dataclasses import replace
from pathlib import Path, PurePosixPath

from hub.config import Profile, Settings
from hub.contents.service import ContentsOfUsers
from hub.domain.ids import WorkspaceId
from hub.domain.users import User
from hub.domain.workspace import Limits
from hub.errors import EngineSilent, HubError, StartFailed
from hub.spawn.folders import Folders
from hub.spawn.protocol import Presence, Spawner, WorkspaceSpec
from hub.workspaces.agents import Agents
from hub.workspaces.reconcile import SCRATCH_PREFIX

log = logging.getLogger(__name__)

GRACE_SECONDS = 1.0
_LAYER = re.compile(r"[^,:\\\s]+\Z")
"""Paths that can stand in an overlay's options as they are."""
_VIEW, _COPY = "upper", "home"


def new_scratch_id() -> WorkspaceId:
    """An id for a throw-away container: no workspace's."""
    return WorkspaceId(f"{SCRATCH_PREFIX}{secrets.token_hex(8)}")


class Scratches:
    """Starts and removes throw-away containers. Who opens one closes it, whatever happens."""

    def __init__(
        self, settings: Settings, spawner: Spawner, folders: Folders, agents: Agents, contents: ContentsOfUsers
    ) -> None:
        self._settings = settings
        self._spawner = spawner
        self._folders = folders
        self._agents = agents
        self._contents = contents
        self._starts = asyncio.Semaphore(settings.concurrent_starts)
        self._views = spawner.name == "docker" and os.geteuid() == 0

    async def open(self, workspace_id: WorkspaceId, user: User, profile: Profile, path: str) -> None:
        """Start a container with the profile's image and limits, in which the file `path` is where it is at home.

        Raises what `Spawner.start` raises, and TooLarge where the home must be copied and is too large.
        """
        async with self._starts:
            spec = await asyncio.to_thread(self._prepare, workspace_id, user, profile)
            if not (self._views and await self._started_with_view(spec, user)):
                await self._copy(spec, user, str(PurePosixPath(path).parent).removeprefix("."))
                home = self._folders.scratch(workspace_id) / _COPY
                await self._spawner.start(replace(spec, home_folder=home))
            await self._agents.greet(workspace_id, self._settings.start_timeout.total_seconds())

    def written(self, workspace_id: WorkspaceId) -> Path:
        """The folder of this host that has what was written to the home in the container."""
        folder = self._folders.scratch(workspace_id)
        return folder / _COPY if (folder / _COPY).is_dir() else folder / _VIEW

    async def why_gone(self, workspace_id: WorkspaceId) -> str | None:
        """Why the container is not there any more; None if it may be."""
        try:
            seen = await self._spawner.state(workspace_id)
        except EngineSilent:
            return None
        return None if seen.presence is Presence.RUNNING else seen.reason or "it was removed"

    async def close(self, workspace_id: WorkspaceId) -> None:
        """Remove the container and all that was written in it. Nothing is fine. Raises EngineSilent."""
        await self._agents.drop(workspace_id)
        await self._spawner.stop(workspace_id, grace_seconds=GRACE_SECONDS)
        await asyncio.to_thread(self._folders.remove_run, workspace_id)
        await asyncio.to_thread(self._folders.remove_scratch, workspace_id)

    async def sweep(self, wanted: set[WorkspaceId]) -> None:
        """Remove the containers and folders of verifications that are over: a hub before this one left them."""
        try:
            seen = {each.workspace_id for each in await self._spawner.inventory()}
        except EngineSilent:
            return
        folder = self._folders.data_dir / "scratch"
        seen |= {WorkspaceId(path.name) for path in folder.glob(f"{SCRATCH_PREFIX}*")}
        for workspace_id in seen - wanted:
            if workspace_id.startswith(SCRATCH_PREFIX):
                try:
                    await self.close(workspace_id)
                    log.info("removed %s, which a verification had left", workspace_id)
                except (HubError, OSError) as error:
                    log.warning("%s, which a verification left, was not removed: %s", workspace_id, error)

    async def _started_with_view(self, spec: WorkspaceSpec, user: User) -> bool:
        """Start it with a view of the home, if the engine and the file system can."""
        scratch = self._folders.scratch(spec.workspace_id)
        if not all(_LAYER.match(str(path)) for path in (spec.home_folder, scratch)):
            return False
        try:
            await self._spawner.start(replace(spec, scratch_folder=scratch))
        except StartFailed as error:
            if "mount" not in error.message:
                raise
            log.warning("no view of a home can be had here, homes are copied from now on: %s", error.message)
            self._views = False
            return False
        return True

    async def _copy(self, spec: WorkspaceSpec, user: User, folder: str) -> None:
        made = await asyncio.to_thread(self._folders.prepare_scratch, user, spec.workspace_id, _COPY)
        await self._contents.of(user).copy_out(folder, made / _COPY)

    def _prepare(self, workspace_id: WorkspaceId, user: User, profile: Profile) -> WorkspaceSpec:
        try:
            names = (_VIEW, "work") if self._views else ()
            self._folders.prepare_scratch(user, workspace_id, *names)
            return WorkspaceSpec(
                workspace_id=workspace_id,
                user_id=user.id,
                image=profile.image,
                limits=Limits(profile.memory_bytes, profile.cpus, profile.pids),
                uid=self._folders.uid_of(user),
                gid=self._folders.gid,
                home_folder=self._folders.prepare_home(user),
                home=profile.home,
                run_folder=self._folders.prepare_run(user, workspace_id),
                agent_folder=self._folders.prepare_agent(),
                user_name=user.name,
                network=profile.network,
                tmp_bytes=profile.tmp_bytes,
                spare_kernels=0,
                environment=dict(profile.environment),
                gpus=profile.gpus if isinstance(profile.gpus, int) else tuple(profile.gpus),
                runtime=profile.runtime,
            )
        except OSError as error:
            raise StartFailed(f"The folders for a container could not be made: {error.strerror}.") from error
