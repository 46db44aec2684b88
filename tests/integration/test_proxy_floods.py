"""Kernels that send more than a client takes, and worse. The proxy runs in a process of its own, to see its memory."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable

import pytest

from tests.harness.proxy_process import World, run_world, until_read
from tests.harness.proxy_rig import FakeKernel, text_of
from tests.harness.stand_in import MIB, StandIn, fake_kernel, packed, signed, standing_in


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with run_world() as world:
        yield world


@pytest.fixture
def kernel(world: World) -> FakeKernel:
    return fake_kernel(world)


@pytest.fixture
async def stand_in(world: World, kernel: FakeKernel) -> AsyncIterator[StandIn]:
    async with standing_in(world, kernel) as stand_in:
        yield stand_in


async def test_a_flood_of_prints_arrives_whole_and_in_order(world: World) -> None:
    kernel = await world.agent.start_kernel()
    async with world.connect(kernel) as client:
        code = "for i in range(3000): print(i, flush=True)"
        assert text_of(await client.execute(code, timeout=60)) == "".join(f"{i}\n" for i in range(3000))


async def test_a_reader_that_catches_up_misses_nothing_that_fits(
    world: World, kernel: FakeKernel, stand_in: StandIn
) -> None:
    async with world.connect(kernel, max_queue=1) as client:
        await stand_in.welcome()
        for i in range(20_000):
            await stand_in.publish(signed("stream", {"name": "stdout", "text": f"{i:04} {'x' * 500}\n"}))
        await until_read(world)
        await stand_in.publish(signed("status", {"execution_state": "idle"}))
        await client.until(lambda m: m["header"]["msg_type"] == "status", timeout=30)
        lines = text_of(client.seen).splitlines()
        assert [int(line.split()[0]) for line in lines] == list(range(20_000))
        assert len(client.seen) < 15_000  # joined


async def test_a_reader_that_stands_still_costs_a_bounded_memory_and_is_told_what_it_missed(
    world: World, kernel: FakeKernel, stand_in: StandIn
) -> None:
    async with world.connect(kernel, max_queue=1) as client:
        await stand_in.welcome()
        before = world.process.memory_info().rss
        data = {"data": {"text/plain": "x" * MIB}, "metadata": {}}
        for i in range(400):
            await stand_in.publish(signed("display_data", data, parent=f"cell-{i // 100}"))
        await stand_in.publish(signed("status", {"execution_state": "idle"}))
        await until_read(world)
        assert world.process.memory_info().rss - before < 96 * MIB
        await client.until(lambda m: m["header"]["msg_type"] == "status", timeout=30)
        shown = [m for m in client.seen if m["header"]["msg_type"] == "display_data"]
        notes = [m for m in client.seen if m["header"]["msg_type"] == "stream"]
        missed = sum(int(m["content"]["text"].split()[0].strip("[")) for m in notes)
        assert len(shown) + missed == 400
        assert missed > 300
        assert {m["content"]["name"] for m in notes} == {"stderr"}
        assert notes[-1]["parent_header"] == {"msg_id": "cell-3"}


async def test_a_reader_that_stands_still_does_not_slow_its_neighbours(
    world: World, kernel: FakeKernel, stand_in: StandIn
) -> None:
    neighbour = await world.agent.start_kernel()
    async with world.connect(kernel, max_queue=1) as still, world.connect(neighbour) as client:
        await stand_in.welcome()
        await client.execute("1")
        loop = asyncio.get_running_loop()
        times = []
        for _ in range(30):
            for _ in range(20):
                await stand_in.publish(signed("display_data", {"data": {"text/plain": "x" * 100_000}}))
            began = loop.time()
            await client.execute("1")
            times.append(loop.time() - began)
        still.socket.transport.abort()
        assert sorted(times)[len(times) // 2] < 0.1


BOMBS: dict[str, Callable[[], list[bytes]]] = {
    "no delimiter": lambda: [b"x"] * 10,
    "an empty message": lambda: [b""],
    "too few parts": lambda: signed("stream", {})[:4],
    "a wrong signature": lambda: signed("stream", {"name": "stdout", "text": "forged"}, key="other"),
    "ten thousand frames": lambda: signed("stream", {}) + [b""] * 10_000,
    "a header of a megabyte": lambda: signed("stream" + "x" * MIB, {}),
    "thousands of identities": lambda: [b"i"] * 5000 + signed("stream", {}),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
@pytest.mark.parametrize("v1", [True, False], ids=["v1", "default"])
async def test_a_message_that_breaks_the_rules_is_left_out_and_the_next_arrives(
    world: World, kernel: FakeKernel, stand_in: StandIn, bomb: Callable[[], list[bytes]], v1: bool
) -> None:
    async with world.connect(kernel, v1=v1) as client:
        await stand_in.welcome()
        await stand_in.sockets[2].send_multipart(bomb())
        await stand_in.publish(signed("status", {"execution_state": "idle"}))
        message = await client.receive()
        assert message["header"]["msg_type"] == "status"


async def test_a_nesting_bomb_breaks_nothing(world: World, kernel: FakeKernel, stand_in: StandIn) -> None:
    def bomb(place: int) -> list[bytes]:
        parts = [b'{"msg_id":"i","msg_type":"stream"}', b"{}", b"{}", b"{}"]
        parts[place] = b'{"a":' * 20_000 + b"1" + b"}" * 20_000
        if place < 2:
            parts[place] = b"[" * 30_000
        return packed(*parts)

    async with world.connect(kernel, v1=False) as client:
        await stand_in.welcome()
        for place in range(4):
            await stand_in.publish(bomb(place))
        await stand_in.publish(signed("status", {"execution_state": "idle"}))
        assert (await client.receive())["header"]["msg_type"] == "status"


async def test_a_frame_that_is_too_large_is_not_taken_in(world: World, kernel: FakeKernel, stand_in: StandIn) -> None:
    async with world.connect(kernel):
        await stand_in.welcome()
        before = world.process.memory_info().rss
        await stand_in.publish([b"x" * (300 * MIB)])
        await asyncio.sleep(0.5)
        await until_read(world)
        assert world.process.memory_info().rss - before < 64 * MIB


async def test_a_message_of_50_mb_arrives(world: World, kernel: FakeKernel, stand_in: StandIn) -> None:
    async with world.connect(kernel) as client:
        await stand_in.welcome()
        await stand_in.publish(signed("display_data", {"data": {"text/plain": "x" * (50 * MIB)}}))
        message = await client.receive()
        assert len(message["content"]["data"]["text/plain"]) == 50 * MIB


async def test_a_client_message_over_the_limit_closes_its_connection_with_1009(
    world: World, kernel: FakeKernel, stand_in: StandIn
) -> None:
    async with world.connect(kernel) as client:
        await stand_in.welcome()
        # The head of a frame is enough: a client message of 1 GiB is announced, masked.
        client.socket.transport.write(struct.pack("!BBQ", 0x82, 0x80 | 127, 1 << 30) + b"\0\0\0\0")
        await asyncio.wait_for(client.socket.wait_closed(), 10)
        assert client.socket.close_code == 1009


async def test_a_kernel_that_reads_nothing_holds_its_client_back_and_not_the_memory(
    world: World, kernel: FakeKernel, stand_in: StandIn
) -> None:
    stand_in.sockets[1].close(0)  # nobody is behind the path any more
    async with world.connect(kernel, write_limit=MIB) as client:
        await stand_in.welcome()
        await stand_in.publish(signed("status", {"execution_state": "idle"}))
        await client.receive()
        before = world.process.memory_info().rss
        sending = asyncio.gather(
            *(client.send("comm_msg", {"data": "x" * (2 * MIB)}) for _ in range(100)), return_exceptions=True
        )
        await asyncio.wait({sending}, timeout=3)
        assert world.process.memory_info().rss - before < 160 * MIB
        sending.cancel()
        client.socket.transport.abort()
