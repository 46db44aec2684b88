"""hub.runs.notebooks: the child processes that read notebooks for runs, and whose turn it is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hub.domain.ids import UserId
from hub.runs.notebooks import run_child


async def test_one_users_slow_notebooks_leave_a_slot_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[bytes] = []
    go_on = asyncio.Event()

    class Child:
        returncode = 0

        async def communicate(self, given: bytes) -> tuple[bytes, bytes]:
            started.append(given)
            if given != b"bob":
                await go_on.wait()
            return given, b""

    async def start(*_: Any, **__: Any) -> Child:
        return Child()

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    adas = [asyncio.create_task(run_child(UserId("ada"), "x", f"ada{n}".encode())) for n in range(5)]
    async with asyncio.timeout(5):
        while not started:
            await asyncio.sleep(0)
        assert await run_child(UserId("bob"), "x", b"bob") == b"bob"
        assert [given for given in started if given != b"bob"] == [b"ada0"]
        go_on.set()
        assert await asyncio.gather(*adas) == [b"ada0", b"ada1", b"ada2", b"ada3", b"ada4"]
