"""The kernelspecs that a user has in an image, remembered on disk, so that launchers show them while nothing runs.

``<data>/images/<hash of the image's name>/<user id>/``: ``kernelspecs.json`` and the resource files. Refreshed at
each start of a container, since a tag may have moved. They are kept for each user apart: an agent runs beside its
user's code and reads kernelspecs from its user's home, so its word counts for nobody else. Names from an agent
become file names only as hashes, and all that is kept is bounded.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
import re
from collections import OrderedDict
from pathlib import Path

import msgspec

from hub.domain.ids import UserId
from hub.errors import HubError
from hub.workspaces.agents import ask
from proxy.contract.agent import Hello, Kernelspec
from proxy.kit.agent_client import AgentClient

log = logging.getLogger(__name__)

MAX_KERNELSPECS = 64
MAX_RESOURCES = 20
MAX_LIST_BYTES = 256 * 1024
"""All of one user's kernelspecs together, as JSON; those beyond are left out."""
MAX_RESOURCE_BYTES = 4 * 1024**2
"""All resource files of one user and image together."""
MAX_REMEMBERED = 512
LEARN_SECONDS = 15.0
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")


class KernelspecList(msgspec.Struct, frozen=True):
    """The kernelspecs of an image and the name of the default one."""

    default: str
    specs: list[Kernelspec]


def acceptable(hello: Hello) -> KernelspecList:
    """What is kept of an agent's kernelspecs: bounded, and only names that can stand in an address."""
    specs: list[Kernelspec] = []
    left = MAX_LIST_BYTES
    for spec in hello.kernelspecs[:MAX_KERNELSPECS]:
        left -= _size(spec)
        if left >= 0 and _NAME.match(spec.name):
            resources = [name for name in spec.resources if _NAME.match(name)][:MAX_RESOURCES]
            specs.append(Kernelspec(spec.name, spec.spec, resources))
    names = [spec.name for spec in specs]
    default = hello.default_kernel if hello.default_kernel in names else (names[0] if names else "")
    return KernelspecList(default or "", specs)


class ImageKernelspecs:
    """What is known of users' kernelspecs in images; memory first, then disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: OrderedDict[tuple[str, UserId], KernelspecList] = OrderedDict()

    async def find(self, image: str, user_id: UserId) -> KernelspecList | None:
        """The kernelspecs as last seen, or None if the image never ran for this user."""
        known = self._known.get((image, user_id))
        if known is None:
            known = await asyncio.to_thread(self._read, image, user_id)
            if known is not None:
                self._remember(image, user_id, known)
        return known

    async def find_resource(self, image: str, user_id: UserId, spec_name: str, file: str) -> bytes | None:
        """A resource file (a logo, kernel.js) as last seen, or None."""
        path = self._resource(image, user_id, spec_name, file)
        return await asyncio.to_thread(lambda: path.read_bytes() if path.is_file() else None)

    async def learn(self, image: str, user_id: UserId, hello: Hello, client: AgentClient) -> None:
        """Remember what the user's container of the image says, when it differs from what is known."""
        specs = acceptable(hello)
        if await self.find(image, user_id) == specs:
            return
        try:
            async with asyncio.timeout(LEARN_SECONDS):
                await self._fetch_all(image, user_id, specs, client)
        except TimeoutError:
            log.warning("the resources of user %s's kernelspecs in %s took too long", user_id, image)
        file = self._folder_of(image, user_id) / "kernelspecs.json"
        await asyncio.to_thread(self._write, file, msgspec.json.encode(specs))
        self._remember(image, user_id, specs)

    async def _fetch_all(self, image: str, user_id: UserId, specs: KernelspecList, client: AgentClient) -> None:
        left = MAX_RESOURCE_BYTES
        for spec in specs.specs:
            for file in spec.resources:
                data = await self._fetch(spec.name, file, client)
                if data is None:
                    continue
                if len(data) > left:
                    log.warning("user %s's kernelspecs in %s have too many resources", user_id, image)
                    return
                left -= len(data)
                await asyncio.to_thread(self._write, self._resource(image, user_id, spec.name, file), data)

    async def _fetch(self, spec_name: str, file: str, client: AgentClient) -> bytes | None:
        try:
            resource = await ask(client.kernelspec_resource(spec_name, file))
            return base64.b64decode(resource.data, validate=True)
        except (HubError, binascii.Error, ValueError) as error:
            log.warning("resource %s of kernelspec %s was not given: %s", file, spec_name, error)
            return None

    def _remember(self, image: str, user_id: UserId, specs: KernelspecList) -> None:
        self._known[image, user_id] = specs
        self._known.move_to_end((image, user_id))
        while len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)

    def _folder_of(self, image: str, user_id: UserId) -> Path:
        return self._folder / hashlib.sha256(image.encode()).hexdigest()[:32] / user_id

    def _resource(self, image: str, user_id: UserId, spec_name: str, file: str) -> Path:
        name = hashlib.sha256(f"{spec_name}/{file}".encode()).hexdigest()[:32]
        return self._folder_of(image, user_id) / name

    def _read(self, image: str, user_id: UserId) -> KernelspecList | None:
        try:
            data = (self._folder_of(image, user_id) / "kernelspecs.json").read_bytes()
            return msgspec.json.decode(data, type=KernelspecList)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, RecursionError) as error:
            log.warning("the remembered kernelspecs of %s cannot be read: %s", image, error)
            return None

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".new")
        draft.write_bytes(data)
        draft.replace(path)


def _size(spec: Kernelspec) -> int:
    """Bytes of the kernelspec as JSON; more than there are allowed if it is nested too deeply to be written."""
    try:
        return len(msgspec.json.encode(spec))
    except RecursionError:
        return MAX_LIST_BYTES + 1
