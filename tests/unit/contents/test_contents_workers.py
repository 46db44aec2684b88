"""The threads and the queue before them (hub.contents.workers)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from hub.contents.workers import PER_USER, QUEUE, Workers
from hub.errors import TooManyRequests


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    made = Workers(impersonate=False, threads=PER_USER + 1)
    yield made
    await made.close()


class Gate:
    """A job that waits until it is let go, and counts how many are in it."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.inside = 0
        self._lock = threading.Lock()

    def __call__(self) -> int:
        with self._lock:
            self.inside += 1
        assert self.open.wait(10)
        return self.inside


async def until(condition: object) -> None:
    async with asyncio.timeout(5):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.001)


async def test_results_and_errors_come_back(workers: Workers) -> None:
    assert await workers.run("u1", lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await workers.run("u1", lambda: 1 // 0)


async def test_one_user_cannot_occupy_the_pool(workers: Workers) -> None:
    gate = Gate()
    jobs = [asyncio.create_task(workers.run("u1", gate)) for _ in range(PER_USER + 5)]
    await until(lambda: gate.inside == PER_USER)
    assert await workers.run("u2", lambda: "at once") == "at once"
    assert gate.inside == PER_USER
    gate.open.set()
    assert len(await asyncio.gather(*jobs)) == PER_USER + 5


async def test_a_full_queue_refuses_that_user_only(workers: Workers) -> None:
    gate = Gate()
    jobs = [asyncio.create_task(workers.run("u1", gate)) for _ in range(PER_USER + QUEUE)]
    await until(lambda: gate.inside == PER_USER)
    with pytest.raises(TooManyRequests):
        await workers.run("u1", gate)
    assert await workers.run("u2", lambda: 1) == 1
    gate.open.set()
    await asyncio.gather(*jobs)
    assert await workers.run("u1", lambda: 1) == 1


async def test_a_cancelled_job_keeps_its_place_until_it_ends(workers: Workers) -> None:
    gate = Gate()
    jobs = [asyncio.create_task(workers.run("u1", gate)) for _ in range(PER_USER)]
    await until(lambda: gate.inside == PER_USER)
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)
    waiting = asyncio.create_task(workers.run("u1", lambda: 1))
    await workers.run("u2", lambda: 1)
    assert not waiting.done()
    gate.open.set()
    assert await waiting == 1


async def test_those_who_wait_can_be_cancelled(workers: Workers) -> None:
    gate = Gate()
    jobs = [asyncio.create_task(workers.run("u1", gate)) for _ in range(PER_USER + 3)]
    await until(lambda: gate.inside == PER_USER)
    for job in jobs[PER_USER:]:
        job.cancel()
    gate.open.set()
    await asyncio.gather(*jobs, return_exceptions=True)
    assert await workers.run("u1", lambda: 1) == 1


async def test_users_who_are_done_are_forgotten(workers: Workers) -> None:
    for number in range(100):
        await workers.run(f"u{number}", lambda: 1)
    await until(lambda: not workers._lanes)
