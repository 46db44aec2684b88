"""Use cases of kernelspecs: which kernels a user may start."""

from __future__ import annotations

from hub.config import Settings
from hub.domain.users import User
from hub.errors import NotFound
from hub.workspaces.agents import Agents, ask
from hub.workspaces.image_kernelspecs import ImageKernelspecs, KernelspecList, acceptable
from hub.workspaces.service import Workspaces


class Kernelspecs:
    """The kernelspecs of a user's image. Nothing is started for them if the image ever ran for this user."""

    def __init__(self, settings: Settings, workspaces: Workspaces, agents: Agents, images: ImageKernelspecs) -> None:
        self._settings = settings
        self._workspaces = workspaces
        self._agents = agents
        self._images = images

    async def list(self, user: User) -> KernelspecList:
        """The kernelspecs and the default's name.

        Raises what `Workspaces.ensure` raises when the image never ran for this user and does not start.
        """
        image = self._image()
        known = await self._images.find(image, user.id)
        if known is not None:
            return known
        workspace = await self._workspaces.ensure(user)
        hello = await ask(self._agents.client(workspace.id).hello())
        return await self._images.find(image, user.id) or acceptable(hello)

    async def resource(self, user: User, name: str, file: str) -> bytes:
        """A resource file of a kernelspec, such as ``logo-64x64.png``. Raises NotFound."""
        specs = await self.list(user)
        if not any(spec.name == name and file in spec.resources for spec in specs.specs):
            raise NotFound(f"The kernel {name!r} has no file {file!r}.")
        data = await self._images.find_resource(self._image(), user.id, name, file)
        if data is None:
            raise NotFound(f"The kernel {name!r} has no file {file!r}.")
        return data

    def _image(self) -> str:
        return self._settings.profiles[self._settings.default_profile].image
