"""Effects of a workspace's life cycle, performed: containers started and stopped, kernels forgotten.

The runner decides nothing. It performs one effect and gives the event that came of it; what follows from that
is for `hub.domain.workspace.advance`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from hub.config import Profile, Settings
from hub.crash_points import Point, reached
from hub.domain.ids import WorkspaceId
from hub.domain.users import User
from hub.domain.workspace import Started, Stopped, Workspace
from hub.errors import AgentSilent, HubError, NoKernels, StartFailed
from hub.spawn.folders import Folders
from hub.spawn.protocol import KernelRules, Spawner, WorkspaceSpec
from hub.workspaces.agents import Agents
from hub.workspaces.image_kernelspecs import ImageKernelspecs, Source
from hub.workspaces.lives import Stopwatch
from hub.workspaces.profiles import ProfileSource, profile_for
from hub.workspaces.progress import Phase, Progress, StartKey
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

TAKING_SECONDS = 60.0
"""So long may `Runner.before_remove` take; then the folder stays, and it is tried again."""

BeforeRemove = Callable[[WorkspaceId], Awaitable[None]]


async def _nothing(_: WorkspaceId) -> None:
    """Nobody wants anything of the run folder."""


class Runner:
    """Performs effects through the spawner and the agents.

    Set `before_remove` to be asked before a run folder goes, with the kernels' journals in it: the container is gone
    then. While it raises, the folder stays; the reconciler tries again.
    """

    def __init__(
        self,
        settings: Settings,
        spawner: Spawner,
        folders: Folders,
        agents: Agents,
        image_kernelspecs: ImageKernelspecs,
        clock: Clock,
        progress: Progress | None = None,
        profiles: ProfileSource | None = None,
    ) -> None:
        self._profiles = profiles or settings
        self._settings = settings
        self._spawner = spawner
        self._folders = folders
        self._agents = agents
        self._image_kernelspecs = image_kernelspecs
        self._clock = clock
        self._progress = progress or Progress()
        self._starts = asyncio.Semaphore(settings.concurrent_starts)
        self.before_remove: BeforeRemove = _nothing

    async def start(self, workspace: Workspace, user: User) -> Started:
        """Start the container and wait until its agent answers; other starts beyond the limit wait their turn.

        Raises EngineSilent when the engine does not answer, ImageMissing, NoKernels or StartFailed with the
        reason; after any error but EngineSilent the container has been removed.
        """
        profile = profile_for(self._profiles, user, workspace.profile)
        key, watch = StartKey(user.id, workspace.profile), Stopwatch(self._clock)
        async with self._progress.turn(key, self._starts):
            watch.lap("queued")
            self._progress.note(key, Phase.CREATING)
            await self._agents.drop(workspace.id)
            spec = await asyncio.to_thread(self._prepare, workspace, user, profile)
            watch.lap("prepared")
            reached(Point.CONTAINER_START_BEFORE)
            container_id = await self._spawner.start(spec)
            reached(Point.CONTAINER_START_AFTER)
            watch.lap("created")
            self._progress.note(key, Phase.GREETING)
            try:
                hello = await self._agents.greet(workspace.id, self._settings.start_timeout.total_seconds())
                if not hello.kernelspecs:
                    raise NoKernels(
                        f"The image {profile.image} has no kernel: install ipykernel, or another kernel, in it."
                    )
            except (StartFailed, AgentSilent):
                await self._agents.drop(workspace.id)
                await self._spawner.stop(workspace.id, grace_seconds=2.0)
                raise
        reached(Point.CONTAINER_GREETED)
        watch.lap("answered")
        self._progress.note(key, Phase.ANSWERED)
        image_id = await self._image_id(profile)
        client = self._agents.client(workspace.id)
        await self._image_kernelspecs.learn(Source.of(profile), image_id, user.id, hello, client)
        return Started(container_id, self._clock.now(), watch.phases)

    async def stop(self, workspace_id: WorkspaceId) -> Stopped:
        """Stop and remove the container, then its run folder. Raises EngineSilent.

        A folder that could not be removed is no reason to say that the container runs.
        """
        await self._agents.drop(workspace_id)
        reached(Point.CONTAINER_STOP_BEFORE)
        await self._spawner.stop(workspace_id)
        reached(Point.CONTAINER_STOP_AFTER)
        await self.remove_folder(workspace_id)
        return Stopped()

    async def remove_folder(self, workspace_id: WorkspaceId) -> bool:
        """Remove the run folder of a container that is gone, once nobody needs what is in it. Whether it is gone."""
        try:
            async with asyncio.timeout(TAKING_SECONDS):
                await self.before_remove(workspace_id)
            reached(Point.JOURNALS_TAKEN)
            await asyncio.to_thread(self._folders.remove_run, workspace_id)
        except Exception as error:
            log.warning("the run folder of workspace %s stays for now: %s", workspace_id, str(error) or repr(error))
            return False
        return True

    async def _image_id(self, profile: Profile) -> str:
        """What identifies the image that was just started; empty if the engine would not say."""
        try:
            return await self._spawner.image_id(profile.image)
        except HubError:
            return ""

    def _prepare(self, workspace: Workspace, user: User, profile: Profile) -> WorkspaceSpec:
        try:
            return WorkspaceSpec(
                workspace_id=workspace.id,
                user_id=user.id,
                image=profile.image,
                limits=workspace.limits,
                uid=self._folders.uid_of(user),
                gid=self._folders.gid,
                home_folder=self._folders.prepare_home(user),
                home=profile.home,
                run_folder=self._folders.prepare_run(user, workspace.id),
                agent_folder=self._folders.prepare_agent(),
                user_name=user.name,
                network=profile.network,
                tmp_bytes=profile.tmp_bytes,
                spare_kernels=_spares(profile),
                rules=KernelRules(
                    profile.restarts, max(1, round(profile.restarts_within.total_seconds())), profile.journal_bytes
                ),
                environment=dict(profile.environment),
                gpus=profile.gpus if isinstance(profile.gpus, int) else tuple(profile.gpus),
                runtime=profile.runtime,
            )
        except OSError as error:
            raise StartFailed(f"The folders for your container could not be made: {error.strerror}.") from error


def _spares(profile: Profile) -> int:
    """Agents keep spares of ipykernel's own kernel only: none where a profile does not offer it."""
    return profile.spare_kernels if not profile.kernels or "python3" in profile.kernels else 0
