"""What a kernel publishes waits for whoever reads slowly, and not for ever for whoever does not read at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from hub.agent import ipykernel_start

MESSAGES = 3000


@pytest.fixture
def context() -> Iterator[zmq.Context[Any]]:
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


@pytest.fixture(params=[zmq.PUB, zmq.XPUB], ids=["PUB", "XPUB"])
def publisher(
    request: pytest.FixtureRequest, context: zmq.Context[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> zmq.Socket[bytes]:
    monkeypatch.setattr(ipykernel_start, "PATIENCE_SECONDS", 1.0)
    socket = context.socket(request.param)
    socket.setsockopt(zmq.SNDHWM, 50)
    ipykernel_start.make_patient(zmq, socket)
    socket.bind(f"ipc://{tmp_path}/p")
    return socket


def subscriber(context: zmq.Context[Any], publisher: zmq.Socket[bytes]) -> zmq.Socket[bytes]:
    """A connected subscriber, which is known to be so by a first message."""
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, 5)
    socket.setsockopt(zmq.RCVTIMEO, 10)
    socket.subscribe(b"")
    socket.connect(publisher.getsockopt(zmq.LAST_ENDPOINT).decode())
    while True:
        publisher.send_multipart([b"hello"])
        try:
            socket.recv_multipart()
        except zmq.Again:
            continue
        break
    socket.setsockopt(zmq.RCVTIMEO, 20_000)
    return socket


def read(socket: zmq.Socket[bytes], into: list[int]) -> None:
    while (parts := socket.recv_multipart())[-1] != b"end":
        if parts[-1] != b"hello":
            into.append(int(parts[-1]))
        if len(into) % 500 == 1:
            time.sleep(0.05)  # a reader that has no turn for a moment


def drain(socket: zmq.Socket[bytes]) -> None:
    """Take all that waits: libzmq aborts where a context ends in the middle of a message to a subscriber."""
    socket.setsockopt(zmq.RCVTIMEO, 500)
    with pytest.raises(zmq.Again):
        while True:
            socket.recv_multipart()


def test_a_slow_reader_gets_everything(context: zmq.Context[Any], publisher: zmq.Socket[bytes]) -> None:
    got: list[int] = []
    reader = threading.Thread(target=read, args=(subscriber(context, publisher), got))
    reader.start()
    for number in range(MESSAGES):
        publisher.send_multipart([b"x" * 1000, b"%d" % number])
    publisher.send_multipart([b"end"])
    reader.join(20)
    assert got == list(range(MESSAGES))


def test_who_reads_nothing_is_waited_for_once(context: zmq.Context[Any], publisher: zmq.Socket[bytes]) -> None:
    stuck = subscriber(context, publisher)
    waits = []
    for number in range(MESSAGES):
        began = time.monotonic()
        publisher.send_multipart([b"x" * 1000, b"%d" % number])
        waits.append(time.monotonic() - began)
    assert sum(wait > 0.5 for wait in waits) == 1
    drain(stuck)


def test_it_waits_again_later(
    context: zmq.Context[Any], publisher: zmq.Socket[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ipykernel_start, "DROPPING_SECONDS", 0.0)
    stuck = subscriber(context, publisher)
    for number in range(MESSAGES // 8):
        publisher.send_multipart([b"x" * 1000, b"%d" % number])
    drain(stuck)
    test_a_slow_reader_gets_everything(context, publisher)
