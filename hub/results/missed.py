"""Results that found no notebook: kept for a month, shown on the page "Results you missed", downloaded as notebooks."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from typing import Any

from hub.contents.stats import time_of
from hub.domain.ids import UserId, new_id
from hub.domain.missed import KEPT_FOR, MAX_CODE_CHARS, Missed, too_many
from hub.domain.users import User
from hub.errors import Conflict, NotFound
from hub.results.desk import KernelDesk
from hub.results.places import ResultFolders
from hub.results.placing import source_of
from hub.results.tracking import Execution
from hub.store.engine import Store
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

Json = dict[str, Any]


class MissedResults:
    """Keeps, lists and deletes them."""

    def __init__(self, store: Store, folders: ResultFolders, clock: Clock) -> None:
        self._store = store
        self._folders = folders
        self._clock = clock

    async def keep(self, desk: KernelDesk, execution: Execution, path: str, reason: str, notebook: Json) -> None:
        """Keep one, in place of what was kept of the same execution before. Raises OSError, HubError."""
        data = json.dumps(notebook, indent=1, sort_keys=True).encode() + b"\n"
        now = self._clock.now()
        missed = Missed(
            id=new_id(),
            user_id=desk.user_id,
            kernel_id=desk.kernel_id,
            request_id=execution.msg_id,
            path=path,
            code=_first_line(source_of(notebook["cells"][0])),
            reason=reason,
            ran_at=time_of(execution.begin_at),
            kept_at=now,
            size_bytes=len(data),
        )
        async with self._store.reading() as unit:
            before = await unit.missed_results.find_request(desk.kernel_id, execution.msg_id)
        await asyncio.to_thread(self._folders.keep, missed.user_id, missed.id, data)
        try:
            async with self._store.unit() as unit:
                if before is not None:
                    await unit.missed_results.delete(before.id)
                await unit.missed_results.add(missed)
        except Conflict:
            await asyncio.to_thread(self._folders.drop, missed.user_id, missed.id)
            raise
        if before is not None:
            await asyncio.to_thread(self._folders.drop, before.user_id, before.id)
        await self._bound(missed.user_id)

    async def list(self, user: User) -> list[Missed]:
        """A user's, newest first."""
        async with self._store.reading() as unit:
            return await unit.missed_results.list_for(user.id)

    async def notebook(self, user: User, missed_id: str) -> tuple[Missed, bytes]:
        """One of the user's, and the notebook file that it is kept as. Raises NotFound."""
        async with self._store.reading() as unit:
            found = await unit.missed_results.find_for(user.id, missed_id)
        data = None if found is None else await asyncio.to_thread(self._folders.kept, user.id, found.id)
        if found is None or data is None:
            raise NotFound("There is no such result, or it was deleted.")
        return found, data

    async def delete(self, user: User, missed_id: str) -> None:
        """Delete one of the user's. Raises NotFound."""
        async with self._store.unit() as unit:
            found = await unit.missed_results.find_for(user.id, missed_id)
            if found is None:
                raise NotFound("There is no such result, or it was deleted.")
            await unit.missed_results.delete(found.id)
        await asyncio.to_thread(self._folders.drop, user.id, found.id)

    async def delete_all(self, user: User) -> None:
        """Delete all of the user's."""
        await self._delete(await self.list(user))

    async def prune(self) -> int:
        """Delete what was kept for long enough; how many."""
        async with self._store.reading() as unit:
            old = await unit.missed_results.list_before(self._clock.now() - KEPT_FOR)
        if old:
            await self._delete(old)
        return len(old)

    async def _bound(self, user_id: UserId) -> None:
        async with self._store.reading() as unit:
            listed = await unit.missed_results.list_for(user_id)
        if gone := too_many(listed, self._clock.now()):
            log.info("%d missed results of user %s are too many or too old", len(gone), user_id)
            await self._delete(gone)

    async def _delete(self, gone: Iterable[Missed]) -> None:
        async with self._store.unit() as unit:
            for each in gone:
                await unit.missed_results.delete(each.id)
        for each in gone:
            await asyncio.to_thread(self._folders.drop, each.user_id, each.id)


def _first_line(code: str) -> str:
    first, _, more = code.strip().partition("\n")
    return first[: MAX_CODE_CHARS - 2].strip() + (" …" if more else "")
