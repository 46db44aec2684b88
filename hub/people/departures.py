"""People who leave: barred at once, their name free at once, and gone for good when the grace is over.

Until then nothing of theirs is lost and one click restores it. At the end their files become one archive, which is
kept for a while, and then everything of theirs goes but the audit log's lines.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from hub.auth.recent import RecentIdentities
from hub.auth.users import username
from hub.contents.kept import sync_folder
from hub.contents.service import ContentsOfUsers
from hub.crash_points import Point, reached
from hub.domain.audit import AuditEvent
from hub.domain.ids import UserId
from hub.domain.users import User
from hub.errors import Conflict, HubError, NotFound
from hub.spawn.folders import Folders, remove_tree
from hub.store.engine import Store
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

MARK = "~"
"""Between the name of somebody who is about to be deleted and the beginning of their id: no other name holds it."""


@dataclass(frozen=True, slots=True)
class LeavingRules:
    """How long people can be restored, and how long archives of their files are kept then (zero: none is made)."""

    grace: timedelta
    archived: timedelta


class Departures:
    """Marks people for deletion, restores them, and deletes those whose time has come.

    `stop` ends all containers of a user; it raises EngineSilent where that cannot be known, and nothing is deleted.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        recent: RecentIdentities,
        folders: Folders,
        contents: ContentsOfUsers,
        stop: Callable[[User, str, str], Awaitable[None]],
        rules: LeavingRules,
    ) -> None:
        self._store = store
        self._clock = clock
        self._recent = recent
        self._folders = folders
        self._contents = contents
        self._stop = stop
        self._rules = rules

    @property
    def rules(self) -> LeavingRules:
        """How long people can be restored."""
        return self._rules

    @property
    def archives(self) -> Path:
        """The folder of the archives of those who are gone, for an administrator of the machine."""
        return self._folders.data_dir / "archives"

    def gone_at(self, user: User) -> datetime | None:
        """When somebody who is marked will be gone; None if they are not marked."""
        return None if user.removed_at is None else user.removed_at + self._rules.grace

    async def mark(self, user: User, actor: str, address: str = "") -> User:
        """Bar a user, stop their containers, free their name; gives them as they are then.

        Raises Conflict for the last administrator, NotFound, EngineSilent (they are barred then, not yet marked).
        """
        now = self._clock.now()
        async with self._store.unit() as unit:
            admins = await unit.users.count_admins()
            current = await unit.users.find(user.id)
            if current is None:
                raise NotFound("There is no such user.")
            if current.removed_at is not None:
                return current
            if current.is_admin and current.disabled_at is None and admins <= 1:
                raise Conflict(f"{current.name} is the last administrator; make somebody else one first.")
            await unit.users.save(replace(current, disabled_at=current.disabled_at or now))
            await unit.sign_ins.revoke_all(user.id, now)
        self._recent.clear()
        await self._stop(current, "the account is being deleted", actor)
        async with self._store.unit() as unit:
            current = await unit.users.find(user.id)
            if current is None:
                raise NotFound("There is no such user.")
            marked = replace(current, removed_at=now, disabled_at=current.disabled_at or now, name=marked_name(current))
            await unit.users.save(marked)
            details = {"name": current.name, "gone_at": (now + self._rules.grace).isoformat()}
            await unit.audit.add(AuditEvent(now, "user.removed", actor, user.id, address, details))
        self._recent.clear()
        return marked

    async def restore(self, user: User, actor: str, address: str = "", name: str = "") -> User:
        """Let somebody who is marked in again, under their name of before or another; who was disabled before stays so.

        Raises Conflict when the name was given to somebody else meanwhile, NotFound.
        """
        now, wanted = self._clock.now(), username(name or former_name(user))
        async with self._store.unit() as unit:
            current = await unit.users.find(user.id)
            if current is None:
                raise NotFound("This user is gone for good.")
            if current.removed_at is None:
                raise NotFound("This user is restored already.")
            was_disabled = current.disabled_at is not None and current.disabled_at < current.removed_at
            disabled_at = current.disabled_at if was_disabled else None
            restored = replace(current, removed_at=None, disabled_at=disabled_at, name=wanted)
            await unit.users.save(restored)
            await unit.audit.add(AuditEvent(now, "user.restored", actor, user.id, address, {"name": wanted}))
        self._recent.clear()
        return restored

    async def finish_due(self) -> int:
        """Delete those whose grace is over, one after the other, and archives that were kept for long enough."""
        gone = 0
        await self._finish_removals()
        async with self._store.reading() as unit:
            due = await unit.users.removed_before(self._clock.now() - self._rules.grace)
        for user in due:
            try:
                await self.finish(user)
                gone += 1
            except (HubError, OSError) as error:
                log.warning("user %s could not be deleted yet: %s", user.id, error)
        await asyncio.to_thread(self._prune_archives)
        return gone

    async def finish(self, user: User, actor: str = "hub", address: str = "") -> None:
        """Archive the files of somebody who is marked, then delete everything of theirs.

        A step that fails leaves the later ones undone, and the next time begins again. Raises OSError, HubError,
        and Conflict for somebody who was restored meanwhile: an archive takes its time.
        """
        async with self._store.reading() as unit:
            _require_marked(await unit.users.find(user.id))
        await self._stop(user, "the account is being deleted", actor)
        reached(Point.USER_STOPPED)
        now = self._clock.now()
        archive = await self._archive(user) if self._rules.archived else None
        await asyncio.to_thread(self._intend_removal, user.id)
        async with self._store.unit() as unit:
            _require_marked(await unit.users.find(user.id))
            await unit.users.delete(user.id)
            details = {"name": former_name(user), "archive": archive.name if archive is not None else None}
            await unit.audit.add(AuditEvent(now, "user.deleted", actor, user.id, address, details))
        self._recent.clear()
        reached(Point.USER_DELETED)
        await asyncio.to_thread(self._remove_folders, user.id)
        reached(Point.USER_FOLDERS_GONE)

    async def _archive(self, user: User) -> Path | None:
        """All files of a user as ``archives/<id>.tar.gz``, hidden ones too; None if there never was a home."""
        home = self._folders.home(user.id)
        if not await asyncio.to_thread(home.is_dir):
            return None
        await asyncio.to_thread(self.archives.mkdir, mode=0o700, exist_ok=True)
        target, part = self.archives / f"{user.id}.tar.gz", self.archives / f"{user.id}.part"
        descriptor = await asyncio.to_thread(os.open, part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            contents = self._contents.of(user)
            async with await contents.open_archive("", former_name(user), "tgz", False, hidden=True) as archive:
                async for piece in archive.pieces():
                    await asyncio.to_thread(out.write, piece)
            await asyncio.to_thread(_settle, out.fileno(), out.flush)
        said = {"id": user.id, "name": former_name(user), "archived_at": self._clock.now().isoformat()}
        await asyncio.to_thread((self.archives / f"{user.id}.json").write_bytes, msgspec.json.encode(said))
        await asyncio.to_thread(part.replace, target)
        await asyncio.to_thread(sync_folder, self.archives)  # the home goes next
        return target

    @property
    def _removals(self) -> Path:
        """A file for each user whose folders are to go: a hub that ends in the midst leaves no files of nobody."""
        return self._folders.data_dir / "removals"

    def _intend_removal(self, user_id: UserId) -> None:
        self._removals.mkdir(mode=0o700, exist_ok=True)
        (self._removals / user_id).touch()
        sync_folder(self._removals)

    async def _finish_removals(self) -> None:
        """Remove the folders of those who are gone already; who was restored meanwhile keeps theirs."""
        for user_id in await asyncio.to_thread(self._intended_removals):
            async with self._store.reading() as unit:
                stays = await unit.users.find(user_id) is not None
            try:
                if stays:
                    await asyncio.to_thread((self._removals / user_id).unlink, missing_ok=True)
                else:
                    await asyncio.to_thread(self._remove_folders, user_id)
            except OSError as error:
                log.warning("the folders of user %s, who is gone, could not be removed yet: %s", user_id, error)

    def _intended_removals(self) -> list[UserId]:
        return [UserId(file.name) for file in self._removals.iterdir()] if self._removals.is_dir() else []

    def _remove_folders(self, user_id: UserId) -> None:
        for folder in (self._folders.home(user_id), self._folders.lab(user_id), self._folders.results(user_id)):
            remove_tree(folder)
        self._contents.forget(user_id)
        (self._removals / user_id).unlink(missing_ok=True)

    def _prune_archives(self) -> None:
        if not self.archives.is_dir():
            return
        oldest = (self._clock.now() - self._rules.archived).timestamp()
        for file in self.archives.iterdir():
            if file.stat().st_mtime < oldest:
                file.unlink(missing_ok=True)


def _require_marked(user: User | None) -> None:
    if user is None or user.removed_at is None:
        raise Conflict("This user was restored meanwhile, or is gone already; nothing was deleted.")


def marked_name(user: User) -> str:
    """What somebody who is marked is called in the database, so that the name is free for others."""
    return f"{user.name}{MARK}{user.id[:12]}"


def former_name(user: User) -> str:
    """What somebody was called before they were marked."""
    return user.name.partition(MARK)[0]


def _settle(descriptor: int, flush: Callable[[], None]) -> None:
    flush()
    os.fsync(descriptor)
