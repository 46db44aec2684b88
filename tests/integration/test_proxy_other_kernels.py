"""A kernel of another kind than ipykernel, whose page leaves and comes back: see `tests.harness.tiny_kernel`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness import tiny_kernel
from tests.harness.proxy_rig import FakeKernel, Rig, eventually, run_rig, text_of
from tests.integration.test_proxy_replay import back, halves, kinds, leave, start

PROGRAM = (str(Path(tiny_kernel.__file__)),)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with run_rig(keeps_journals=True, state_dir=tmp_path) as rig:
        yield rig


@pytest.fixture
async def kernel(rig: Rig) -> FakeKernel:
    kernel = FakeKernel("0f8b0f0e-0000-4000-8000-000000000001", key="k", hands_over=False)
    return await rig.agent.start_kernel(kernel, PROGRAM)


async def test_a_page_that_comes_back_while_the_kernel_is_busy_gets_replies_and_can_go_on(
    rig: Rig, kernel: FakeKernel
) -> None:
    """The kernel takes the former connection for open until the cell has ended: by its name nobody would be heard."""
    async with rig.connect(kernel, session="s") as client:
        msg_id = await start(client, halves(rig.folder / "go", 80))
        queued = await start(client, "print('queued')")
        await client.until(lambda m: text_of([m]) == "49\n")
        await leave(client)
    async with rig.connect(kernel, session="s") as again:
        back(client, again)
        later = await start(again, "print('later')")
        await asyncio.sleep(0.3)
        (rig.folder / "go").touch()
        assert numbers_of(await again.answers(msg_id)) == list(range(80))
        counts = set()
        for request, text in ((queued, "queued\n"), (later, "later\n")):
            messages = await again.answers(request)
            assert text_of(messages) == text
            (reply,) = (m for m in messages if m["channel"] == "shell")
            assert reply["content"]["status"] == "ok"
            counts.add(reply["content"]["execution_count"])
        assert counts == {2, 3}, "of two connections the kernel reads either first"
        for request in (msg_id, queued, later):
            assert kinds(again, request).count("execute_reply") == 1
        assert text_of(await again.execute("print('free')")) == "free\n"


async def test_a_cell_that_ended_while_the_page_was_away_is_answered_from_the_journal(
    rig: Rig, kernel: FakeKernel
) -> None:
    async with rig.connect(kernel, session="s") as client:
        good = await start(client, halves(rig.folder / "go", 60))
        bad = await start(client, "1 / 0")
        await client.until(lambda m: text_of([m]) == "49\n")
        await leave(client)
    (rig.folder / "go").touch()
    await eventually(lambda: b"ZeroDivisionError" in written(rig, kernel))
    async with rig.connect(kernel, session="s") as again:
        assert numbers_of(await back(client, again).answers(good)) == list(range(60))
        (reply,) = (m for m in await again.answers(bad) if m["channel"] == "shell")
        assert (reply["content"]["status"], reply["content"]["ename"]) == ("error", "ZeroDivisionError")
        assert text_of(await again.execute("print('on')")) == "on\n"
        for request in (good, bad):
            assert kinds(again, request).count("execute_reply") == 1


def written(rig: Rig, kernel: FakeKernel) -> bytes:
    """All of the kernel's journal."""
    rig.agent.write_journal(kernel.kernel_id)
    return b"".join(path.read_bytes() for path in rig.folder.glob(f"journal-{kernel.kernel_id}-*"))


def numbers_of(messages: list[dict[str, object]]) -> list[int]:
    return [int(line) for line in text_of(messages).split()]
