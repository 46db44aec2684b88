"""What the hub and its spawner say to each other, over a Unix socket: one request and one answer a connection.

A frame is its length (four bytes, big-endian) and that much JSON. Requests name users, workspaces and profiles; none
of them carries a path, an engine's option or a uid. Unknown fields are refused, not ignored.
"""

from __future__ import annotations

import asyncio
import struct
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

import msgspec

from hub.errors import Conflict, EngineSilent, HubError, ImageMissing, NoKernels, SpawnerRefused, StartFailed
from hub.spawn.protocol import KernelRules, Observation

MAX_REQUEST_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 16 * 1024**2
"""An inventory of 50,000 containers fits."""
SOCKET = "spawner.sock"
"""The socket's name in the spawner's folder."""

if TYPE_CHECKING:
    from hub.config import Profile

T = TypeVar("T")

_LENGTH = struct.Struct("!I")
_ERRORS = {
    error.code: error for error in (Conflict, EngineSilent, ImageMissing, NoKernels, SpawnerRefused, StartFailed)
}
"""Errors that keep their kind on the way."""


class Malformed(ValueError):
    """What came is no frame of this protocol; the message says what is wrong with it."""


class Purpose(StrEnum):
    """What a container is for, which says what its home is.

    `WORKSPACE`: the user's home. `PROBE`: an empty folder and no network; the user is nobody. `VIEW`: a view of the
    user's home whose writes go elsewhere. `COPY`: a copy of it that the hub has made.
    """

    WORKSPACE = "workspace"
    PROBE = "probe"
    VIEW = "view"
    COPY = "copy"


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """All messages refuse what they do not know."""


class Bounds(_Message, frozen=True):
    """The container's limits. None: unlimited."""

    memory_bytes: int | None = None
    cpus: float | None = None
    pids: int | None = None


class Definition(_Message, frozen=True):
    """What a profile says of its containers, beside their limits; see `hub.config.Profile`."""

    image: str
    home: str
    network: str
    tmp_bytes: int
    environment: dict[str, str] = {}
    gpus: int | list[str] = 0
    runtime: str | None = None


class Start(_Message, frozen=True, tag="start"):
    """Start a container. `number` is the user's, 0 for a probe; None where users have no uids of their own.

    `profile` names a profile of the configuration; or else `definition` says what an administrator has defined while
    the hub runs, and is held against what the configuration allows.
    """

    workspace_id: str
    purpose: Purpose
    user_id: str
    user_name: str
    number: int | None
    profile: str
    limits: Bounds
    spare_kernels: int = 0
    rules: KernelRules = KernelRules()
    definition: Definition | None = None


class Stop(_Message, frozen=True, tag="stop"):
    """Stop and remove a container."""

    workspace_id: str
    grace_seconds: float


class Pause(_Message, frozen=True, tag="pause"):
    """Freeze a container's processes."""

    workspace_id: str


class Thaw(_Message, frozen=True, tag="thaw"):
    """Let a container's processes go on."""

    workspace_id: str


class Reclaim(_Message, frozen=True, tag="reclaim"):
    """Give back what memory a paused container can spare."""

    workspace_id: str


class State(_Message, frozen=True, tag="state"):
    """What the engine says of one container."""

    workspace_id: str


class Inventory(_Message, frozen=True, tag="inventory"):
    """All containers of this hub."""


class ImageId(_Message, frozen=True, tag="image_id"):
    """What identifies an image now."""

    image: str


class Images(_Message, frozen=True, tag="images"):
    """Names of the engine's images that profiles may have."""


class Ping(_Message, frozen=True, tag="ping"):
    """Does the engine answer?"""


Request = Start | Stop | Pause | Thaw | Reclaim | State | Inventory | ImageId | Images | Ping


class Text(_Message, frozen=True, tag="text"):
    """A container's id, an image's id, or nothing: it is done."""

    text: str = ""


class Seen(_Message, frozen=True, tag="seen"):
    """Observations."""

    containers: list[Observation]


class Names(_Message, frozen=True, tag="names"):
    """Names of images."""

    names: list[str]


class Amount(_Message, frozen=True, tag="amount"):
    """A number of bytes."""

    size_bytes: int


class Failed(_Message, frozen=True, tag="failed"):
    """It was not done. `code` is the error's, `message` a sentence for people."""

    code: str
    message: str


Answer = Text | Seen | Names | Amount | Failed


def definition_of(profile: Profile) -> Definition:
    """What a profile of the configuration says of its containers."""
    return Definition(
        image=profile.image,
        home=profile.home,
        network=profile.network,
        tmp_bytes=profile.tmp_bytes,
        environment=dict(profile.environment),
        gpus=profile.gpus,
        runtime=profile.runtime,
    )


_requests = msgspec.json.Decoder(Request)
_answers = msgspec.json.Decoder(Answer)


def frame(message: Request | Answer) -> bytes:
    """A message as it is sent."""
    body = msgspec.json.encode(message)
    return _LENGTH.pack(len(body)) + body


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request; None at the end of the stream. Raises Malformed."""
    body = await _read(reader, MAX_REQUEST_BYTES)
    return None if body is None else _decoded(_requests, body)


async def read_answer(reader: asyncio.StreamReader) -> Answer | None:
    """The answer; None when the other side ended without one. Raises Malformed."""
    body = await _read(reader, MAX_ANSWER_BYTES)
    return None if body is None else _decoded(_answers, body)


def failed(error: HubError) -> Failed:
    """An error as it is told."""
    known = next((code for code, kind in _ERRORS.items() if type(error) is kind), HubError.code)
    return Failed(known, error.message)


def error_of(told: Failed) -> HubError:
    """The error that was told."""
    return _ERRORS.get(told.code, StartFailed)(told.message)


async def _read(reader: asyncio.StreamReader, most: int) -> bytes | None:
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if not 0 < length <= most:
            raise Malformed(f"a frame of {length} bytes, where 1 to {most} are allowed")
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise Malformed("the stream ended within a frame") from error
        return None


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Malformed(f"no message of this protocol: {str(error)[:300]}") from error
