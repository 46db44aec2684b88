"""Kernelspecs in images, remembered on disk, so that launchers show them while nothing runs.

``<data>/images/<hash of the source>/<owner>/``: ``kernelspecs.json`` and the resource files. The owner is ``image``
for what the image itself has, learned by `hub.workspaces.probes` where no user's code runs, and a user's id for what
that user's container said at its start or while it ran. The two are kept apart: an agent runs beside its user's code
and reads kernelspecs from its user's home, so its word counts for nobody else. Names from an agent become file names
only as hashes, and all that is kept is bounded.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
import re
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hub.config import Profile
from hub.domain.ids import UserId
from hub.errors import HubError
from hub.workspaces.agents import ask
from proxy.contract.agent import Hello, Kernelspec
from proxy.kit.agent_client import AgentClient
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

MAX_KERNELSPECS = 64
MAX_RESOURCES = 20
MAX_LIST_BYTES = 256 * 1024
"""All of one owner's kernelspecs together, as JSON; those beyond are left out."""
MAX_RESOURCE_BYTES = 4 * 1024**2
"""All resource files of one owner and source together."""
MAX_REMEMBERED = 512
LEARN_SECONDS = 15.0
IMAGE_ITSELF = UserId("image")
"""The owner of what is known of an image whoever uses it. No user's id: those are hexadecimal."""
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")


class KernelspecList(msgspec.Struct, frozen=True):
    """Kernelspecs and the name of the default one."""

    default: str
    specs: list[Kernelspec]


class Record(msgspec.Struct, frozen=True):
    """What ``kernelspecs.json`` holds: kernelspecs, the image that had them, and when that was (seconds, UTC)."""

    default: str
    specs: list[Kernelspec]
    image_id: str = ""
    learned_at: float = 0.0

    @property
    def listed(self) -> KernelspecList:
        """The kernelspecs alone."""
        return KernelspecList(self.default, self.specs)


@dataclass(frozen=True, slots=True)
class Source:
    """Where kernelspecs come from: an image, under a profile's variables and home. `image` is its name, for people."""

    image: str
    digest: str

    @classmethod
    def of(cls, profile: Profile) -> Source:
        """The source of a profile: those that differ in nothing that kernelspecs depend on share one."""
        parts = msgspec.json.encode((profile.image, profile.home, sorted(profile.environment.items())))
        return cls(profile.image, hashlib.sha256(parts).hexdigest()[:32])


def acceptable(hello: Hello) -> KernelspecList:
    """What is kept of an agent's kernelspecs: bounded, and only names that can stand in an address."""
    specs: list[Kernelspec] = []
    left = MAX_LIST_BYTES
    for spec in hello.kernelspecs[:MAX_KERNELSPECS]:
        left -= _size(spec)
        if left >= 0 and _NAME.match(spec.name):
            resources = [name for name in spec.resources if _NAME.match(name)][:MAX_RESOURCES]
            specs.append(Kernelspec(spec.name, spec.spec, resources, spec.folder))
    names = [spec.name for spec in specs]
    default = hello.default_kernel if hello.default_kernel in names else (names[0] if names else "")
    return KernelspecList(default or "", specs)


class ImageKernelspecs:
    """What is known of kernelspecs in images; memory first, then disk."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._known: OrderedDict[tuple[str, UserId], Record] = OrderedDict()

    async def find(self, source: Source, user_id: UserId) -> KernelspecList | None:
        """The kernelspecs for this user as last seen, or None if nothing is known of the source."""
        owner = await self._owner_for(source, user_id)
        record = None if owner is None else await self.record(source, owner)
        return None if record is None else record.listed

    async def record(self, source: Source, owner: UserId) -> Record | None:
        """What was learned last from this owner's container; `IMAGE_ITSELF`: from a probe."""
        known = self._known.get((source.digest, owner))
        if known is None:
            known = await asyncio.to_thread(self._read, source, owner)
            if known is not None:
                self._remember(source, owner, known)
        return known

    async def find_resource(self, source: Source, user_id: UserId, spec_name: str, file: str) -> bytes | None:
        """A resource file (a logo, kernel.js) as last seen, or None.

        Scripts and styles act as the hub's own page in the classic Notebook, so they come from the image alone: what
        runs in a user's container could have written the user's.
        """
        owner = await self._owner_for(source, user_id) if _is_picture(file) else IMAGE_ITSELF
        if owner is None:
            return None
        path = self._resource(source, owner, spec_name, file)
        return await asyncio.to_thread(lambda: path.read_bytes() if path.is_file() else None)

    async def learn(self, source: Source, image_id: str, owner: UserId, hello: Hello, client: AgentClient) -> Record:
        """Remember what the owner's container says, when it differs from what is known; give what is known now."""
        specs = acceptable(hello)
        if owner != IMAGE_ITSELF:
            specs = _without_scripts(specs, await self.record(source, IMAGE_ITSELF))
        known = await self.record(source, owner)
        if known is not None and (known.listed, known.image_id) == (specs, image_id):
            return known
        record = Record(specs.default, specs.specs, image_id, self._clock.now().timestamp())
        try:
            async with asyncio.timeout(LEARN_SECONDS):
                await self._fetch_all(source, owner, specs, client)
        except TimeoutError:
            log.warning("the resources of the kernelspecs of %s in %s took too long", owner, source.image)
        except OSError as error:
            log.warning("resources of kernelspecs in %s were not kept: %s", source.image, error)
        try:
            file = self._folder_of(source, owner) / "kernelspecs.json"
            await asyncio.to_thread(self._write, file, msgspec.json.encode(record))
        except OSError as error:
            log.warning("the kernelspecs in %s are known until the hub ends: %s", source.image, error)
        self._remember(source, owner, record)
        return record

    async def _owner_for(self, source: Source, user_id: UserId) -> UserId | None:
        """Whose word counts for a user: their own container's, unless the image was built anew since."""
        own, image = await self.record(source, user_id), await self.record(source, IMAGE_ITSELF)
        if own is None or image is None:
            return user_id if own is not None else IMAGE_ITSELF if image is not None else None
        rebuilt = image.image_id != own.image_id and image.learned_at > own.learned_at
        return IMAGE_ITSELF if rebuilt else user_id

    async def _fetch_all(self, source: Source, owner: UserId, specs: KernelspecList, client: AgentClient) -> None:
        left = MAX_RESOURCE_BYTES
        wanted = [self._resource(source, owner, spec.name, file) for spec in specs.specs for file in spec.resources]
        await asyncio.to_thread(self._keep_only, self._folder_of(source, owner), {path.name for path in wanted})
        for spec in specs.specs:
            for file in spec.resources:
                data = await self._fetch(spec.name, file, client)
                if data is None:
                    continue
                if len(data) > left:
                    log.warning("the kernelspecs of %s in %s have too many resources", owner, source.image)
                    return
                left -= len(data)
                await asyncio.to_thread(self._write, self._resource(source, owner, spec.name, file), data)

    async def _fetch(self, spec_name: str, file: str, client: AgentClient) -> bytes | None:
        try:
            resource = await ask(client.kernelspec_resource(spec_name, file))
            return base64.b64decode(resource.data, validate=True)
        except (HubError, binascii.Error, ValueError) as error:
            log.warning("resource %s of kernelspec %s was not given: %s", file, spec_name, error)
            return None

    def _remember(self, source: Source, owner: UserId, record: Record) -> None:
        self._known[source.digest, owner] = record
        self._known.move_to_end((source.digest, owner))
        while len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)

    def _folder_of(self, source: Source, owner: UserId) -> Path:
        return self._folder / source.digest / owner

    def _resource(self, source: Source, owner: UserId, spec_name: str, file: str) -> Path:
        name = hashlib.sha256(f"{spec_name}/{file}".encode()).hexdigest()[:32]
        return self._folder_of(source, owner) / name

    def _read(self, source: Source, owner: UserId) -> Record | None:
        try:
            data = (self._folder_of(source, owner) / "kernelspecs.json").read_bytes()
            return msgspec.json.decode(data, type=Record)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, RecursionError) as error:
            log.warning("the remembered kernelspecs of %s cannot be read: %s", source.image, error)
            return None

    @staticmethod
    def _keep_only(folder: Path, names: set[str]) -> None:
        """Remove resources that no kernelspec has any more: a user who renames kernels would fill the disk."""
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in names and path.name != "kernelspecs.json":
                path.unlink(missing_ok=True)

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        draft.write_bytes(data)
        draft.replace(path)


def _is_picture(file: str) -> bool:
    """Whether a resource is a logo, not a script or style."""
    return file.startswith("logo-")


def _without_scripts(specs: KernelspecList, image: Record | None) -> KernelspecList:
    """The kernelspecs without scripts and styles that the image's kernelspecs of the same names do not have."""
    there = {(spec.name, file) for spec in (image.specs if image is not None else []) for file in spec.resources}
    kept = []
    for spec in specs.specs:
        files = [file for file in spec.resources if _is_picture(file) or (spec.name, file) in there]
        kept.append(Kernelspec(spec.name, spec.spec, files, spec.folder))
    return KernelspecList(specs.default, kept)


def _size(spec: Kernelspec) -> int:
    """Bytes of the kernelspec as JSON; more than there are allowed if it is nested too deeply to be written."""
    try:
        return len(msgspec.json.encode(spec))
    except RecursionError:
        return MAX_LIST_BYTES + 1
