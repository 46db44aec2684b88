"""A network that fails on purpose: relays TCP or Unix connections, and slows, cuts, swallows or resets them.

It runs in threads of its own, so that tests with and without an event loop use it alike. What a fault changes holds at
once, for connections that are open and for new ones.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Address = tuple[str, int] | Path
PIECE_BYTES = 65536
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no seconds: closing sends a reset."""


@dataclass
class Faults:
    """What goes wrong now, with every connection."""

    delay_seconds: float = 0.0
    """How long each piece waits before it goes on."""
    bytes_per_second: float | None = None
    """The rate of each direction; None: as fast as it goes."""
    bytes_left: int | None = None
    """After so many bytes, over all connections, everything is cut; None: never."""


class Link:
    """One connection: two ends, and a thread for each direction."""

    def __init__(self, client: socket.socket, target: socket.socket) -> None:
        self.ends = (client, target)

    def half_close(self) -> None:
        """The client hears that nothing more comes, and may go on sending."""
        with contextlib.suppress(OSError):
            self.ends[0].shutdown(socket.SHUT_WR)

    def close(self, *, reset: bool = False) -> None:
        """Close both ends, with a reset instead of an orderly end if `reset`."""
        for end in self.ends:
            with contextlib.suppress(OSError):
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                else:
                    end.shutdown(socket.SHUT_RDWR)
            if reset:
                # A thread that waits in recv holds the socket open: only this makes the reset go out now.
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RD)
            end.close()


class FaultProxy:
    """Listens at `listen` and relays to `target`; either is a TCP address or the path of a Unix socket."""

    def __init__(self, target: Address, listen: Address = ("127.0.0.1", 0)) -> None:
        self._target = target
        self._listen = listen
        self._listener: socket.socket | None = None
        self._open = threading.Event()
        self._open.set()
        self._lock = threading.Lock()
        self.faults = Faults()
        self.links: list[Link] = []
        self.accepted = 0

    def __enter__(self) -> FaultProxy:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()
        self.refuse()
        self.cut()

    @property
    def address(self) -> str:
        """Where it listens: ``http://host:port``, or the path of the socket."""
        return str(self._listen) if isinstance(self._listen, Path) else f"http://{self._listen[0]}:{self._listen[1]}"

    def start(self) -> None:
        """Listen (again)."""
        listener = _socket_for(self._listen)
        if isinstance(self._listen, tuple):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(_native(self._listen))
        listener.listen(1024)
        if isinstance(self._listen, tuple):
            self._listen = listener.getsockname()[:2]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    # ---- faults

    def refuse(self) -> None:
        """Listen no more: new connections are refused, open ones stay."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
            if isinstance(self._listen, Path):
                self._listen.unlink(missing_ok=True)

    def blackhole(self) -> None:
        """Nothing passes any more, and nobody is told: a laptop that is asleep."""
        self._open.clear()

    def heal(self) -> None:
        """Let everything pass, as fast as it goes."""
        self.faults = Faults()
        self._open.set()

    def cut(self, *, reset: bool = False) -> int:
        """End all open connections; gives how many there were."""
        with self._lock:
            links, self.links = self.links, []
        for link in links:
            link.close(reset=reset)
        return len(links)

    def half_close(self) -> None:
        """Half-close every open connection towards its client."""
        for link in list(self.links):
            link.half_close()

    # ---- inner

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                self.accepted += 1
                try:
                    target = _socket_for(self._target)
                    target.connect(_native(self._target))
                except OSError:
                    client.close()
                    continue
                link = Link(client, target)
                with self._lock:
                    self.links.append(link)
                for source, sink in ((client, target), (target, client)):
                    threading.Thread(target=self._pump, args=(link, source, sink), daemon=True).start()

    def _pump(self, link: Link, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE_BYTES):
                self._open.wait()
                data, is_last = self._spoiled(data)
                sink.sendall(data)
                if is_last:
                    self.cut()
                    return
            self._open.wait()
            sink.shutdown(socket.SHUT_WR)

    def _spoiled(self, data: bytes) -> tuple[bytes, bool]:
        """What passes of a piece, after what it has to wait; and whether everything is cut then."""
        faults = self.faults
        wait = faults.delay_seconds
        if faults.bytes_per_second:
            wait += len(data) / faults.bytes_per_second
        if wait:
            time.sleep(wait)
        if faults.bytes_left is None:
            return data, False
        with self._lock:
            passing = data[: faults.bytes_left]
            faults.bytes_left -= len(passing)
        return passing, faults.bytes_left == 0


def _socket_for(address: Address) -> socket.socket:
    made = socket.socket(socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET)
    if isinstance(address, tuple):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _native(address: Address) -> Any:
    return str(address) if isinstance(address, Path) else address
