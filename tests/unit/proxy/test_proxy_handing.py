"""Sessions that move between proxies of a machine: who is called, who waits, who gives up."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from proxy.errors import Refused
from proxy.io import handing
from proxy.io.cursors import Cursors, SessionKey, call_path
from proxy.io.handing import Handing
from tests.unit.proxy.test_proxy_cursors import killed

KEY, NAME = SessionKey("u", "k", "s"), b"kh-name"


class Proxy:
    """Cursors and their handing over; `gives_up`: whether it does what it is called for."""

    def __init__(self, folder: Path | None, *, gives_up: bool = True) -> None:
        self.cursors = Cursors(folder, slots=16)
        self.cursors.open()
        self.handing = Handing(self.cursors, self._give_up)
        self.handing.open()
        self.gives_up = gives_up
        self.calls: list[tuple[bytes, int]] = []

    def hold(self, order: int) -> None:
        self.cursor, _ = self.cursors.claim(KEY, 0, NAME, order)

    def _give_up(self, digest: bytes, order: int) -> None:
        self.calls.append((digest, order))
        if self.gives_up:
            assert self.cursor is not None
            self.cursors.release(self.cursor)


async def test_the_proxy_that_has_a_session_is_called_and_waited_for(tmp_path: Path) -> None:
    one, other = Proxy(tmp_path), Proxy(tmp_path)
    one.hold(5)
    await other.handing.take(KEY, 6)
    assert one.calls == [(KEY.digest(), 6)]
    await other.handing.take(KEY, 7)
    assert len(one.calls) == 1, "it has ended there"


async def test_one_that_does_not_answer_is_waited_for_no_longer_than_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handing, "WAIT_SECONDS", 0.05)
    one, other = Proxy(tmp_path, gives_up=False), Proxy(tmp_path)
    one.hold(5)
    await asyncio.wait_for(other.handing.take(KEY, 6), 5.0)
    assert one.calls == [(KEY.digest(), 6)]
    assert not one.handing.is_gone(KEY, 5), "it was called in time"


async def test_one_that_was_stopped_knows_that_nobody_has_waited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = Proxy(tmp_path), Proxy(tmp_path)
    one.hold(5)
    asyncio.get_running_loop().remove_reader(one.handing._fifo)
    monkeypatch.setattr(handing, "WAIT_SECONDS", 0.0)
    await other.handing.take(KEY, 6)
    assert one.handing.is_gone(KEY, 5), "what has come is read before it answers"
    assert not one.handing.is_gone(KEY, 7)
    assert one.calls == [(KEY.digest(), 6)]


async def test_a_newer_connection_elsewhere_is_left_alone_but_one_of_the_far_future_is_not(tmp_path: Path) -> None:
    one, other = Proxy(tmp_path), Proxy(tmp_path)
    one.hold(5)
    with pytest.raises(Refused) as refused:
        await other.handing.take(KEY, 4)
    assert (refused.value.status, one.calls) == (409, [])
    one.hold(time.time_ns() + 3600 * 10**9)  # the clock has been set back since
    await other.handing.take(KEY, time.time_ns())
    assert len(one.calls) == 1


async def test_one_that_was_killed_is_not_waited_for_and_leaves_nothing(tmp_path: Path) -> None:
    one, other = Proxy(tmp_path), Proxy(tmp_path)
    one.hold(5)
    assert one.cursors.path is not None
    fifo = call_path(one.cursors.path)
    asyncio.get_running_loop().remove_reader(one.handing._fifo)
    os.close(one.handing._fifo)
    killed(one.cursors)
    await asyncio.wait_for(other.handing.take(KEY, 6), 0.5)
    assert one.calls == []
    _, former = other.cursors.claim(KEY, 0, NAME, 6)
    assert former is not None
    assert not fifo.exists()


async def test_a_proxy_that_closes_takes_its_fifo_away_and_one_without_a_folder_has_none(tmp_path: Path) -> None:
    alone = Proxy(None)
    await alone.handing.take(KEY, 1)
    alone.handing.close()
    one = Proxy(tmp_path)
    assert list(tmp_path.glob("calls-*"))
    one.handing.close()
    one.handing.close()
    assert not list(tmp_path.glob("calls-*"))
