"""Learning what kernels an image has before anybody has used it: a throw-away container, asked once per image.

The container has an empty home, no network and no user's code, so what its agent says counts for everybody. It is
started through the Spawner like any other, under the id of no workspace, and removed at once. An image is known by the
engine's id for it: a tag that was built anew is asked again.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from hub.config import Profile, Settings
from hub.domain.ids import UserId, WorkspaceId
from hub.domain.workspace import Limits
from hub.errors import EngineSilent, HubError, NoKernels, StartFailed
from hub.spawn.folders import Folders
from hub.spawn.protocol import Spawner, WorkspaceSpec
from hub.workspaces.agents import ask
from hub.workspaces.image_kernelspecs import IMAGE_ITSELF, ImageKernelspecs, Record, Source
from hub.workspaces.profiles import ProfileSource
from proxy.contract.agent import Hello
from proxy.kit.agent_client import AgentClient
from proxy.kit.clock import Clock
from proxy.kit.tasks import TaskOwner

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
"""How often the engine is asked whether the profiles' images are still the same ones."""
BELIEVE_SECONDS = 10.0
"""A failure is given to others who ask within this time, without asking the engine again."""
RETRY_SECONDS = 600.0
"""An image that could not be asked is tried again after this time, or as soon as it is another one."""
LEFTOVER_AGE = timedelta(minutes=3)
"""A probe this old was left by a hub that ended in the middle of it, or by a command that did."""

_ID = re.compile(r"probe-([0-9a-f]{8})-[0-9a-f]{8}\Z")


def new_probe_id(now: datetime) -> WorkspaceId:
    """An id for a probe's container: no workspace's, and it says when the probe began."""
    return WorkspaceId(f"probe-{int(now.timestamp()):08x}-{secrets.token_hex(4)}")


def probe_began_at(workspace_id: str) -> float | None:
    """When a probe began (seconds, UTC); None for what is not a probe's id."""
    found = _ID.match(workspace_id)
    return None if found is None else float(int(found[1], 16))


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a source is not known, which image that was (None: not even that is known), and when (monotonic)."""

    error: HubError
    image_id: str | None
    at: float


class Probes:
    """Asks images for their kernelspecs, one at a time; what is learned goes to `ImageKernelspecs`."""

    def __init__(
        self,
        settings: Settings,
        spawner: Spawner,
        folders: Folders,
        images: ImageKernelspecs,
        clock: Clock,
        profiles: ProfileSource | None = None,
    ) -> None:
        self._settings = settings
        self._profiles = profiles or settings
        self._spawner = spawner
        self._folders = folders
        self._images = images
        self._clock = clock
        self._tasks = TaskOwner("probes")
        self._under_way: dict[str, asyncio.Task[Record | HubError]] = {}
        self._failures: dict[str, _Failure] = {}
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Keep up with the images of all profiles, the default one first, until cancelled."""
        said: dict[str, str] = {}
        while True:
            profiles = dict(self._profiles.profiles)
            for name in dict.fromkeys([self._profiles.default_profile, *profiles]):
                try:
                    learned = await self.begin(profiles[name])
                except Exception:
                    log.exception("the image of profile %s was not asked for its kernels", name)
                    continue
                problem = learned.message if isinstance(learned, HubError) else ""
                if problem and said.get(name) != problem:
                    log.warning("the kernels of profile %s are not known: %s", name, problem)
                said[name] = problem
            await asyncio.sleep(LOOK_SECONDS)

    async def learn(self, profile: Profile) -> Record:
        """What the profile's image has, asked now unless this very image is known.

        All who ask at once wait for one probe. Raises ImageMissing, NoKernels, StartFailed, AgentSilent and
        EngineSilent with the reason.
        """
        learned = await asyncio.shield(self.begin(profile))
        if isinstance(learned, HubError):
            raise type(learned)(learned.message)
        return learned

    def begin(self, profile: Profile) -> asyncio.Task[Record | HubError]:
        """`learn` as a task that ends with what was learned, or with the error; nobody who waits may cancel it."""
        source = Source.of(profile)
        task = self._under_way.get(source.digest)
        if task is None:
            task = self._tasks.start(self._learn(source, profile), f"probe {profile.image}")
            self._under_way[source.digest] = task
            task.add_done_callback(lambda _: self._under_way.pop(source.digest, None))
        return task

    async def images(self) -> list[str]:
        """Names of images that the engine has, for choosing one; none where it does not tell or does not answer."""
        try:
            return await self._spawner.image_names()
        except HubError:
            return []

    def problem(self, profile: Profile) -> str | None:
        """Why the kernels of a profile's image cannot be had, in a sentence; None if nothing is known against it."""
        failure = self._failures.get(Source.of(profile).digest)
        return None if failure is None or isinstance(failure.error, EngineSilent) else failure.error.message

    async def remove(self, workspace_id: WorkspaceId) -> bool:
        """Remove what a probe left behind, unless it may still be under way. Whether it did. Raises EngineSilent."""
        began_at = probe_began_at(workspace_id)
        if began_at is None or self._clock.now().timestamp() - began_at < LEFTOVER_AGE.total_seconds():
            return False
        await self._clear(workspace_id)
        return True

    async def close(self) -> None:
        """End what is under way; its container is removed."""
        await self._tasks.close(deadline_seconds=5.0)

    async def _learn(self, source: Source, profile: Profile) -> Record | HubError:
        failure = self._failures.get(source.digest)
        if failure is not None and self._clock.monotonic() - failure.at < BELIEVE_SECONDS:
            return failure.error
        image_id: str | None = None
        try:
            async with self._one_at_a_time:
                image_id = await self._spawner.image_id(profile.image)
                known = await self._images.record(source, IMAGE_ITSELF)
                if known is not None and known.image_id == image_id:
                    learned = known
                elif failure is not None and self._refused_lately(failure, image_id):
                    return failure.error
                else:
                    learned = await self._probe(source, profile, image_id)
        except HubError as error:
            self._failures[source.digest] = _Failure(error, image_id, self._clock.monotonic())
            return error
        self._failures.pop(source.digest, None)
        return learned

    def _refused_lately(self, failure: _Failure, image_id: str) -> bool:
        """Whether this very image could not be asked, and that was not long ago."""
        same = failure.image_id == image_id and not isinstance(failure.error, EngineSilent)
        return same and self._clock.monotonic() - failure.at < RETRY_SECONDS

    async def _probe(self, source: Source, profile: Profile, image_id: str) -> Record:
        workspace_id = new_probe_id(self._clock.now())
        try:
            spec = await asyncio.to_thread(self._prepare, workspace_id, profile)
            await self._spawner.start(spec)
            client = AgentClient(spec.run_folder, spec.uid)
            try:
                hello: Hello = await ask(client.hello(self._settings.start_timeout.total_seconds()))
                if not hello.kernelspecs:
                    raise NoKernels(
                        f"The image {profile.image} has no kernel: install ipykernel, or another kernel, in it."
                    )
                learned = await self._images.learn(source, image_id, IMAGE_ITSELF, hello, client)
            finally:
                await client.close()
        finally:
            await self._clear_quietly(workspace_id)
        log.info("the image %s has the kernels %s", profile.image, ", ".join(spec.name for spec in learned.specs))
        return learned

    def _prepare(self, workspace_id: WorkspaceId, profile: Profile) -> WorkspaceSpec:
        try:
            run_folder, home_folder = self._folders.prepare_probe(workspace_id)
            return WorkspaceSpec(
                workspace_id=workspace_id,
                user_id=UserId("probe"),
                image=profile.image,
                limits=Limits(profile.memory_bytes, profile.cpus, profile.pids),
                uid=self._folders.probe_uid,
                gid=self._folders.gid,
                home_folder=home_folder,
                home=profile.home,
                run_folder=run_folder,
                agent_folder=self._folders.prepare_agent(),
                user_name="jovyan",
                network="none",
                spare_kernels=0,
                environment=dict(profile.environment),
                runtime=profile.runtime,
            )
        except OSError as error:
            raise StartFailed(f"The folders for a container could not be made: {error.strerror}.") from error

    async def _clear(self, workspace_id: WorkspaceId) -> None:
        await self._spawner.stop(workspace_id, grace_seconds=0.0)
        await asyncio.to_thread(self._folders.remove_run, workspace_id)

    async def _clear_quietly(self, workspace_id: WorkspaceId) -> None:
        """Remove the container whatever happened before; one that stays is found by reconciliation."""
        try:
            await self._clear(workspace_id)
        except (HubError, OSError) as error:
            log.warning("the container of a probe was not removed yet: %s", error)
