"""The Spawner for a hub: asks the spawner's process, over its Unix socket (`hub.spawn.wire`).

The hub says who needs a container and by which profile; what it is made of is the spawner's to decide.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Mapping
from pathlib import Path

from hub.domain.ids import WorkspaceId
from hub.errors import EngineSilent, StartFailed
from hub.spawn import wire
from hub.spawn.folders import Folders
from hub.spawn.protocol import Observation, WorkspaceSpec

ANSWER_SECONDS = 75.0
"""The spawner has deadlines of its own, which are shorter; this one is for a spawner that hangs."""
PATIENCE_SECONDS = 3.0
"""How long a spawner may be away (it is started again within a second) before it counts as silent."""
RETRY_SECONDS = 0.05
MOST_AT_ONCE = 64
MOST_THAWS = 32
"""Beside the others: somebody waits for a thaw, and nobody for the stops of many that will not end."""
MOST_RECLAIMS = 2
"""They take seconds, and nobody waits for them."""
PROBE = "probe"
_UCRED = struct.Struct("3i")


class SpawnerAway(EngineSilent):
    """Nobody listens at the spawner's socket."""


class RemoteSpawner:
    """The Spawner behind a socket.

    `folders` tells the homes and the users' numbers; `profiles` are those of the configuration, which the spawner has,
    too: others go along as definitions. `patience_seconds` is for a spawner that is just starting again.
    """

    name = "docker"
    can_pause = True

    def __init__(
        self,
        spawner_socket: Path,
        folders: Folders,
        profiles: Mapping[str, wire.Definition],
        *,
        start_seconds: float,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._socket = spawner_socket
        self._folders = folders
        self._profiles = profiles
        self._start_seconds = start_seconds
        self._patience_seconds = patience_seconds
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)
        self._own_turns = {wire.Thaw: asyncio.Semaphore(MOST_THAWS), wire.Reclaim: asyncio.Semaphore(MOST_RECLAIMS)}

    async def start(self, spec: WorkspaceSpec) -> str:
        """Ask for the container that `spec` describes; see Spawner.start. Raises SpawnerRefused, too."""
        return await self._text(self._start_request(spec), self._start_seconds)

    async def stop(self, workspace_id: WorkspaceId, grace_seconds: float = 10.0) -> None:
        """Stop and remove the container; see Spawner.stop."""
        await self._text(wire.Stop(workspace_id, grace_seconds), grace_seconds)

    async def pause(self, workspace_id: WorkspaceId) -> None:
        """Freeze the container; see Spawner.pause. Raises Conflict."""
        await self._text(wire.Pause(workspace_id))

    async def thaw(self, workspace_id: WorkspaceId) -> None:
        """Let the container go on; see Spawner.thaw. Raises Conflict."""
        await self._text(wire.Thaw(workspace_id))

    async def reclaim(self, workspace_id: WorkspaceId) -> int:
        """Give back memory of a paused container; see Spawner.reclaim."""
        answer = await self._ask(wire.Reclaim(workspace_id))
        if not isinstance(answer, wire.Amount):
            raise _strange()
        return answer.size_bytes

    async def state(self, workspace_id: WorkspaceId) -> Observation:
        """What the engine says of one workspace now."""
        answer = await self._ask(wire.State(workspace_id))
        if not isinstance(answer, wire.Seen) or [seen.workspace_id for seen in answer.containers] != [workspace_id]:
            raise _strange()
        return answer.containers[0]

    async def inventory(self) -> list[Observation]:
        """All containers that carry this hub's label."""
        answer = await self._ask(wire.Inventory())
        if not isinstance(answer, wire.Seen):
            raise _strange()
        return answer.containers

    async def image_id(self, image: str) -> str:
        """What identifies the image of this name now. Raises ImageMissing, SpawnerRefused."""
        return await self._text(wire.ImageId(image))

    async def image_names(self) -> list[str]:
        """Names of images that the engine has and profiles may have, in order. Raises EngineSilent."""
        answer = await self._ask(wire.Images())
        if not isinstance(answer, wire.Names):
            raise _strange()
        return answer.names

    async def ping(self) -> None:
        """Return if the engine answers the spawner, else raise EngineSilent; SpawnerAway if there is no spawner."""
        await self._text(wire.Ping())

    async def close(self) -> None:
        """Nothing is kept open."""

    def _start_request(self, spec: WorkspaceSpec) -> wire.Start:
        purpose = self._purpose(spec)
        name = next((name for name, known in self._profiles.items() if _same(known, spec, purpose)), "")
        limits = wire.Bounds(spec.limits.memory_bytes, spec.limits.cpus, spec.limits.pids)
        return wire.Start(
            workspace_id=spec.workspace_id,
            purpose=purpose,
            user_id=spec.user_id,
            user_name=spec.user_name,
            number=0 if purpose is wire.Purpose.PROBE else self._folders.number_of(spec.uid),
            profile=name,
            limits=limits,
            spare_kernels=spec.spare_kernels,
            rules=spec.rules,
            definition=None if name else _definition(spec),
        )

    def _purpose(self, spec: WorkspaceSpec) -> wire.Purpose:
        if spec.user_id == PROBE:
            return wire.Purpose.PROBE
        if spec.scratch_folder is not None:
            return wire.Purpose.VIEW
        if spec.home_folder == self._folders.home(spec.user_id):
            return wire.Purpose.WORKSPACE
        if spec.home_folder == self._folders.scratch(spec.workspace_id) / "home":
            return wire.Purpose.COPY
        raise StartFailed(f"The folder {spec.home_folder} is nobody's home.")

    async def _text(self, request: wire.Request, extra_seconds: float = 0.0) -> str:
        answer = await self._ask(request, extra_seconds)
        if not isinstance(answer, wire.Text):
            raise _strange()
        return answer.text

    async def _ask(self, request: wire.Request, extra_seconds: float = 0.0) -> wire.Answer:
        async with self._own_turns.get(type(request), self._turns):
            try:
                async with asyncio.timeout(ANSWER_SECONDS + extra_seconds):
                    answer = await self._exchange(request)
            except (OSError, TimeoutError, wire.Malformed) as error:
                raise EngineSilent("The spawner does not answer; nothing is known of the request.") from error
        if answer is None:
            raise EngineSilent("The spawner ended while it was asked; it is started again. Try again soon.")
        if isinstance(answer, wire.Failed):
            raise wire.error_of(answer)
        return answer

    async def _exchange(self, request: wire.Request) -> wire.Answer | None:
        reader, writer = await asyncio.open_unix_connection(sock=await self._connected())
        try:
            writer.write(wire.frame(request))
            await writer.drain()
            return await wire.read_answer(reader)
        finally:
            writer.close()

    async def _connected(self) -> socket.socket:
        """A socket connected to the spawner, which may just be starting again. Raises SpawnerAway."""
        deadline = asyncio.get_running_loop().time() + self._patience_seconds
        while True:
            try:
                return connect(self._socket)
            except OSError as error:
                if not self._socket.parent.is_dir() or asyncio.get_running_loop().time() > deadline:
                    raise SpawnerAway(f"No spawner answers at {self._socket}; nothing was changed.") from error
            await asyncio.sleep(RETRY_SECONDS)


def connect(path: Path) -> socket.socket:
    """A non-blocking socket connected to the spawner's; a path of any length will do. Raises OSError.

    A spawner is root, or has the hub's own uid; anybody else who listens there is refused.
    """
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.setblocking(False)
        connected.connect(f"/proc/self/fd/{folder}/{path.name}")
        _, uid, _ = _UCRED.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        if uid not in (0, os.geteuid(), os.fstat(folder).st_uid):
            raise PermissionError(f"uid {uid} listens at {path}")
    except BaseException:
        connected.close()
        raise
    finally:
        os.close(folder)
    return connected


def _same(known: wire.Definition, spec: WorkspaceSpec, purpose: wire.Purpose) -> bool:
    """Whether the profile makes what `spec` describes. A probe has no network and only its image counts."""
    alike = (known.image, known.home, known.environment, known.runtime) == (
        spec.image,
        spec.home,
        spec.environment,
        spec.runtime,
    )
    if purpose is wire.Purpose.PROBE:
        return alike
    definition = _definition(spec)
    return alike and (known.network, known.tmp_bytes, known.gpus) == (
        definition.network,
        definition.tmp_bytes,
        definition.gpus,
    )


def _definition(spec: WorkspaceSpec) -> wire.Definition:
    return wire.Definition(
        image=spec.image,
        home=spec.home,
        network=spec.network,
        tmp_bytes=spec.tmp_bytes,
        environment=dict(spec.environment),
        gpus=spec.gpus if isinstance(spec.gpus, int) else [*spec.gpus],
        runtime=spec.runtime,
    )


def _strange() -> EngineSilent:
    return EngineSilent("The spawner gave an answer that does not fit the question.")
