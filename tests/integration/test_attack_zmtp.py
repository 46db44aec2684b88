"""Containers that bind sockets of their own and speak raw ZMTP: what they make the proxy hold, whom they disturb."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from proxy.kit.agent_client import AgentClient, AgentSilent
from tests.harness.proxy_process import World, run_world
from tests.harness.proxy_rig import FakeKernel, short_folder

MIB = 1024 * 1024
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
ATTACK_SECONDS = 4.0

Attack = Callable[[socket.socket], None]


def ready(kind: bytes) -> bytes:
    """A READY command of a socket of this kind."""
    body = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
    return bytes((4, len(body))) + body


def frame(size: int, more: bool) -> bytes:
    """The head of a long frame."""
    return struct.pack(">BQ", 2 | more, size)


def endless_multipart(peer: socket.socket) -> None:
    for _ in range(500):
        peer.sendall(frame(MIB, True) + bytes(MIB))


def one_huge_frame(peer: socket.socket) -> None:
    peer.sendall(frame(128 * MIB, False))
    for _ in range(128):
        peer.sendall(bytes(MIB))


def the_largest_frame_again_and_again(peer: socket.socket) -> None:
    while True:
        peer.sendall(frame(55 * MIB, True))
        for _ in range(55):
            peer.sendall(bytes(MIB))


def a_hundred_thousand_frames(peer: socket.socket) -> None:
    while True:
        peer.sendall(b"\x01\x02ab" * 100_000 + b"\x00\x00")


def endless_empty_messages(peer: socket.socket) -> None:
    while True:
        peer.sendall(b"\x00\x00" * 50_000)


def endless_pings(peer: socket.socket) -> None:
    while True:
        peer.sendall(b"\x04\x07\x04PING\0\0" * 10_000)


def a_byte_at_a_time(peer: socket.socket) -> None:
    for byte in frame(MIB, False) + bytes(MIB):
        peer.sendall(bytes((byte,)))
        time.sleep(0.001)


def announces_and_is_silent(peer: socket.socket) -> None:
    peer.sendall(frame(55 * MIB, False))
    time.sleep(ATTACK_SECONDS)


def hangs_up(peer: socket.socket) -> None:
    peer.shutdown(socket.SHUT_RDWR)


ATTACKS: list[Attack] = [
    endless_multipart,
    one_huge_frame,
    the_largest_frame_again_and_again,
    a_hundred_thousand_frames,
    endless_empty_messages,
    endless_pings,
    a_byte_at_a_time,
    announces_and_is_silent,
    hangs_up,
]


def unfinished(peer: socket.socket) -> None:
    """Instead of a handshake: a byte of the greeting now and then."""
    for byte in GREETING[:60]:
        peer.sendall(bytes((byte,)))
        time.sleep(0.1)


class RawListener:
    """Listens at `path`, and does to everybody who connects what `attack` says."""

    def __init__(self, path: Path, kind: bytes, attack: Attack, handshake: bool = True) -> None:
        self._hello = GREETING + ready(kind) if handshake else b""
        self._attack = attack
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._peers: list[socket.socket] = []
        self.connections = 0
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._peers.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        try:
            peer.sendall(self._hello)
            if self._hello:
                peer.recv(1000)
            self._attack(peer)
        except OSError:
            peer.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self._peers:
            with suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
            peer.close()


@contextmanager
def peak_growth(process: psutil.Process) -> Iterator[list[float]]:
    """Watches how much more memory a process holds, at most, in MiB; the list has it at the end."""
    before = process.memory_info().rss
    peak, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            peak[0] = max(peak[0], (process.memory_info().rss - before) / MIB)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield peak
    finally:
        ended.set()
        watching.join()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with run_world() as world:
        yield world


def hostile_kernel(
    world: World, attacks: dict[int, Attack], handshake: bool = True
) -> tuple[FakeKernel, list[RawListener]]:
    """A kernel whose sockets are raw; those not in `attacks` keep quiet after their handshake."""
    kernel = FakeKernel(str(uuid.uuid4()), key="k")
    world.agent.kernels[kernel.kernel_id] = kernel
    listeners = [
        RawListener(
            world.folder / f"{kernel.kernel_id}-{number}",
            b"XPUB" if number == 2 else b"ROUTER",
            attacks.get(number, lambda peer: None),
            handshake,
        )
        for number in (1, 2, 3, 4)
    ]
    return kernel, listeners


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
@pytest.mark.parametrize("sockets", [(2,), (1, 2, 3, 4)], ids=["iopub", "all"])
async def test_a_hostile_kernel_costs_at_most_64_mb_and_its_neighbour_nothing(
    world: World, attack: Attack, sockets: tuple[int, ...]
) -> None:
    neighbour = await world.agent.start_kernel()
    async with world.connect(neighbour) as client:
        await client.execute("1")
        kernel, listeners = hostile_kernel(world, dict.fromkeys(sockets, attack))
        times = []
        loop = asyncio.get_running_loop()
        with peak_growth(world.process) as peak:
            async with world.connect(kernel):
                until = loop.time() + ATTACK_SECONDS
                while loop.time() < until:
                    began = loop.time()
                    await client.execute("1")
                    times.append(loop.time() - began)
                    await asyncio.sleep(0.05)
        for listener in listeners:
            listener.close()
    assert any(listener.connections for listener in listeners)
    assert peak[0] < 64
    assert sorted(times)[len(times) // 2] < 1.0, "some 10 ms on a quiet machine; a blocked loop takes seconds"


async def test_handshakes_that_never_end_cost_nothing(world: World) -> None:
    kernel, listeners = hostile_kernel(world, dict.fromkeys((1, 2, 3, 4), unfinished), handshake=False)
    with peak_growth(world.process) as peak:
        async with world.connect(kernel) as client:
            await client.send("kernel_info_request", {})
            await asyncio.sleep(ATTACK_SECONDS)
    for listener in listeners:
        listener.close()
    assert peak[0] < 16


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_a_hostile_agent_is_silence_and_holds_at_most_a_few_messages(attack: Attack) -> None:
    async with short_folder() as folder:
        listener = RawListener(folder / "agent.sock", b"ROUTER", attack)
        client = AgentClient(folder, os.getuid())
        with peak_growth(psutil.Process()) as peak:
            until = time.monotonic() + ATTACK_SECONDS / 2
            while time.monotonic() < until:
                with pytest.raises(AgentSilent):
                    await client.ping(timeout=0.5)
                await asyncio.sleep(0.05)  # the listener makes a thread for each connection
        await client.close()
        listener.close()
    assert peak[0] < 32
