"""Reads a kernel's journal for one connection: finds where the client stands, and gives what follows as it has room.

Journals are read in a few threads of their own. One question is answered at a time; a new one takes the place of
what is still on its way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from proxy.contract.route import KernelRoute
from proxy.core.bridge_terms import Event, FindPlace, JournalAway, JournalRead, PlaceFound, ReadJournal
from proxy.io.agents import SharedAgent
from proxy.kit.agent_client import AgentFailure
from proxy.kit.journal import Journal, Record
from proxy.kit.tasks import TaskOwner

log = logging.getLogger(__name__)

THREADS = 4
PAGE_BYTES = 512 * 1024
LOOK_BACK_RECORDS = 2000
LOOK_BACK_BYTES = 4 * 1024 * 1024
ROOM_BYTES = 1024 * 1024
"""The journal is read on when less than this waits for the client."""
SYNC_SECONDS = 3.0
LATE_SECONDS = 0.25
"""How long a message that the client has may be on its way into the journal still."""

Result = TypeVar("Result")


class JournalThreads:
    """The threads that read journals, shared by all connections. `close` lets what runs come to its end."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="journal")

    async def run(self, read: Callable[[], Result]) -> Result:
        """What `read` returns. Raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, read)

    def close(self) -> None:
        """Take nothing more. Closing twice is harmless."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class JournalReading:
    """The reading for one connection. `feed` gets the answers; `room` returns when the client takes more.

    `close` ends it.
    """

    def __init__(
        self,
        route: KernelRoute,
        agent: SharedAgent,
        threads: JournalThreads,
        tasks: TaskOwner,
        feed: Callable[[Event], object],
        room: Callable[[int], Awaitable[None]],
    ) -> None:
        self._route = route
        self._agent = agent
        self._threads = threads
        self._tasks = tasks
        self._feed = feed
        self._room = room
        self._task: asyncio.Task[None] | None = None
        self._is_reading = False
        self._journal = self._new_journal()

    def perform(self, question: FindPlace | ReadJournal) -> None:
        """Answer a question, instead of an older one."""
        if self._is_reading:
            self.close()
            self._journal = self._new_journal()  # a thread may be reading still with the former one
        if not self._tasks.is_closed:
            self._is_reading = True
            self._task = self._tasks.start(self._answer(question), "kernel.journal")

    def close(self) -> None:
        """Stop."""
        if self._task is not None and self._is_reading:
            self._task.cancel()
        self._task, self._is_reading = None, False

    def _new_journal(self) -> Journal:
        route = self._route
        return Journal(Path(route.run_folder), route.kernel_id, route.owner_uid)

    async def _answer(self, question: FindPlace | ReadJournal) -> None:
        try:
            event = await (self._find(question) if isinstance(question, FindPlace) else self._read(question))
        except OSError as error:
            log.warning("the journal of kernel %s cannot be read: %s", self._route.kernel_id, error)
            event = JournalAway(question.turn)
        self._is_reading = False
        self._feed(event)

    async def _find(self, question: FindPlace) -> Event:
        place: int | None = question.base
        if question.fresh:
            await self._sync()
        if question.identity:
            place = await self._threads.run(lambda: self._journal.find(question.identity))
            if place is None and question.fresh:
                await asyncio.sleep(LATE_SECONDS)
                await self._sync()
                place = await self._threads.run(lambda: self._journal.find(question.identity))
        extent = await self._threads.run(self._journal.extent)
        if not extent.last or (place is not None and place > extent.last):
            return JournalAway(question.turn)
        lost = 0
        if place is None:
            if not extent.lost_messages:
                return JournalAway(question.turn)
            place = extent.first - 1
            lost = max(place - question.base, 1)
        past: list[Record] = []
        if question.look_back:
            after = max(place - LOOK_BACK_RECORDS, extent.first - 1, 0)
            page = await self._threads.run(lambda: self._journal.read(after, LOOK_BACK_BYTES))
            past = [record for record in page.records if record.seq <= place]
        return PlaceFound(question.turn, place, lost, past)

    async def _read(self, question: ReadJournal) -> Event:
        await asyncio.sleep(question.pause)
        if question.fresh:
            await self._sync()
        await self._room(ROOM_BYTES)
        page = await self._threads.run(lambda: self._journal.read(question.after, PAGE_BYTES))
        return JournalRead(question.turn, page.records, page.complete)

    async def _sync(self) -> None:
        """Have the agent write what it has. Without an agent what stands in the journal must do."""
        try:
            await self._agent.client.sync_journal(self._route.kernel_id, SYNC_SECONDS)
        except AgentFailure as failure:
            log.debug("the journal of kernel %s is read as it is: %s", self._route.kernel_id, failure)
