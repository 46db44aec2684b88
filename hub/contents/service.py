"""The contents service: each user's files, for handlers that know nothing of descriptors and threads.

`ContentsOfUsers` is wired once in `hub.app`; `of(user)` is cheap and gives the user's `Contents`. The work is
done in threads (`workers`), as the user (`identity`), beneath the user's home (`beneath`). Every method raises
errors of `hub.errors` only: NotFound, BadRequest (and NotebookInvalid), Forbidden, Conflict, TooLarge,
NoSpace, TooManyRequests, Unavailable.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import msgspec

from hub.contents import (
    amending,
    checkpoints,
    choosing,
    copy_out,
    copying,
    documents,
    moving,
    pairing,
    saving,
    versions,
)
from hub.contents.archive import Archive, open_archive
from hub.contents.archive_formats import FORMATS
from hub.contents.beneath import Owner
from hub.contents.choosing import ChoiceFile
from hub.contents.desk import Desk
from hub.contents.large import Scratch, ScratchFile
from hub.contents.models import Checkpoint, Limits, Model, Saved, SaveRequest
from hub.contents.notebook_process import NotebookProcess
from hub.contents.pair_records import PairRecords
from hub.contents.paths import parse_path
from hub.contents.raw import RawFile, open_raw_file, open_scratch_file
from hub.contents.spool import Spool
from hub.contents.syscalls import require_openat2
from hub.contents.trash_info import TrashRules
from hub.contents.trash_service import Trash
from hub.contents.trust import TrustStore
from hub.contents.usage import usage_of
from hub.contents.workers import Workers
from hub.domain.ids import UserId
from hub.domain.quota import SAVING_SLACK
from hub.domain.users import User
from hub.errors import NotFound
from hub.notebook_files.choices import Choices, Strip
from hub.notebook_files.jobs import Comparison
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


CheckGrowth = Callable[[User, float], Awaitable[None]]
"""Raises NoSpace if a user's files may not grow; the number says how many quotas they may take for this."""


async def _always(user: User, slack: float) -> None:
    """Nobody has a quota."""


async def _freely(slack: float) -> None:
    """There is no quota."""


class ContentsOfUsers:
    """Everybody's files. Owns the worker threads; `close` ends them.

    `state_dir` is a folder of the hub's own, outside all homes, where it keeps what it trusts.
    `impersonate` says whether file access happens under the user's uid; None means: when the hub is root.
    `trash` None means that deleting is for good.
    Raises KernelTooOld (Linux before 5.6) when made.
    """

    def __init__(
        self,
        homes: Homes,
        state_dir: Path,
        clock: Clock,
        limits: Limits | None = None,
        impersonate: bool | None = None,
        trash: TrashRules | None = None,
    ) -> None:
        require_openat2()
        self._homes = homes
        self._state_dir = state_dir
        self._clock = clock
        self._limits = limits or Limits()
        self._trash = trash
        self._impersonate = os.geteuid() == 0 if impersonate is None else impersonate
        self._workers = Workers(impersonate=self._impersonate)
        self._scratch = Scratch(state_dir / "scratch")
        self.check_growth: CheckGrowth = _always

    def of(self, user: User) -> Contents:
        """The user's files. The home need not exist yet: the first use makes it."""
        owner = Owner(
            home=self._homes.home(user.id),
            uid=self._homes.uid_of(user),
            gid=self._homes.gid,
            impersonate=self._impersonate,
            make_home=lambda: self._homes.prepare_home(user),
        )
        desk = Desk(
            TrustStore(self._state_dir / "trust" / user.id),
            ChoiceFile(self._state_dir / "choices" / f"{user.id}.json"),
            PairRecords(self._state_dir / "pairs" / f"{user.id}.json"),
            NotebookProcess(self._scratch, user.id),
        )
        contents = Contents(owner, self._workers, desk, self._clock, self._limits, self._trash)
        contents.check_growth = partial(self.check_growth, user)
        return contents

    def forget(self, user_id: UserId) -> None:
        """Remove what the hub keeps about the files of somebody who is gone. Blocking. Raises OSError."""
        shutil.rmtree(self._state_dir / "trust" / user_id, ignore_errors=True)
        for folder in ("choices", "pairs"):
            (self._state_dir / folder / f"{user_id}.json").unlink(missing_ok=True)

    async def close(self) -> None:
        """End the threads; work that has begun is finished first."""
        await self._workers.close()


class Contents:
    """One user's files. Paths are API paths: ``"a/b.ipynb"``, relative to the home, ``""`` is the home."""

    def __init__(
        self,
        owner: Owner,
        workers: Workers,
        desk: Desk,
        clock: Clock,
        limits: Limits,
        rules: TrashRules | None = None,
    ) -> None:
        self._owner = owner
        self._lane = str(owner.home)
        self._workers = workers
        self._desk = desk
        self._clock = clock
        self._limits = limits
        self._rules = rules
        self.check_growth: Callable[[float], Awaitable[None]] = _freely

    @property
    def trash(self) -> Trash:
        """What the user deleted. Raises NotFound where deleting is for good."""
        if self._rules is None:
            raise NotFound("This hub keeps no trash: what is deleted is gone.")
        return Trash(self._owner, self._workers, self._lane, self._clock, self._rules)

    async def get(
        self,
        path: str,
        type: str | None = None,
        format: str | None = None,
        content: bool = True,
        hash: bool = False,
        amend: amending.Change | None = None,
    ) -> Model:
        """The model of a file, notebook or folder. A notebook is shown as `amend` gives it; the file stays as it is.

        `type` None means what it is (a notebook by its name); ``file`` gives a notebook as text. `format`
        None means text where it is UTF-8, else base64. Raises NotFound, also for hidden files; BadRequest
        when it is not of the type or format asked for, or a notebook that cannot be read; TooLarge when the
        content is asked for and is over the limit.
        """
        asked = documents.Asked(type=type, format=format, content=content, hash=hash, at=self._clock.now())
        desk = self._desk if amend is None else self._desk.amending(amend)
        return await self._run(documents.get_in_memory, parse_path(path), asked, desk, self._limits)

    async def stream(
        self,
        path: str,
        type: str | None = None,
        format: str | None = None,
        content: bool = True,
        hash: bool = False,
        amend: amending.Change | None = None,
    ) -> tuple[Model, RawFile | None]:
        """As `get`, but large content is not in the model: its JSON is a file, which the caller owns.

        A notebook is shown as `amend` gives it; the file stays as it is.
        """
        asked = documents.Asked(type=type, format=format, content=content, hash=hash, at=self._clock.now())
        desk = self._desk if amend is None else self._desk.amending(amend)
        model = await self._run(documents.get, parse_path(path), asked, desk, self._limits)
        if not isinstance(model.content, ScratchFile):
            return model, None
        large = self._streamed(model.content, path)
        model.content = None
        return model, large

    async def save(self, path: str, request: SaveRequest) -> Saved:
        """Write a file, notebook, folder, or one chunk of an upload; all or nothing.

        Raises NotebookInvalid for a notebook that does not follow its format, BadRequest for a wrong body,
        NotFound when the folder is not there, Conflict for a chunk out of order, NoSpace on a full disk. In
        all these cases the old file is as it was.
        """
        await self.check_growth(SAVING_SLACK if request.chunk is None else 1.0)
        now = self._clock.now()
        return await self._run(saving.save, parse_path(path), request, self._desk, self._limits, now)

    async def amend(self, path: str, change: amending.Change) -> bool:
        """Change a notebook that nobody has open, if it is still what was read; whether it was changed.

        A paired notebook's texts stay, as only outputs change. It is trusted as it was. Raises NotFound; BadRequest
        where the notebook has no place for outputs, or cannot be read; Conflict when somebody else changed it
        meanwhile; NoSpace.
        """
        await self.check_growth(SAVING_SLACK)
        return await self._run(amending.amend, parse_path(path), change, self._desk, self._limits)

    @property
    def scratch(self) -> Scratch:
        """Where the hub keeps what is too large for its memory."""
        return self._desk.scratch

    def spool(self) -> Spool:
        """A file for the body of a large request, which `save_large` takes."""
        return Spool(self._desk.scratch, self._workers, self._lane)

    async def save_large(self, path: str, body: ScratchFile) -> Saved:
        """As `save`, of a request whose JSON is in a file, which it closes; a process of its own reads it."""
        await self.check_growth(SAVING_SLACK)
        now = self._clock.now()
        return await self._run(saving.save_large, parse_path(path), body, self._desk, self._limits, now)

    async def new_untitled(self, folder: str, type: str = "", ext: str = "") -> Model:
        """Make an empty file, notebook or folder under the next free name, such as ``Untitled1.ipynb``."""
        await self.check_growth(1.0)
        now = self._clock.now()
        return await self._run(copying.new_untitled, parse_path(folder), type, ext, self._desk, self._limits, now)

    async def copy(self, source: str, folder: str) -> Model:
        """Copy a file or folder into `folder`, as ``name-Copy1.ipynb`` where the name is taken.

        `folder` may also be the full path of the copy, if its parent exists. Raises TooLarge for big folders.
        """
        await self.check_growth(1.0)
        return await self._run(copying.copy, parse_path(source), parse_path(folder), self._limits)

    async def rename(self, old: str, new: str) -> Model:
        """Move a file or folder, and its checkpoint. Raises Conflict when there is something at `new`."""
        model = await self._run(moving.rename, parse_path(old), parse_path(new), self._limits)
        await self._run(pairing.follow, parse_path(old), parse_path(new), self._desk, self._limits)
        return model

    async def delete(self, path: str) -> None:
        """Delete a file or folder, and its checkpoint, into the trash if there is one (see `trash.put`).

        A link is deleted, never what it leads to. Raises BadRequest for the home itself, and for a folder that
        is not empty where the limits allow only empty ones; Conflict when the trash cannot be used.
        """
        await self._run(moving.delete, parse_path(path), self._limits, self._rules, self._clock.now())

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
        await self.check_growth(SAVING_SLACK)
        return await self._run(checkpoints.create, parse_path(path), self._limits)

    async def restore_checkpoint(self, path: str, checkpoint_id: str) -> None:
        """Make the file what it was at the checkpoint. Raises NotFound when there is none."""
        await self._run(checkpoints.restore, parse_path(path), checkpoint_id, self._limits)

    async def delete_checkpoint(self, path: str, checkpoint_id: str) -> None:
        """Forget a checkpoint. Raises NotFound when there is none."""
        await self._run(checkpoints.delete, parse_path(path), checkpoint_id, self._limits)

    async def compare(self, path: str, old: str = "checkpoint", new: str = "file") -> Comparison:
        """How a notebook changed between two of its versions; see `versions.compare`."""
        return await self._run(versions.compare, parse_path(path), old, new, self._limits)

    async def without_outputs(self, path: str) -> bytes | RawFile:
        """The notebook file without its outputs, whatever was chosen; large ones as a file, which the caller owns.

        Raises BadRequest, TooLarge.
        """
        keys = (await self.choices(path)).strip_keys or ()
        data = await self._run(documents.without_outputs, parse_path(path), keys, self._desk, self._limits)
        return data if isinstance(data, bytes) else self._streamed(data.file, path)

    async def choices(self, path: str) -> Choices:
        """What was chosen for the notebook at `path`."""
        return await self._run(choosing.for_notebook, parse_path(path), self._desk.choices.get())

    async def own_choices(self) -> Choices:
        """What the user chose for all notebooks."""
        return await self._run(lambda _: self._desk.choices.get())

    async def choose(self, choices: Choices) -> None:
        """Choose for all notebooks for which no folder says otherwise."""
        await self._run(lambda _: self._desk.choices.set(choices))

    async def look_up_choices(self, folder: str) -> list[choosing.FolderSays]:
        """What the files in `folder` and those above it say, nearest first. Raises NotFound."""
        return await self._run(choosing.look, parse_path(folder))

    async def choose_for_folder(self, folder: str, strip: Strip | None, pair: str | None) -> None:
        """Write a folder's choice into its files, None: as above it. Raises BadRequest where they say more."""
        await self._run(choosing.set_both, parse_path(folder), strip, pair)

    async def trust(self, path: str) -> None:
        """Trust the outputs of the notebook as it is on the disk now."""
        await self._run(documents.trust, parse_path(path), self._desk, self._limits)

    async def copy_out(self, folder: str, target: Path) -> None:
        """Copy the home, or only `folder` of it where that is too much, to an empty folder of the user's elsewhere.

        Raises TooLarge.
        """
        await self._run(copy_out.copy_out, parse_path(folder), target)

    async def read_out(self, folder: Path, name: str) -> bytes:
        """A file that the user's code wrote to a folder elsewhere. Raises NotFound, BadRequest, TooLarge."""
        return await self._run(copy_out.read_out, folder, name, self._limits.document_bytes)

    async def open_raw(self, path: str) -> RawFile:
        """Open a file for streaming. The caller owns it: ``async with await contents.open_raw(path) as raw``."""
        opened = await self._run(open_raw_file, parse_path(path), self._limits)
        return RawFile(opened, self._workers, self._lane)

    async def open_archive(
        self, path: str, home_name: str, format_name: str, follow_links: bool = True, *, hidden: bool = False
    ) -> Archive:
        """Begin an archive of a folder; `home_name` is what the home is called in it. The caller owns it.

        `hidden`: with what begins with a dot, which is no part of what users see.

        `format_name` is one of `archive_formats.FORMATS`. Raises BadRequest, NotFound, TooLarge.
        """
        parsed = parse_path(path)
        name = parsed.name or home_name
        limits = msgspec.structs.replace(self._limits, allow_hidden=True) if hidden else self._limits
        packing = await self._run(open_archive, parsed, name, format_name, follow_links, limits)
        return Archive(packing, FORMATS[format_name], name, self._workers, self._lane)

    async def usage(self) -> tuple[int, int, bool]:
        """What the home takes: bytes on the disk, files and folders, and whether the count came to its end."""
        return await self._run(usage_of)

    def _streamed(self, file: ScratchFile, path: str) -> RawFile:
        with file:
            return RawFile(open_scratch_file(file, parse_path(path)), self._workers, self._lane)

    async def _run(
        self, job: Callable[Concatenate[Owner, Given], Result], *given: Given.args, **named: Given.kwargs
    ) -> Result:
        return await self._workers.run(self._lane, partial(job, self._owner, *given, **named))
