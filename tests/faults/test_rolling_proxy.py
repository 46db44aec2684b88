"""Rolling: a new proxy takes over from the old one while people work. No connection is refused or reset."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.faults.harness.crowd import begin, crowd, end, verdict_of
from tests.faults.harness.scoreboard import Case
from tests.faults.harness.sizes import sized
from tests.harness.accounts import add_account
from tests.harness.running import RunningHub, eventually

ROUNDS = sized(1, 10)
KNOCKERS = 4
TAKEN_OVER = "A new proxy has taken over"
REQUEST = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Knocking:
    """Threads that open connections without a pause, ask something small and read the whole answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ended = threading.Event()
        self.outcomes: Counter[str] = Counter()

    def go_on(self) -> None:
        """Until `end`."""
        while not self._ended.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=20) as connection:
                    connection.sendall(REQUEST)
                    answer = b""
                    while data := connection.recv(65536):
                        answer += data
                self.outcomes["served" if answer.startswith(b"HTTP/1.1 200") else f"answered {answer[:40]!r}"] += 1
            except OSError as error:
                self.outcomes[type(error).__name__] += 1

    def end(self) -> None:
        """Open no more."""
        self._ended.set()


@contextmanager
def knocking(port: int) -> Iterator[Knocking]:
    """Connections all the time, for a block."""
    one = Knocking(port)
    threads = [threading.Thread(target=one.go_on) for _ in range(KNOCKERS)]
    for thread in threads:
        thread.start()
    try:
        yield one
    finally:
        one.end()
        for thread in threads:
            thread.join(30)


def renew(hub: RunningHub) -> None:
    """SIGHUP to ``kernelhub serve``; returns when the old proxy has ended."""
    old = hub.child("proxy")
    assert hub._process is not None
    hub._process.send_signal(signal.SIGHUP)
    eventually(lambda: not old.is_running(), 40.0, "the end of the old proxy")
    eventually(lambda: hub.find_child("proxy", other_than=old.pid), 20.0, "the new proxy")


def test_a_new_proxy_takes_over_and_no_connection_is_refused_or_reset(hub: RunningHub) -> None:
    with Case("rolling") as case:
        with knocking(hub.port) as knocks:
            time.sleep(0.2)
            for _ in range(ROUNDS):
                renew(hub)
            time.sleep(0.2)
        served = set(knocks.outcomes) == {"served"}
        case.holds(f"{ROUNDS} new proxies: every connection is served", served, str(dict(knocks.outcomes)))


def test_a_proxy_that_is_killed_lets_connections_wait_and_refuses_none(hub: RunningHub) -> None:
    with Case("rolling") as case:
        with knocking(hub.port) as knocks:
            time.sleep(0.2)
            hub.kill("proxy")
        broken = knocks.outcomes["ConnectionRefusedError"]
        case.holds(
            "SIGKILL: no new connection is refused, it waits for the next proxy", broken == 0, str(knocks.outcomes)
        )


def test_a_download_that_is_under_way_is_finished_by_the_old_proxy(hub: RunningHub) -> None:
    with Case("rolling") as case:
        ada = add_account(hub, "download")
        ada.home.mkdir(parents=True, exist_ok=True)
        size = 24 * 1024 * 1024
        (ada.home / "big.bin").write_bytes(os.urandom(size))
        place = urlsplit(hub.address)
        with socket.create_connection((place.hostname, place.port), timeout=30) as connection:
            head = f"GET /user/download/files/big.bin HTTP/1.1\r\nHost: {place.netloc}\r\nConnection: close\r\n"
            connection.sendall(f"{head}Authorization: token {ada.token}\r\n\r\n".encode())
            got = len(connection.recv(65536))
            old, before = hub.child("proxy"), hub.log().count(TAKEN_OVER)
            assert hub._process is not None
            hub._process.send_signal(signal.SIGHUP)
            eventually(lambda: hub.log().count(TAKEN_OVER) > before, 20.0, "the word that a new proxy has taken over")
            while data := connection.recv(1 << 20):
                got += len(data)
                time.sleep(0.02)
        eventually(lambda: not old.is_running(), 40.0, "the end of the old proxy")
        case.holds("a download under way arrives whole", got > size, f"{got} of {size} bytes and a head")


async def test_front_ends_move_to_the_new_proxy_and_miss_nothing(hub: RunningHub) -> None:
    with Case("rolling") as case:
        async with crowd(hub, sized(2, 20), prefix="moved") as busy:
            await begin(busy, sized(80, 500), 0.03)
            await asyncio.to_thread(renew, hub)
            await end(busy, 60)
            verdict = verdict_of(busy)
            codes = {life.code for one in busy for life in one.front_end.lives[:-1]}
            case.holds("front ends are told with 1012", codes == {1012}, str(codes))
            case.holds("front ends: every message once and in order", verdict.is_perfect, str(verdict))


def test_proxies_of_their_own_share_a_port_and_take_over(hub: RunningHub) -> None:
    """``kernelhub proxy --reuse-port``: two services, no supervisor."""
    with socket.socket() as free, socket.socket() as another:
        free.bind(("127.0.0.1", 0))
        another.bind(("127.0.0.1", 0))
        port, metrics_port = free.getsockname()[1], another.getsockname()[1]
    (hub_port,) = {c.laddr.port for c in hub.child("hub").net_connections("inet") if c.status == "LISTEN"}
    with Case("rolling") as case, contextlib.ExitStack() as stack:
        old = stack.enter_context(alone(hub, port, metrics_port, hub_port))
        with knocking(port) as knocks:
            time.sleep(0.2)
            stack.enter_context(alone(hub, port, metrics_port, hub_port))
            os.kill(old, signal.SIGQUIT)
            eventually(lambda: not _lives(old), 20.0, "the end of the old proxy")
        served = set(knocks.outcomes) == {"served"}
        case.holds("--reuse-port: every connection is served", served, str(dict(knocks.outcomes)))


@contextmanager
def alone(hub: RunningHub, port: int, metrics_port: int, hub_port: int) -> Iterator[int]:
    """A proxy as a service of its own; gives its pid, once it listens."""
    command = [sys.executable, "-m", "hub.cli", "proxy", "--reuse-port", "--port", str(port), *hub.data_dir_flag]
    ports = {"KERNELHUB_HUB_PORT": str(hub_port), "KERNELHUB_METRICS_PORT": str(metrics_port)}
    environment = {**hub.environment, **ports}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if "listens on" in line:
                break
        else:
            raise AssertionError("the proxy did not start: " + "".join(said))
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def _lives(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
