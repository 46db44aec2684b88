"""The kernelspecs of images, remembered on disk, so that launchers show them while nothing runs.

``<data>/images/<hash of the image's name>/``: ``kernelspecs.json`` and the resource files. Refreshed at each
start of a container, since a tag may have moved. Names from the image become file names only as hashes.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
import re
from pathlib import Path

import msgspec

from hub.errors import HubError
from hub.workspaces.agents import ask
from proxy.contract.agent import Hello, Kernelspec
from proxy.kit.agent_client import AgentClient

log = logging.getLogger(__name__)

MAX_KERNELSPECS = 100
MAX_RESOURCES = 20
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")


class KernelspecList(msgspec.Struct, frozen=True):
    """The kernelspecs of an image and the name of the default one."""

    default: str
    specs: list[Kernelspec]


def acceptable(hello: Hello) -> KernelspecList:
    """What is kept of an agent's kernelspecs: bounded, and only names that can stand in an address."""
    specs = [
        Kernelspec(spec.name, spec.spec, [name for name in spec.resources if _NAME.match(name)][:MAX_RESOURCES])
        for spec in hello.kernelspecs[:MAX_KERNELSPECS]
        if _NAME.match(spec.name)
    ]
    names = [spec.name for spec in specs]
    default = hello.default_kernel if hello.default_kernel in names else (names[0] if names else "")
    return KernelspecList(default or "", specs)


class ImageKernelspecs:
    """What is known of images' kernelspecs; memory first, then disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, KernelspecList] = {}

    async def find(self, image: str) -> KernelspecList | None:
        """The image's kernelspecs as last seen, or None if it never ran here."""
        if image not in self._known:
            stored = await asyncio.to_thread(self._read, image)
            if stored is None:
                return None
            self._known[image] = stored
        return self._known[image]

    async def find_resource(self, image: str, spec_name: str, file: str) -> bytes | None:
        """A resource file (a logo, kernel.js) as last seen, or None."""
        path = self._resource(image, spec_name, file)
        return await asyncio.to_thread(lambda: path.read_bytes() if path.is_file() else None)

    async def learn(self, image: str, hello: Hello, client: AgentClient) -> None:
        """Remember what a running container of the image says, when it differs from what is known."""
        specs = acceptable(hello)
        if await self.find(image) == specs:
            return
        for spec in specs.specs:
            for file in spec.resources:
                await self._fetch(image, spec.name, file, client)
        await asyncio.to_thread(self._write, self._folder_of(image) / "kernelspecs.json", msgspec.json.encode(specs))
        self._known[image] = specs

    async def _fetch(self, image: str, spec_name: str, file: str, client: AgentClient) -> None:
        try:
            resource = await ask(client.kernelspec_resource(spec_name, file))
            data = base64.b64decode(resource.data, validate=True)
        except (HubError, binascii.Error) as error:
            log.warning("resource %s of kernelspec %s in %s was not given: %s", file, spec_name, image, error)
            return
        await asyncio.to_thread(self._write, self._resource(image, spec_name, file), data)

    def _folder_of(self, image: str) -> Path:
        return self._folder / hashlib.sha256(image.encode()).hexdigest()[:32]

    def _resource(self, image: str, spec_name: str, file: str) -> Path:
        return self._folder_of(image) / hashlib.sha256(f"{spec_name}/{file}".encode()).hexdigest()[:32]

    def _read(self, image: str) -> KernelspecList | None:
        try:
            data = (self._folder_of(image) / "kernelspecs.json").read_bytes()
            return msgspec.json.decode(data, type=KernelspecList)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            log.warning("the remembered kernelspecs of %s cannot be read: %s", image, error)
            return None

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".new")
        draft.write_bytes(data)
        draft.replace(path)
