"""hub.agent.loop, peers, terminal's scrollback, child: the parts that move bytes, on their own."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from hub.agent import bounds
from hub.agent.child import Child, Reaper
from hub.agent.loop import Loop
from hub.agent.peers import Peers
from hub.agent.terminal import Scrollback


def turn_until(loop: Loop, condition: object, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen"
        loop.turn(0.05)


# ---- loop


def test_timers_are_called_in_the_order_of_their_times_and_not_when_cancelled() -> None:
    loop, called = Loop(), []
    loop.later(0.02, lambda: called.append("late"))
    loop.later(0.0, lambda: called.append("early"))
    loop.later(0.01, lambda: called.append("never")).cancel()
    turn_until(loop, lambda: len(called) == 2)
    assert called == ["early", "late"]


def test_a_callback_that_fails_does_not_end_the_loop(capsys: pytest.CaptureFixture[str]) -> None:
    loop, called = Loop(), []
    loop.soon(lambda: 1 / 0)
    loop.soon(lambda: called.append(1))
    loop.turn(0.0)
    assert called == [1] and "ZeroDivisionError" in capsys.readouterr().err


def test_a_descriptor_is_watched_until_it_is_not() -> None:
    loop, called = Loop(), []
    reading, writing = os.pipe()
    loop.watch(reading, lambda: called.append(os.read(reading, 10)))
    os.write(writing, b"a")
    loop.turn(1.0)
    loop.unwatch(reading)
    os.write(writing, b"b")
    loop.turn(0.0)
    assert called == [b"a"]
    os.close(reading)
    os.close(writing)


# ---- children


def run_child(code: str, tmp_path: Path) -> tuple[int, str]:
    loop, reaper, ended = Loop(), Reaper(), []
    child = Child(loop, [sys.executable, "-S", "-c", code], dict(os.environ), str(tmp_path))
    reaper.expect(child.pid, ended.append, child.process)

    def reaped() -> bool:
        reaper.reap()
        return bool(ended)

    turn_until(loop, reaped)
    child.close()
    return ended[0], child.tail


def test_a_child_has_its_own_session_and_is_the_first_victim_of_the_oom_killer(tmp_path: Path) -> None:
    # The adjustment is written just after the start, so the child waits for it.
    code = (
        "import os, time\n"
        "while open('/proc/self/oom_score_adj').read().strip() != '1000': time.sleep(0.01)\n"
        "print(os.getsid(0) == os.getpid(), os.getcwd())"
    )
    assert run_child(code, tmp_path) == (0, f"True {tmp_path}\n")


def test_the_tail_of_what_a_child_writes_is_kept_within_bounds(tmp_path: Path) -> None:
    return_code, tail = run_child("import sys; sys.stderr.write('x' * 100_000 + 'end'); sys.exit(3)", tmp_path)
    assert return_code == 3 and tail.endswith("xend") and len(tail) == bounds.TAIL_BYTES


def test_a_signal_that_ended_a_child_is_a_negative_return_code(tmp_path: Path) -> None:
    assert run_child("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", tmp_path)[0] == -signal.SIGSEGV


# ---- scrollback


def test_scrollback_keeps_the_last_whole_lines_within_its_limit() -> None:
    scrollback = Scrollback(limit=25)
    for number in range(10):
        scrollback.add(f"line {number}")
        scrollback.add("\r\n")
    assert scrollback.text() == "line 8\r\nline 9\r\n"


def test_scrollback_that_was_never_full_is_whole() -> None:
    scrollback = Scrollback(limit=100)
    scrollback.add("a\nb")
    assert scrollback.text() == "a\nb"


def test_one_huge_write_is_cut_too() -> None:
    scrollback = Scrollback(limit=10)
    scrollback.add("x" * 100)
    assert scrollback.text() == "x" * 10


# ---- peers


class Clockwork(Loop):
    """A loop whose time stands still until it is set."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0

    def now(self) -> float:
        return self.time


class FakeSocket:
    """Takes what it is given until it is `full`; those who are `gone` cannot be reached."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, dict[str, object]]] = []
        self.full: set[bytes] = set()
        self.gone: set[bytes] = set()

    def send_multipart(self, frames: list[bytes], flags: int) -> None:
        if frames[0] in self.gone:
            raise zmq.ZMQError(zmq.EHOSTUNREACH)
        if frames[0] in self.full:
            raise zmq.Again
        self.sent.append((frames[0], json.loads(frames[1])))


@pytest.fixture
def socket() -> Iterator[FakeSocket]:
    yield FakeSocket()


KERNEL = {"kernel_id": "k", "state": "idle"}


def test_only_those_who_want_to_know_are_told(socket: FakeSocket) -> None:
    peers = Peers(Clockwork(), socket)  # type: ignore[arg-type]
    peers.hear(b"watcher").watches = True
    peers.hear(b"attached").kernels.add("k")
    peers.hear(b"other").kernels.add("another")
    peers.tell_kernel(KERNEL)
    assert {identity for identity, _ in socket.sent} == {b"watcher", b"attached"}


def test_a_state_that_could_not_be_sent_is_owed(socket: FakeSocket) -> None:
    peers = Peers(Clockwork(), socket)  # type: ignore[arg-type]
    peers.hear(b"slow").watches = True
    socket.full.add(b"slow")
    peers.tell_kernel(KERNEL)
    assert peers.owed() == {"k"}
    socket.full.clear()
    peers.tell_kernel(KERNEL)
    assert peers.owed() == set() and len(socket.sent) == 1


def test_output_that_was_missed_is_counted_and_told(socket: FakeSocket) -> None:
    peers = Peers(Clockwork(), socket)  # type: ignore[arg-type]
    peers.hear(b"slow").terminals.add("1")
    socket.full.add(b"slow")
    peers.tell_output("1", "12345")
    peers.tell_output("1", "678")
    socket.full.clear()
    peers.tell_output("1", "new")
    assert [message["data"] for _, message in socket.sent] == ["\r\n[8 characters were not shown]\r\n", "new"]


def test_a_peer_that_is_gone_or_silent_is_forgotten(socket: FakeSocket) -> None:
    loop = Clockwork()
    peers = Peers(loop, socket)  # type: ignore[arg-type]
    peers.hear(b"gone").watches = True
    socket.gone.add(b"gone")
    peers.tell_kernel(KERNEL)
    assert len(peers) == 0
    peers.hear(b"silent")
    loop.time = bounds.PEER_SILENCE_SECONDS - 1
    peers.hear(b"alive")
    loop.time = bounds.PEER_SILENCE_SECONDS + 1
    peers.forget_silent()
    assert len(peers) == 1


def test_a_crowd_of_peers_does_not_grow_without_bound(socket: FakeSocket) -> None:
    peers = Peers(Clockwork(), socket)  # type: ignore[arg-type]
    for number in range(bounds.MAX_PEERS * 2):
        peers.hear(str(number).encode())
    assert len(peers) == bounds.MAX_PEERS


def test_a_terminal_that_ended_detaches_everybody(socket: FakeSocket) -> None:
    peers = Peers(Clockwork(), socket)  # type: ignore[arg-type]
    peer = peers.hear(b"p")
    peer.terminals.add("1")
    peers.tell_exit("1")
    peers.tell_output("1", "more")
    assert [message["event"] for _, message in socket.sent] == ["terminal.exit"] and not peer.terminals
