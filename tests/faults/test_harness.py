"""The tools of the suite themselves: a checker that sees nothing would make every case pass."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.harness.counted import announced_in, compare, numbers_in
from tests.faults.harness.fault_proxy import FaultProxy
from tests.faults.harness.scoreboard import Case, Finding, worst


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ([0, 1, 2, 3], "0 lost, 0 doubled, 0 out of order of 4"),
        ([0, 1, 3], "1 lost, 0 doubled, 0 out of order of 4"),
        ([0, 1, 1, 2, 3], "0 lost, 1 doubled, 0 out of order of 4"),
        ([0, 2, 1, 3], "0 lost, 0 doubled, 1 out of order of 4"),
        ([0, 1, 2, 3, 9], "0 lost, 0 doubled, 0 out of order, 1 never written of 4"),
        ([], "4 lost, 0 doubled, 0 out of order of 4"),
    ],
)
def test_the_checker_sees_what_is_wrong(seen: list[int], said: str) -> None:
    verdict = compare([0, 1, 2, 3], seen)
    assert str(verdict) == said
    assert verdict.is_perfect == (seen == [0, 1, 2, 3])


def test_what_is_announced_as_missing_is_honest_and_not_perfect() -> None:
    verdict = compare([0, 1, 2], [0, 2], announced=1)
    assert verdict.is_honest and not verdict.is_perfect
    assert not compare([0, 1, 2], [0], announced=1).is_honest


def test_numbers_and_markers_are_found_in_what_is_printed() -> None:
    assert numbers_in("a:1\nb:7\na:2 xxx\nnot a:3\n", "a") == [1, 2]
    text = "\n[1,203 messages (99 bytes) of this output were dropped here, because …]\n"
    message = {"header": {"msg_type": "stream"}, "content": {"name": "stderr", "text": text}}
    assert announced_in([message]) == 1203


def test_of_several_runs_the_worst_counts() -> None:
    runs = [Finding("R0", "time", met, str(value), value) for met, value in ((True, 9.0), (False, 1.0), (True, 2.0))]
    assert worst(runs).result == "1.0"
    assert worst([run for run in runs if run.met]).result == "9.0"


def test_a_case_that_misses_a_criterion_fails() -> None:
    with pytest.raises(AssertionError, match="the moon: no"), Case("R0") as case:
        case.holds("the sun", True, "yes")
        case.holds("the moon", False, "no")


# ---- the fault proxy


@pytest.fixture(params=["tcp", "unix"])
def echo(request: pytest.FixtureRequest, data_dir: Path) -> Iterator[tuple[str, int] | Path]:
    """The address of a server that sends back what it gets."""
    listener = socket.socket(socket.AF_INET if request.param == "tcp" else socket.AF_UNIX)
    listener.bind(("127.0.0.1", 0) if request.param == "tcp" else str(data_dir / "echo.sock"))
    listener.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=mirror, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname() if request.param == "tcp" else data_dir / "echo.sock"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def mirror(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(65536):
                connection.sendall(data)
        except OSError:
            return


@pytest.fixture
def way(echo: tuple[str, int] | Path, data_dir: Path) -> Iterator[FaultProxy]:
    with FaultProxy(echo, data_dir / "way.sock" if isinstance(echo, Path) else ("127.0.0.1", 0)) as way:
        yield way


def connect(way: FaultProxy) -> socket.socket:
    made = socket.socket(socket.AF_INET if way.address.startswith("http") else socket.AF_UNIX)
    made.settimeout(5)
    if way.address.startswith("http"):
        made.connect(("127.0.0.1", int(way.address.rsplit(":", 1)[1])))
    else:
        made.connect(way.address)
    return made


def said(connection: socket.socket, text: bytes) -> bytes:
    connection.sendall(text)
    return connection.recv(65536)


def test_without_a_fault_everything_passes(way: FaultProxy) -> None:
    with connect(way) as connection:
        assert said(connection, b"hello") == b"hello"


def test_a_blackhole_swallows_until_it_is_healed_and_tells_nobody(way: FaultProxy) -> None:
    with connect(way) as connection:
        assert said(connection, b"one") == b"one"
        way.blackhole()
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            said(connection, b"two")
        connection.settimeout(5)
        way.heal()
        assert connection.recv(100) == b"two"


def test_a_cut_ends_what_is_open_and_a_refusal_what_is_new(way: FaultProxy) -> None:
    with connect(way) as connection:
        assert said(connection, b"one") == b"one"
        assert way.cut() == 1
        assert connection.recv(100) == b""
    way.refuse()
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        connect(way)
    way.start()
    with connect(way) as connection:
        assert said(connection, b"two") == b"two"


def test_half_closed_the_client_hears_the_end_and_can_still_send(way: FaultProxy) -> None:
    with connect(way) as connection:
        assert said(connection, b"one") == b"one"
        way.half_close()
        assert connection.recv(100) == b""
        connection.sendall(b"two")


def test_a_cut_after_some_bytes_lets_just_those_pass(way: FaultProxy) -> None:
    with connect(way) as connection:
        assert said(connection, b"one") == b"one"
        way.faults.bytes_left = 4
        connection.sendall(b"abcdefgh")
        got = b""
        try:
            while data := connection.recv(100):
                got += data
        except ConnectionResetError:
            pass
        assert len(got) <= 4 and b"abcdefgh".startswith(got)


def test_a_delay_takes_its_time(way: FaultProxy) -> None:
    way.faults.delay_seconds = 0.1
    with connect(way) as connection:
        began = time.monotonic()
        assert said(connection, b"one") == b"one"
        assert time.monotonic() - began >= 0.2


def test_a_reset_is_one() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        FaultProxy(listener.getsockname()) as way,
        connect(way) as connection,
    ):
        far, _ = listener.accept()
        connection.sendall(b"x")
        assert far.recv(1) == b"x"
        way.cut(reset=True)
        with far, pytest.raises(ConnectionResetError):
            while connection.recv(10):
                pass
