"""What a teacher chose of their own files, copied to those who follow the link: once, and never over what is there."""

from __future__ import annotations

import msgspec

from hub.contents.models import Model, SaveRequest
from hub.contents.service import Contents
from hub.domain.lti import Target, TargetKind
from hub.domain.users import User
from hub.errors import HubError, NotFound, TooLarge
from hub.http.services import Services

MAX_FILES = 300
MAX_BYTES = 100 * 1024 * 1024


async def copy_for(services: Services, target: Target, user: User) -> None:
    """Give `user` a copy of the teacher's file or folder, unless they have something of that name.

    Raises NotFound when the teacher's is gone and the user has none, and TooLarge for a folder that is too large.
    """
    if target.kind is not TargetKind.COPY or target.user_id == user.id:
        return
    mine = services.contents.of(user)
    if await mine.exists(target.path):
        return
    async with services.store.reading() as unit:
        teacher = await unit.users.find(target.user_id)
    try:
        if teacher is None:
            raise NotFound("gone")
        await _Copy(services.contents.of(teacher), mine).run(target.path)
    except NotFound as error:
        raise NotFound(f"“{target.title}” is not there any more. Tell your teacher.") from error


class _Copy:
    """One copy under way; counts what it costs."""

    def __init__(self, source: Contents, goal: Contents) -> None:
        self._source = source
        self._goal = goal
        self._files = 0
        self._bytes = 0

    async def run(self, path: str) -> None:
        model = await self._source.get(path, content=False)
        folders = path.split("/")[:-1]
        for depth in range(1, len(folders) + 1):
            await self._folder("/".join(folders[:depth]))
        await self._copy(model)

    async def _copy(self, model: Model) -> None:
        if model.type != "directory":
            await self._file(model)
            return
        await self._folder(model.path)
        listed = (await self._source.get(model.path, type="directory")).content
        for child in listed if isinstance(listed, list) else []:
            await self._copy(child)

    async def _folder(self, path: str) -> None:
        if not await self._goal.exists(path):
            await self._goal.save(path, SaveRequest(type="directory"))

    async def _file(self, model: Model) -> None:
        self._files += 1
        self._bytes += model.size or 0
        if self._files > MAX_FILES or self._bytes > MAX_BYTES:
            raise TooLarge("This link leads to more files than a link can copy. Tell your teacher to use a repository.")
        if await self._goal.exists(model.path):
            return
        try:
            found = await self._source.get(model.path, type="file")
        except HubError:
            if model.type == "notebook" or self._files == 1:
                raise
            return
        content = (
            found.content if isinstance(found.content, msgspec.Raw) else msgspec.Raw(msgspec.json.encode(found.content))
        )
        await self._goal.save(model.path, SaveRequest(type="file", format=found.format, content=content))
