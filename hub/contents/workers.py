"""The threads that do the file work, and the queue before them.

A user has at most `PER_USER` jobs in the threads at once, so nobody's slow disk or huge folder holds up others;
more wait in the order of their arrival, and beyond `QUEUE` waiting ones the answer is TooManyRequests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from hub.contents import syscalls
from hub.errors import TooManyRequests

log = logging.getLogger(__name__)

THREADS = 64
PER_USER = 4
QUEUE = 64
CLOSE_SECONDS = 3.0

Result = TypeVar("Result")


@dataclass(slots=True)
class _Lane:
    """One user's share of the threads. `jobs` counts those that run and those that wait."""

    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PER_USER))
    jobs: int = 0


class Workers:
    """A bounded pool of threads with a fair share for each user.

    `threads` None means 64: they wait for disks and child processes more than they compute, and at most 40 of them wait
    for a conversion (hub.notebook_files.apart). With `impersonate` each thread gives up the hub's supplementary groups
    for good when it starts.
    """

    def __init__(self, *, impersonate: bool, threads: int | None = None) -> None:
        self._pool = ThreadPoolExecutor(
            max_workers=threads or THREADS,
            thread_name_prefix="contents",
            initializer=syscalls.leave_groups if impersonate else None,
        )
        self._lanes: dict[str, _Lane] = {}

    async def run(self, user: str, job: Callable[[], Result]) -> Result:
        """Do `job` in a thread, in `user`'s lane, and give its result or raise its error.

        A cancelled caller leaves at once; the job is finished all the same and keeps its place until then.
        """
        lane = self._lanes.setdefault(user, _Lane())
        if lane.jobs >= PER_USER + QUEUE:
            raise TooManyRequests("Too many file requests at once; wait a moment.", retry_after_seconds=1)
        lane.jobs += 1
        try:
            await lane.slots.acquire()
        except BaseException:
            self._leave(user, lane)
            raise
        try:
            future = asyncio.get_running_loop().run_in_executor(self._pool, job)
        except BaseException:
            lane.slots.release()
            self._leave(user, lane)
            raise
        future.add_done_callback(lambda _: self._finished(user, lane))
        return await asyncio.shield(future)

    def _finished(self, user: str, lane: _Lane) -> None:
        lane.slots.release()
        self._leave(user, lane)

    def _leave(self, user: str, lane: _Lane) -> None:
        lane.jobs -= 1
        if lane.jobs == 0:
            self._lanes.pop(user, None)

    async def close(self) -> None:
        """Take no more jobs and wait for those that run, at most three seconds."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.to_thread(self._pool.shutdown)
        except TimeoutError:
            log.warning("file work did not end within %s s", CLOSE_SECONDS)
