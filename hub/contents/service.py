"""The contents service: each user's files, for handlers that know nothing of descriptors and threads.

`ContentsOfUsers` is wired once in `hub.app`; `of(user)` is cheap and gives the user's `Contents`. The work is
done in threads (`workers`), as the user (`identity`), beneath the user's home (`beneath`). Every method raises
errors of `hub.errors` only: NotFound, BadRequest (and NotebookInvalid), Forbidden, Conflict, TooLarge,
NoSpace, TooManyRequests, Unavailable.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from hub.contents import checkpoints, copying, documents, moving, saving
from hub.contents.beneath import Owner
from hub.contents.desk import Desk
from hub.contents.models import Checkpoint, Limits, Model, Saved, SaveRequest
from hub.contents.paths import parse_path
from hub.contents.raw import RawFile, open_raw_file
from hub.contents.syscalls import require_openat2
from hub.contents.trust import TrustStore
from hub.contents.workers import Workers
from hub.domain.ids import UserId
from hub.domain.users import User
from proxy.kit.clock import Clock

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Homes(Protocol):
    """Where homes are and whom they belong to (`hub.spawn.folders.Folders` is one)."""

    @property
    def gid(self) -> int:
        """The group of all users' files."""

    def home(self, user_id: UserId) -> Path:
        """The user's home folder, which may not exist yet."""

    def uid_of(self, user: User) -> int:
        """The uid that the user's files belong to."""

    def prepare_home(self, user: User) -> Path:
        """Make the user's home if there is none, and give it to the user's uid. Blocking. Raises OSError."""


class ContentsOfUsers:
    """Everybody's files. Owns the worker threads; `close` ends them.

    `state_dir` is a folder of the hub's own, outside all homes, where it keeps what it trusts.
    `impersonate` says whether file access happens under the user's uid; None means: when the hub is root.
    Raises KernelTooOld (Linux before 5.6) when made.
    """

    def __init__(
        self,
        homes: Homes,
        state_dir: Path,
        clock: Clock,
        limits: Limits | None = None,
        impersonate: bool | None = None,
    ) -> None:
        require_openat2()
        self._homes = homes
        self._state_dir = state_dir
        self._clock = clock
        self._limits = limits or Limits()
        self._impersonate = os.geteuid() == 0 if impersonate is None else impersonate
        self._workers = Workers(impersonate=self._impersonate)

    def of(self, user: User) -> Contents:
        """The user's files. The home need not exist yet: the first use makes it."""
        owner = Owner(
            home=self._homes.home(user.id),
            uid=self._homes.uid_of(user),
            gid=self._homes.gid,
            impersonate=self._impersonate,
            make_home=lambda: self._homes.prepare_home(user),
        )
        trust = TrustStore(self._state_dir / "trust" / user.id)
        return Contents(owner, self._workers, trust, self._clock, self._limits)

    async def close(self) -> None:
        """End the threads; work that has begun is finished first."""
        await self._workers.close()


class Contents:
    """One user's files. Paths are API paths: ``"a/b.ipynb"``, relative to the home, ``""`` is the home."""

    def __init__(self, owner: Owner, workers: Workers, trust: TrustStore, clock: Clock, limits: Limits) -> None:
        self._owner = owner
        self._lane = str(owner.home)
        self._workers = workers
        self._desk = Desk(trust)
        self._clock = clock
        self._limits = limits

    async def get(
        self,
        path: str,
        type: str | None = None,
        format: str | None = None,
        content: bool = True,
        hash: bool = False,
    ) -> Model:
        """The model of a file, notebook or folder.

        `type` None means what it is (a notebook by its name); ``file`` gives a notebook as text. `format`
        None means text where it is UTF-8, else base64. Raises NotFound, also for hidden files; BadRequest
        when it is not of the type or format asked for, or a notebook that cannot be read; TooLarge when the
        content is asked for and is over the limit.
        """
        asked = documents.Asked(type=type, format=format, content=content, hash=hash, at=self._clock.now())
        return await self._run(documents.get, parse_path(path), asked, self._desk, self._limits)

    async def save(self, path: str, request: SaveRequest) -> Saved:
        """Write a file, notebook, folder, or one chunk of an upload; all or nothing.

        Raises NotebookInvalid for a notebook that does not follow its format, BadRequest for a wrong body,
        NotFound when the folder is not there, Conflict for a chunk out of order, NoSpace on a full disk. In
        all these cases the old file is as it was.
        """
        now = self._clock.now()
        return await self._run(saving.save, parse_path(path), request, self._desk, self._limits, now)

    async def new_untitled(self, folder: str, type: str = "", ext: str = "") -> Model:
        """Make an empty file, notebook or folder under the next free name, such as ``Untitled1.ipynb``."""
        now = self._clock.now()
        return await self._run(copying.new_untitled, parse_path(folder), type, ext, self._desk, self._limits, now)

    async def copy(self, source: str, folder: str) -> Model:
        """Copy a file or folder into `folder`, as ``name-Copy1.ipynb`` where the name is taken.

        `folder` may also be the full path of the copy, if its parent exists. Raises TooLarge for big folders.
        """
        return await self._run(copying.copy, parse_path(source), parse_path(folder), self._limits)

    async def rename(self, old: str, new: str) -> Model:
        """Move a file or folder, and its checkpoint. Raises Conflict when there is something at `new`."""
        return await self._run(moving.rename, parse_path(old), parse_path(new), self._limits)

    async def delete(self, path: str) -> None:
        """Delete a file or an empty folder, and its checkpoint. A link is deleted, never what it leads to.

        Raises BadRequest for the home itself and for a folder that is not empty.
        """
        await self._run(moving.delete, parse_path(path), self._limits)

    async def find_type(self, path: str) -> str | None:
        """``file`` or ``directory``; None when there is nothing, or something hidden or of another kind."""
        return await self._run(documents.find_type, parse_path(path), self._limits)

    async def exists(self, path: str) -> bool:
        """Whether there is a file or folder at `path` that the user may see."""
        return await self.find_type(path) is not None

    async def list_checkpoints(self, path: str) -> list[Checkpoint]:
        """The file's checkpoints: none or one. None as well when the file does not exist."""
        return await self._run(checkpoints.find_all, parse_path(path), self._limits)

    async def create_checkpoint(self, path: str) -> Checkpoint:
        """Keep a copy of the file as it is now, in place of an older checkpoint."""
        return await self._run(checkpoints.create, parse_path(path), self._limits)

    async def restore_checkpoint(self, path: str, checkpoint_id: str) -> None:
        """Make the file what it was at the checkpoint. Raises NotFound when there is none."""
        await self._run(checkpoints.restore, parse_path(path), checkpoint_id, self._limits)

    async def delete_checkpoint(self, path: str, checkpoint_id: str) -> None:
        """Forget a checkpoint. Raises NotFound when there is none."""
        await self._run(checkpoints.delete, parse_path(path), checkpoint_id, self._limits)

    async def trust(self, path: str) -> None:
        """Trust the outputs of the notebook as it is on the disk now."""
        await self._run(documents.trust, parse_path(path), self._desk, self._limits)

    async def open_raw(self, path: str) -> RawFile:
        """Open a file for streaming. The caller owns it: ``async with await contents.open_raw(path) as raw``."""
        opened = await self._run(open_raw_file, parse_path(path), self._limits)
        return RawFile(opened, self._workers, self._lane)

    async def _run(
        self, job: Callable[Concatenate[Owner, Given], Result], *given: Given.args, **named: Given.kwargs
    ) -> Result:
        return await self._workers.run(self._lane, partial(job, self._owner, *given, **named))
