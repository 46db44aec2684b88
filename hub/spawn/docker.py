"""Workspaces as containers of a Docker Engine.

The container's name derives from the workspace's id, its labels say whose it is: the engine itself is the
record of what runs, and nothing is remembered here.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from docker.errors import APIError, ImageNotFound, NotFound

from hub.agent import install
from hub.domain.ids import WorkspaceId
from hub.errors import Conflict, EngineSilent, HubError, ImageMissing, NoKernels, SpawnerRefused, StartFailed
from hub.spawn import freezing, memory
from hub.spawn import spec as specs
from hub.spawn.engine import Engine, explanation
from hub.spawn.folders import Folders, clear_sockets
from hub.spawn.protocol import Observation, Presence, WorkspaceSpec
from hub.spawn.reasons import (
    ENGINE_BEGAN_ANEW,
    LOG_LINES,
    container_reason,
    event_reason,
    lacks_kernels,
    last_sentence,
)
from proxy.contract.agent import AGENT_SOCKET

log = logging.getLogger(__name__)

SECCOMP_FILE = Path(__file__).parents[2] / "deploy" / "seccomp.json"
SOCKET_POLL_SECONDS = 0.01
STATE_POLL_SECONDS = 0.2
REMOVAL_SECONDS = 30.0
ENGINE_REMEMBERS = 250
"""An engine keeps its last 256 events: one that has fewer has told all that happened since it began."""
MOST_EVENTS = 1000
MOST_REASONS = 1000
"""Reasons of ended containers that are kept, so that an inventory does not ask for them each time."""
_NO_GPUS = "could not select device driver"
"""What the engine says of GPUs that it does not have."""


class DockerSpawner:
    """The Spawner for an engine.

    `folders` writes the containers' passwd files and knows the hub's id. `python` is the interpreter that
    runs the agent, None for the image's ``python3``. `start_seconds` bounds the wait for the agent's socket.
    """

    name = "docker"
    can_pause = True

    def __init__(self, engine: Engine, folders: Folders, *, python: str | None, start_seconds: float) -> None:
        self._engine = engine
        self._folders = folders
        self._command = install.command(python or "python3", specs.AGENT_FOLDER)
        self._start_seconds = start_seconds
        self._seccomp = SECCOMP_FILE.read_text()
        self._hub_id = folders.hub_id()
        self._log_driver = "local"
        self._reasons: dict[tuple[str, str], str] = {}
        self._starting: WeakValueDictionary[WorkspaceId, asyncio.Lock] = WeakValueDictionary()
        self._freezing: WeakValueDictionary[WorkspaceId, asyncio.Lock] = WeakValueDictionary()

    async def start(self, spec: WorkspaceSpec) -> str:
        """Start the container and wait until its agent listens; see Spawner.start.

        Raises ImageMissing, NoKernels when the image cannot run the agent, StartFailed for all else that the
        engine refuses or the agent does not survive; the container is removed then. Raises EngineSilent.
        """
        async with self._starting.setdefault(spec.workspace_id, asyncio.Lock()):
            name = specs.container_name(spec.workspace_id)
            found = await self._own(name, spec.user_id)
            if found is not None and found["State"]["Running"]:
                if found["State"]["Paused"]:
                    await self.thaw(spec.workspace_id)
                return str(found["Id"])
            if found is not None:
                await self._remove(name)
            body = await self._body(spec)
            if spec.network == "internet":
                await self._ensure_network()
            try:
                container_id = await self._create(name, body)
                await self._run(container_id, spec)
            except StartFailed:
                with contextlib.suppress(EngineSilent):
                    await self._remove(name)
                raise
            return container_id

    async def stop(self, workspace_id: WorkspaceId, grace_seconds: float = 10.0) -> None:
        """Stop the container, killing it after the grace, and remove it; see Spawner.stop."""
        name = specs.container_name(workspace_id)
        found = await self._own(name)
        if found is None:
            return
        if found["State"]["Paused"]:
            with contextlib.suppress(Conflict, EngineSilent):  # what cannot be thawed is killed like what does not end
                await self.thaw(workspace_id)
        grace = max(0, round(grace_seconds))
        with contextlib.suppress(NotFound):
            await self._engine.call(lambda client: client.stop(name, timeout=grace), extra_seconds=grace)
        await self._remove(name)

    async def pause(self, workspace_id: WorkspaceId) -> None:
        """Freeze the container; see Spawner.pause. Raises Conflict, EngineSilent, SpawnerRefused."""
        if workspace_id in self._starting:
            raise Conflict("The container is just being started and cannot be paused.")
        async with self._freezing.setdefault(workspace_id, asyncio.Lock()):
            found = await self._running(workspace_id)
            if not found["State"]["Paused"]:
                await freezing.freeze(self._engine, found["Id"], lambda: self._running(workspace_id))

    async def thaw(self, workspace_id: WorkspaceId) -> None:
        """Let the container go on; see Spawner.thaw. Raises Conflict, EngineSilent, SpawnerRefused."""
        async with self._freezing.setdefault(workspace_id, asyncio.Lock()):
            found = await self._running(workspace_id)
            if found["State"]["Paused"]:
                await freezing.thaw(self._engine, found["Id"], lambda: self._running(workspace_id))

    async def reclaim(self, workspace_id: WorkspaceId) -> int:
        """Give back the memory of a paused container; see Spawner.reclaim. Raises EngineSilent, SpawnerRefused."""
        found = await self._own(specs.container_name(workspace_id))
        if found is None or not found["State"]["Paused"]:
            return 0
        return await asyncio.to_thread(memory.reclaim, found["State"]["Pid"], found["Id"])

    async def state(self, workspace_id: WorkspaceId) -> Observation:
        """What the engine says of one workspace now."""
        name = specs.container_name(workspace_id)
        found = await self._own(name)
        if found is None:
            return Observation(workspace_id, Presence.ABSENT, reason=event_reason(await self._events(name) or ()))
        return await self._observation(workspace_id, found)

    async def inventory(self) -> list[Observation]:
        """All containers that carry this hub's label."""
        label = f"{specs.LABEL}={self._hub_id}"
        listed = await self._engine.call(lambda client: client.containers(all=True, filters={"label": [label]}))
        seen = []
        for entry in listed:
            workspace_id = WorkspaceId(entry["Labels"].get(specs.WORKSPACE_LABEL, ""))
            if not workspace_id:
                continue
            if (state := entry["State"]) in ("running", "paused"):
                paused = state == "paused"
                seen.append(Observation(workspace_id, Presence.RUNNING, entry["Id"], is_paused=paused))
            elif (found := await self._inspect(entry["Id"])) is not None:
                seen.append(await self._observation(workspace_id, found))
        return seen

    async def image_id(self, image: str) -> str:
        """The engine's id of the image that the name stands for now. Raises ImageMissing, EngineSilent."""
        return str((await self._image(image))["Id"])

    async def image_names(self) -> list[str]:
        """Names of all images that the engine has, in order. Raises EngineSilent."""
        listed = await self._engine.call(lambda client: client.images())
        return sorted({name for image in listed for name in image.get("RepoTags") or () if "<none>" not in name})

    async def ping(self) -> None:
        """Return if the engine answers, else raise EngineSilent."""
        await self._engine.call(lambda client: client.ping())

    async def close(self) -> None:
        """Release connections and threads. Containers stay."""
        await self._engine.close()

    async def _inspect(self, name: str) -> dict[str, Any] | None:
        try:
            return await self._engine.call(lambda client: client.inspect_container(name))
        except NotFound:
            return None

    async def _own(self, name: str, user_id: str | None = None) -> dict[str, Any] | None:
        """The container of this name. Raises SpawnerRefused if it is not this hub's, or not that user's."""
        found = await self._inspect(name)
        if found is not None:
            labels = found["Config"].get("Labels") or {}
            if labels.get(specs.LABEL) != self._hub_id:
                raise SpawnerRefused(f"the container {name} is not one of this hub's")
            if user_id is not None and labels.get(specs.USER_LABEL) != user_id:
                raise SpawnerRefused(f"the container {name} is another user's")
        return found

    async def _running(self, workspace_id: WorkspaceId) -> dict[str, Any]:
        """The workspace's container. Raises Conflict if it does not run, SpawnerRefused if it is not this hub's."""
        found = await self._own(specs.container_name(workspace_id))
        if found is None or not found["State"]["Running"]:
            raise Conflict("The container does not run.")
        return found

    async def _observation(self, workspace_id: WorkspaceId, found: dict[str, Any]) -> Observation:
        if found["State"]["Running"]:
            paused = bool(found["State"]["Paused"])
            return Observation(workspace_id, Presence.RUNNING, found["Id"], is_paused=paused)
        ended = (found["Id"], str(found["State"].get("FinishedAt")))
        if (reason := self._reasons.get(ended)) is None:
            reason = await self._reason(found)
            if len(self._reasons) >= MOST_REASONS:
                self._reasons.clear()
            self._reasons[ended] = reason
        return Observation(workspace_id, Presence.EXITED, found["Id"], reason)

    async def _reason(self, found: dict[str, Any]) -> str:
        """Why a container ended: what the engine remembers of that beats what the exit status suggests."""
        events = await self._events(found["Id"])
        was_seen = found["State"].get("Status") == "created" or any(
            event.get("Action") == "die" for event in events or ()
        )
        if events is not None and not was_seen and len(await self._events() or ()) in range(1, ENGINE_REMEMBERS):
            return ENGINE_BEGAN_ANEW
        words = await self._log(found["Id"])
        return container_reason(found["State"], found["HostConfig"]["Memory"], words, events or ())

    async def _events(self, container: str = "") -> list[dict[str, Any]] | None:
        """What the engine remembers, of one container or of all, the oldest first; None where it does not say."""
        filters = {"container": [container]} if container else {}
        until = f"{time.time():.6f}"  # without an end the engine would go on telling
        try:
            return await self._engine.call(
                lambda client: list(
                    itertools.islice(client.events(since="1", until=until, filters=filters, decode=True), MOST_EVENTS)
                )
            )
        except (APIError, EngineSilent, ValueError):
            return None

    async def _log(self, container_id: str) -> str:
        """The end of a container's log; empty where there is none to be had."""
        try:
            text = await self._engine.call(lambda client: client.logs(container_id, tail=LOG_LINES))
        except APIError:
            return ""
        return bytes(text).decode("utf-8", "replace")

    async def _body(self, spec: WorkspaceSpec) -> dict[str, Any]:
        """The create request, once the image is known to be there and the folders are ready."""
        image_environment = await self._image_environment(spec.image)
        variables = specs.environment(spec, image_environment)
        accounts = await asyncio.to_thread(self._prepare, spec)
        return specs.container_config(
            spec,
            hub_id=self._hub_id,
            command=self._command,
            variables={**variables, **specs.agent_variables(spec, specs.RUN_FOLDER)},
            accounts_folder=accounts,
            seccomp=self._seccomp,
            log_driver=self._log_driver,
        )

    def _prepare(self, spec: WorkspaceSpec) -> Path:
        try:
            clear_sockets(spec.run_folder)
            passwd, group = specs.passwd_text(spec), specs.group_text(spec)
            return self._folders.prepare_accounts(spec.workspace_id, passwd, group)
        except OSError as error:
            raise StartFailed(f"The container's folders could not be made: {error.strerror}.") from error

    async def _image_environment(self, image: str) -> dict[str, str]:
        found = await self._image(image)
        return dict(entry.partition("=")[::2] for entry in found["Config"].get("Env") or [])

    async def _image(self, image: str) -> dict[str, Any]:
        try:
            return await self._engine.call(lambda client: client.inspect_image(image))
        except (ImageNotFound, NotFound) as error:
            raise ImageMissing(
                f"The image {image} is not on this machine. An administrator can make it with "
                f"`kernelhub image build`, or fetch it with `docker pull {image}`."
            ) from error
        except APIError as error:
            raise ImageMissing(f"The image {image} cannot be used: {explanation(error)}.") from error

    async def _ensure_network(self) -> None:
        """The bridge for the network `internet`, made if it is not there. Two hubs of one engine share it."""
        try:
            found = await self._engine.call(lambda client: client.inspect_network(specs.NETWORK))
        except NotFound:
            await self._make_network()
            return
        if found["Options"].get("com.docker.network.bridge.enable_icc") != "false":
            raise StartFailed(
                f"The engine's network {specs.NETWORK} lets containers reach each other. "
                f"Remove it (`docker network rm {specs.NETWORK}`): the hub makes it anew."
            )

    async def _make_network(self) -> None:
        try:
            await self._engine.call(
                lambda client: client.create_network(
                    specs.NETWORK,
                    driver="bridge",
                    options=specs.NETWORK_OPTIONS,
                    check_duplicate=True,
                    labels={specs.LABEL: self._hub_id},
                )
            )
        except APIError as error:
            if error.status_code != 409:
                raise StartFailed(f"The network for containers could not be made: {explanation(error)}.") from error

    async def _create(self, name: str, body: dict[str, Any]) -> str:
        try:
            made = await self._engine.call(lambda client: client.create_container_from_config(body, name))
        except APIError as error:
            said = explanation(error)
            if "log" in said and "driver" in said and self._log_driver == "local":
                self._log_driver = body["HostConfig"]["LogConfig"]["Type"] = "json-file"
                return await self._create(name, body)
            if "unknown runtime" in said.lower():
                raise StartFailed(
                    f"The container engine does not have the runtime that the profile asks for ({said}): an "
                    "administrator installs it, or takes `runtime` out of the profile."
                ) from error
            raise StartFailed(f"The engine refused to make the container: {said}.") from error
        return str(made["Id"])

    async def _run(self, container_id: str, spec: WorkspaceSpec) -> None:
        try:
            await self._engine.call(lambda client: client.start(container_id))
        except APIError as error:
            raise _refusal(spec.image, explanation(error)) from error
        except EngineSilent as error:
            # The engine answers with 500 where an image cannot run or there is no such device: that is an answer.
            said = explanation(cause) if isinstance(cause := error.__cause__, APIError) else ""
            if "OCI runtime" in said or _NO_GPUS in said:
                raise _refusal(spec.image, said) from cause
            raise
        await self._wait_for_agent(container_id, spec)

    async def _wait_for_agent(self, container_id: str, spec: WorkspaceSpec) -> None:
        """Wait until the agent has made its socket.

        A container that ends before, or is late, is a failed start.
        """
        socket = spec.run_folder / AGENT_SOCKET
        deadline = time.monotonic() + self._start_seconds
        look_at = time.monotonic() + STATE_POLL_SECONDS
        while not socket.is_socket():
            await asyncio.sleep(SOCKET_POLL_SECONDS)
            now = time.monotonic()
            if now >= deadline:
                words = last_sentence(await self._log(container_id)) or "no word from its agent"
                raise StartFailed(f"The container did not answer within {self._start_seconds:.0f} s ({words}).")
            if now >= look_at:
                look_at = now + STATE_POLL_SECONDS
                await self._refuse_ended(container_id, spec.image)

    async def _refuse_ended(self, container_id: str, image: str) -> None:
        found = await self._inspect(container_id)
        if found is None:
            raise StartFailed("The container was removed from outside while it started.")
        if not found["State"]["Running"]:
            words = await self._log(container_id)
            reason = container_reason(found["State"], found["HostConfig"]["Memory"], words)
            raise _refusal(image, reason, words)

    async def _remove(self, name: str) -> None:
        """Remove a container, running or not, and wait until it is gone."""
        deadline = time.monotonic() + REMOVAL_SECONDS
        while True:
            try:
                return await self._engine.call(lambda client: client.remove_container(name, v=True, force=True))
            except NotFound:
                return None
            except APIError as error:
                # 409: somebody else is removing it already; it is gone when the engine says NotFound.
                if error.status_code != 409 or time.monotonic() > deadline:
                    raise EngineSilent(f"The container could not be removed: {explanation(error)}.") from error
                await asyncio.sleep(STATE_POLL_SECONDS)


def _refusal(image: str, reason: str, words: str = "") -> HubError:
    """The error for a container that did not come to life."""
    if lacks_kernels(f"{reason}\n{words}"):
        return NoKernels(
            f"The image {image} cannot run kernels: it needs python3 with pyzmq, "
            f"which `pip install ipykernel` brings ({last_sentence(words) or last_sentence(reason)})."
        )
    if _NO_GPUS in reason:
        return StartFailed(
            "The profile asks for GPUs, but the container engine has none to give: an administrator installs the "
            "NVIDIA Container Toolkit and restarts the engine, or takes `gpus` out of the profile."
        )
    return StartFailed(f"The container of the image {image} ended at once: {reason}.")
