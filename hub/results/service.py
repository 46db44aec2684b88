"""Outputs of cells that ran while nobody watched, brought into their notebooks at the right time.

`run` looks at a kernel when its agent tells something, when a front end is gone, and at intervals while a cell runs
that nobody watches. `opening` is asked before a notebook is shown. What is known survives a restart of the hub in the
database; the outputs themselves are in the kernels' journals until they are settled.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from hub.contents.large import Data
from hub.contents.service import ContentsOfUsers
from hub.domain.ids import KernelId, UserId, WorkspaceId
from hub.domain.kernels import Session
from hub.domain.users import User
from hub.domain.workspace import WorkspaceState
from hub.errors import Conflict, HubError
from hub.results import apart, deciding
from hub.results.deciding import Ended, Known, Shown
from hub.results.desk import KernelDesk, decode, pending
from hub.results.missed import MissedResults
from hub.results.places import ResultFolders
from hub.results.placing import Fate
from hub.results.tracking import Execution
from hub.results.writing import Writer
from hub.spawn.folders import Folders
from hub.store.engine import Store
from hub.store.results import KernelRecord
from hub.workspaces.agents import Agents, LiveKernel
from hub.workspaces.connections import Connections
from proxy.contract.activity import EndedSession
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
RUNNING_SECONDS = 5.0
"""How often the outputs of a cell that runs on are written."""
SHARE = 10.0
"""Writing may take one part in so many of the time."""
RETRY_SECONDS = (5.0, 15.0, 60.0, 300.0)
SETTLING_SECONDS = 12.0
"""After its start a hub does not know yet who is connected."""
SWEEP_SECONDS = 300.0
OPENED_SECONDS = 10.0
"""So long after a notebook was shown its front end may take to connect."""
AT_ONCE = 4
SYNC_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """Outputs that are not in their notebook yet, because of what `trouble` says."""

    path: str
    trouble: str


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the database says of a desk's kernel: its user (None: gone), and whether there still is the kernel."""

    user: User | None
    alive: bool


class Results:
    """Looks after the executions of all kernels that have, or had, a notebook."""

    def __init__(
        self,
        store: Store,
        folders: Folders,
        agents: Agents,
        connections: Connections,
        contents: ContentsOfUsers,
        clock: Clock,
        announce: Callable[[UserId, str], None] = lambda _user, _path: None,
    ) -> None:
        self._store = store
        self._folders = folders
        self._places = ResultFolders(folders)
        self._agents = agents
        self._connections = connections
        self._contents = contents
        self._clock = clock
        self._began_at = clock.now().timestamp()
        self._desks: dict[KernelId, KernelDesk] = {}
        self._at: defaultdict[tuple[UserId, str], set[KernelId]] = defaultdict(set)
        self._indexed: dict[KernelId, set[str]] = {}
        self._opened: dict[tuple[UserId, str], float] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._swept_at = clock.monotonic()
        self.missed = MissedResults(store, self._places, clock)
        self._writer = Writer(self.missed, announce)

    # -- what others tell ----------------------------------------------------------------------------------

    def follow(self, agents: Agents) -> None:
        """Hear what agents say of kernels, beside who hears it already."""
        others = agents.on_kernel

        def both(workspace_id: WorkspaceId, kernel: LiveKernel) -> None:
            others(workspace_id, kernel)
            self.heard(workspace_id, kernel)

        agents.on_kernel = both

    def heard(self, workspace_id: WorkspaceId, kernel: LiveKernel) -> None:
        """An agent told of a kernel: worth a look if nobody watches it."""
        desk = self._desks.get(kernel.id)
        if desk is not None and desk.workspace_id == workspace_id and not self._connections.sessions_of(kernel.id):
            self._look_in(desk, TICK_SECONDS)

    async def paired(self, session: Session, workspace_id: WorkspaceId, before: Session | None = None) -> None:
        """A session was made, or changed from `before`; those that are no notebooks' are no matter."""
        desk = self._desks.get(session.kernel_id)
        if session.type != "notebook":
            if desk is not None and not desk.known.has_console:
                desk.known.has_console = True
                await self._save(desk)
            return
        if desk is None or desk.workspace_id != workspace_id:
            desk = self._add(KernelDesk(session.kernel_id, session.user_id, workspace_id, Known()))
        old = before.path if before is not None and before.kernel_id == session.kernel_id else None
        if session.path in desk.known.notebooks and old in (None, session.path):
            return
        deciding.note_notebook(desk.known, session.path, old)
        self._index(desk)
        await self._save(desk)

    async def note_ended(self, ended: Iterable[EndedSession]) -> None:
        """Proxies told that front ends are gone: written down before they hear that it was heard."""
        now = self._clock.now().timestamp()
        touched: dict[KernelId, KernelDesk] = {}
        for each in ended:
            desk = self._desks.get(KernelId(each.kernel_id))
            if desk is None or desk.workspace_id != each.workspace_id:
                continue
            end = Ended(each.how, now - max(0.0, each.ago_seconds), each.seen[:64])
            deciding.note_ended(desk.known, each.session[:256], end)
            touched[desk.kernel_id] = desk
        for desk in touched.values():
            await self._save(desk)
            self._look_in(desk, 0)

    async def saved(self, user: User, path: str, ago_seconds: float = 0.0) -> None:
        """A client has saved the notebook at `path`, or put an older version in its place.

        What it sent is what it knew so many seconds ago.
        """
        at = self._clock.now().timestamp() - ago_seconds
        for desk in self._desks_at(user.id, path):
            deciding.note_saved(desk.known, path, at, self._connections.sessions_of(desk.kernel_id))
            await self._save(desk)

    async def renamed(self, user: User, old: str, new: str) -> None:
        """A file or folder has another name."""
        for desk in [desk for desk in self._desks.values() if desk.user_id == user.id]:
            if deciding.note_renamed(desk.known, old, new):
                self._index(desk)
                await self._save(desk)

    def gone(self, kernel_id: KernelId) -> None:
        """A kernel was shut down for good."""
        desk = self._desks.get(kernel_id)
        if desk is not None:
            self._look_in(desk, TICK_SECONDS)

    async def take(self, workspace_id: WorkspaceId) -> None:
        """Take the journals that are still needed out of a run folder that is about to be removed. Raises OSError."""
        for desk in [desk for desk in self._desks.values() if desk.workspace_id == workspace_id]:
            async with desk.lock:
                taken = await asyncio.to_thread(self._places.take, workspace_id, desk.user_id, desk.kernel_id)
                if taken and not desk.known.taken:
                    desk.known.taken = True
                    await self._save(desk)
            self._look_in(desk, 0)

    # -- notebooks that are opened -------------------------------------------------------------------------

    @asynccontextmanager
    async def opening(self, user: User, path: str) -> AsyncIterator[Callable[[Data], Data | None] | None]:
        """Within the block the notebook is read, with what is given applied to it: None when its file has everything.

        Where nobody has it open, the file is written first.
        """
        desks = self._desks_at(user.id, path)
        if desks:
            self._opened[user.id, path] = self._clock.monotonic()
        async with self._presented(user, desks) as shown:
            yield shown
            if shown is not None:
                await self._note_shown(desks, shown)

    @asynccontextmanager
    async def glancing(self, user: User, path: str) -> AsyncIterator[Callable[[Data], Data | None] | None]:
        """As `opening`, for somebody who looks and has no front end: the notebook does not count as open."""
        async with self._presented(user, self._desks_at(user.id, path)) as shown:
            yield shown

    @asynccontextmanager
    async def _presented(self, user: User, desks: list[KernelDesk]) -> AsyncIterator[_Presented | None]:
        async with AsyncExitStack() as stack:
            for desk in desks:
                await stack.enter_async_context(desk.lock)
            yield await self._present(user, desks) if desks else None

    async def _present(self, user: User, desks: list[KernelDesk]) -> _Presented | None:
        try:
            for desk in desks:
                await self._sync(desk)
                await self._refresh(desk)
            left = [(desk, self._pending(desk)) for desk in desks]
            if any(executions for _, executions in left) and self._open_for(desks[0]) <= 0:
                for desk, executions in left:
                    await self._write(desk, user, executions)
                left = [(desk, self._pending(desk)) for desk in desks]
        except (HubError, OSError) as error:
            log.warning("what ran in a notebook of user %s is not shown: %s", user.id, error)
            return None
        sources = [desk.source(executions) for desk, executions in left if executions]
        if not sources:
            return None
        return _Presented(apart.Insertion(self._contents.of(user).scratch, sources))

    async def _note_shown(self, desks: list[KernelDesk], shown: _Presented) -> None:
        now = self._clock.now().timestamp()
        for desk in desks:
            for each in desk.index:
                if shown.fates.get(each.msg_id) is Fate.PLACED and each.ended:
                    desk.known.shown[each.msg_id] = Shown(each.last_seq, now)
            with suppress(HubError):
                await self._save(desk)

    # -- rounds --------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Take up what was known before the hub was started."""
        async with self._store.reading() as unit:
            records = await unit.kernel_results.list()
            kernels = {kernel.id: kernel for kernel in await unit.kernels.list()}
            sessions = await unit.sessions.list_all()
        for record in records:
            self._add(KernelDesk(record.kernel_id, record.user_id, record.workspace_id, decode(record.known)))
        for session in sessions:
            await self.paired(session, kernels[session.kernel_id].workspace_id)
        for desk in self._desks.values():
            self._look_in(desk, SETTLING_SECONDS)

    async def run(self) -> None:
        """Look at the kernels that are due, until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                await self.run_once()
            except Exception:
                log.exception("a round of results was given up")

    async def run_once(self) -> None:
        """One round."""
        now = self._clock.monotonic()
        if now - self._swept_at > SWEEP_SECONDS:
            self._swept_at = now
            self._opened = {key: at for key, at in self._opened.items() if now - at < OPENED_SECONDS}
            await self.missed.prune()
            for desk in self._desks.values():
                if not self._connections.sessions_of(desk.kernel_id):
                    self._look_in(desk, 0)
            await self._remove_unowned()
        due = [desk for desk in self._desks.values() if desk.due is not None and desk.due <= now]
        await asyncio.gather(*(self._look(desk) for desk in due if not desk.lock.locked()))

    def waiting(self, user: User) -> list[Waiting]:
        """What of the user's is not in its notebook yet although nobody has that open."""
        mine = [desk for desk in self._desks.values() if desk.user_id == user.id and desk.trouble]
        return [Waiting(next(reversed(desk.known.notebooks), ""), desk.trouble) for desk in mine]

    async def _remove_unowned(self) -> None:
        """Remove the journals of kernels that are gone and never had a notebook.

        What there is is listed first: a kernel's row is written before the kernel is started.
        """
        async with self._store.reading() as unit:
            running = await unit.workspaces.list_by_state(WorkspaceState.RUNNING)
        for workspace in running:
            if not self._agents.connected(workspace.id) or self._agents.is_held(workspace.id):
                continue
            try:
                listed = await asyncio.to_thread(self._places.listed, workspace.id)
                live = (await self._agents.status(workspace.id, max_age=0)).kernels
                async with self._store.reading() as unit:
                    rows = {kernel.id for kernel in await unit.kernels.list_in(workspace.id)}
                unowned = listed - {*rows, *live, *self._desks}
                await asyncio.to_thread(self._places.remove_from, workspace.id, unowned)
            except (HubError, OSError) as error:
                log.info("journals in workspace %s were not looked through: %s", workspace.id, error)

    async def _look(self, desk: KernelDesk) -> None:
        async with self._slots, desk.lock:
            desk.due = None
            try:
                await self._settle(desk)
            except (HubError, OSError) as error:
                log.warning("the results of kernel %s were not looked at: %s", desk.kernel_id, error)
                self._look_in(desk, RETRY_SECONDS[1])
            except Exception:
                log.exception("the results of kernel %s were not looked at", desk.kernel_id)
                self._look_in(desk, RETRY_SECONDS[-1])

    async def _settle(self, desk: KernelDesk) -> None:
        facts = await self._refresh(desk)
        if facts.user is None:
            self._forget(desk)
            return
        left = self._pending(desk)
        if left:
            wait = max(self._open_for(desk), self._opening_for(desk))
            if 0 < wait < math.inf:
                self._look_in(desk, wait)
            elif wait <= 0:
                began = self._clock.monotonic()
                await self._write(desk, facts.user, left)
                took = self._clock.monotonic() - began
                left = self._pending(desk)
                if desk.trouble:
                    self._look_in(desk, RETRY_SECONDS[min(desk.failures, len(RETRY_SECONDS)) - 1])
                elif left:
                    self._look_in(desk, max(RUNNING_SECONDS, SHARE * took))
        if not left:
            desk.trouble = ""
            deciding.settle(desk.index, desk.known, [], [])
            if not facts.alive and not self._connections.sessions_of(desk.kernel_id):
                await self._end(desk)
                return
        await self._save(desk)

    # -- the machinery -------------------------------------------------------------------------------------

    async def _refresh(self, desk: KernelDesk) -> _Facts:
        """Bring the desk up to date with the database and the journal."""
        async with self._store.reading() as unit:
            user = await unit.users.find(desk.user_id)
            alive = await unit.kernels.find(desk.kernel_id) is not None
            workspace = None if alive else await unit.workspaces.find(desk.workspace_id)
        if user is None:
            return _Facts(None, alive)
        folder = (
            self._places.taken(desk.user_id, desk.kernel_id)
            if desk.known.taken
            else self._places.run(desk.workspace_id)
        )
        desk.move_to(folder, self._folders.uid_of(user))
        for session in self._connections.sessions_of(desk.kernel_id):
            desk.known.ended.pop(session, None)
        await asyncio.to_thread(desk.read_on)
        if not alive:
            desk.gone_because = desk.gone_because or (workspace.stop_reason if workspace else None) or ""
            desk.index.end_all()
        return _Facts(user, alive)

    async def _sync(self, desk: KernelDesk) -> None:
        """Have everything that the kernel has said by now in its journal, if its agent answers.

        One that is paused has said nothing since, and what it said before is written.
        """
        if desk.known.taken or not self._agents.connected(desk.workspace_id):
            return
        if self._agents.is_held(desk.workspace_id):
            return
        try:
            await self._agents.client(desk.workspace_id).sync_journal(desk.kernel_id, timeout=SYNC_SECONDS)
        except Exception as error:
            log.debug("the journal of kernel %s was not synchronised: %s", desk.kernel_id, error)

    def _pending(self, desk: KernelDesk) -> list[Execution]:
        siblings = [other for other in self._siblings(desk) if other is not desk]
        return pending(desk, siblings, self._connections.sessions_of(desk.kernel_id))

    def _siblings(self, desk: KernelDesk) -> list[KernelDesk]:
        """The kernels that have a notebook in common with this one, itself included."""
        ids = {kernel_id for path in desk.known.notebooks for kernel_id in self._at.get((desk.user_id, path), ())}
        return [self._desks[kernel_id] for kernel_id in sorted(ids | {desk.kernel_id})]

    def _open_for(self, desk: KernelDesk) -> float:
        """For how many seconds more one of the desk's notebooks counts as open."""
        now, monotonic = self._clock.now().timestamp(), self._clock.monotonic()
        longest = 0.0
        for each in self._siblings(desk):
            connected = self._connections.sessions_of(each.kernel_id)
            heard = {name: now - (monotonic - at) for name, at in self._connections.last_heard(each.kernel_id).items()}
            seconds = deciding.open_for(
                now, each.known, connected, self._pending_of(each), began_at=self._began_at, last_heard=heard
            )
            longest = max(longest, seconds)
        return longest

    def _pending_of(self, desk: KernelDesk) -> list[Execution]:
        return deciding.unsettled(desk.index, desk.known, self._connections.sessions_of(desk.kernel_id))

    def _opening_for(self, desk: KernelDesk) -> float:
        """For how many seconds more somebody may be about to connect who has just been shown a notebook."""
        at = max(
            (self._opened.get((desk.user_id, path), -math.inf) for path in desk.known.notebooks), default=-math.inf
        )
        return max(0.0, at + OPENED_SECONDS - self._clock.monotonic())

    async def _write(self, desk: KernelDesk, user: User, executions: list[Execution]) -> None:
        if executions:
            connected = self._connections.sessions_of(desk.kernel_id)
            await self._writer.write(desk, self._contents.of(user), executions, connected)
            await self._save(desk)

    async def _save(self, desk: KernelDesk) -> None:
        """Write down what is known, if it is something else than before."""
        encoded = desk.encoded()
        if encoded == desk.stored or desk.kernel_id not in self._desks:
            return
        record = KernelRecord(desk.kernel_id, desk.user_id, desk.workspace_id, encoded)
        try:
            async with self._store.unit() as unit:
                await unit.kernel_results.save(record, self._clock.now())
        except Conflict:
            self._forget(desk)
            return
        desk.stored = encoded

    async def _end(self, desk: KernelDesk) -> None:
        """The kernel is gone and everything of it is settled: so is its journal."""
        if desk.journal is not None:
            await asyncio.to_thread(self._places.remove_journal, desk.journal, desk.user_id, desk.kernel_id)
        async with self._store.unit() as unit:
            await unit.kernel_results.delete(desk.kernel_id)
        self._forget(desk)

    def _add(self, desk: KernelDesk) -> KernelDesk:
        self._desks[desk.kernel_id] = desk
        desk.stored = desk.encoded()
        self._index(desk)
        return desk

    def _index(self, desk: KernelDesk) -> None:
        now = set(desk.known.notebooks)
        for path in self._indexed.pop(desk.kernel_id, set()) - now:
            ids = self._at[desk.user_id, path]
            ids.discard(desk.kernel_id)
            if not ids:
                del self._at[desk.user_id, path]
        for path in now:
            self._at[desk.user_id, path].add(desk.kernel_id)
        if now:
            self._indexed[desk.kernel_id] = now

    def _forget(self, desk: KernelDesk) -> None:
        self._desks.pop(desk.kernel_id, None)
        desk.known.notebooks = {}
        self._index(desk)

    def _desks_at(self, user_id: UserId, path: str) -> list[KernelDesk]:
        """The kernels of a notebook, in the order in which they are locked."""
        ids = self._at.get((user_id, path))
        return [self._desks[kernel_id] for kernel_id in sorted(ids)] if ids else []

    def _look_in(self, desk: KernelDesk, seconds: float) -> None:
        """Look at the kernel in so many seconds, or earlier if that was said before."""
        at = self._clock.monotonic() + seconds
        desk.due = at if desk.due is None else min(desk.due, at)


class _Presented:
    """An insertion that shows the notebook as it is where it cannot be done."""

    def __init__(self, insertion: apart.Insertion) -> None:
        self._insertion = insertion
        self.fates: dict[str, Fate] = {}

    def __call__(self, data: Data) -> Data | None:
        try:
            shown = self._insertion(data)
        except HubError as error:
            log.warning("what ran in a notebook is not shown: %s", error.message)
            return None
        self.fates = dict(self._insertion.report.fates)
        return shown
