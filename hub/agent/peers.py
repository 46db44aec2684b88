"""Who is connected to the agent, what each wants to be told, and how it is sent without ever waiting."""

from __future__ import annotations

from typing import Any

import zmq

from hub.agent import bounds, wire
from hub.agent.loop import Loop

RETRY_SECONDS = 0.25


class Peer:
    """A hub or a proxy, known by the identity that ZeroMQ gave its connection."""

    def __init__(self, identity: bytes, now: float) -> None:
        self.identity = identity
        self.heard_at = now
        self.watches = False
        self.kernels: set[str] = set()
        self.terminals: set[str] = set()
        self.missed: dict[str, int] = {}
        """Terminal → characters of output that it was not sent because it did not read."""
        self.owed: set[str] = set()
        """Kernels whose newest state it could not be sent yet."""

    def wants(self, kernel_id: str) -> bool:
        """Whether it is told about this kernel."""
        return self.watches or kernel_id in self.kernels


class Peers:
    """The connected peers on one ROUTER socket."""

    def __init__(self, loop: Loop, socket: zmq.Socket[bytes]) -> None:
        self._loop = loop
        self._socket = socket
        self._peers: dict[bytes, Peer] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def hear(self, identity: bytes) -> Peer:
        """The peer of a message that has just come. When there are too many, the most silent is forgotten."""
        now = self._loop.now()
        peer = self._peers.get(identity)
        if peer is None:
            if len(self._peers) >= bounds.MAX_PEERS:
                oldest = min(self._peers.values(), key=lambda known: known.heard_at)
                self._forget(oldest)
            peer = self._peers[identity] = Peer(identity, now)
        peer.heard_at = now
        return peer

    def forget_silent(self) -> None:
        """Forget those not heard of for too long."""
        limit = self._loop.now() - bounds.PEER_SILENCE_SECONDS
        for peer in [known for known in self._peers.values() if known.heard_at < limit]:
            self._forget(peer)

    def _forget(self, peer: Peer) -> None:
        self._peers.pop(peer.identity, None)

    def send(self, peer: Peer, frame: bytes) -> bool:
        """Send one frame, or not: False when the peer takes no more now. One that is gone is forgotten."""
        try:
            self._socket.send_multipart([peer.identity, frame], zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError:
            self._forget(peer)
        return True

    def tell_kernel(self, kernel: dict[str, Any]) -> None:
        """Tell everybody who wants to know how a kernel is; those who take nothing now are owed it."""
        frame = wire.encode({"event": "kernel", "kernel": kernel})
        kernel_id: str = kernel["kernel_id"]
        for peer in list(self._peers.values()):
            if peer.wants(kernel_id):
                if self.send(peer, frame):
                    peer.owed.discard(kernel_id)
                else:
                    peer.owed.add(kernel_id)

    def owed(self) -> set[str]:
        """Kernels that some peer is still to be told about."""
        return {kernel_id for peer in self._peers.values() for kernel_id in peer.owed}

    def tell_output(self, name: str, data: str) -> None:
        """Send a terminal's output to those attached; who does not read misses it, and is told so."""
        frame = wire.encode({"event": "terminal.output", "name": name, "data": data})
        for peer in list(self._peers.values()):
            if name not in peer.terminals:
                continue
            if missed := peer.missed.get(name):
                note = f"\r\n[{missed} characters were not shown]\r\n"
                noted = wire.encode({"event": "terminal.output", "name": name, "data": note})
                if not self.send(peer, noted):
                    peer.missed[name] += len(data)
                    continue
                del peer.missed[name]
            if not self.send(peer, frame):
                peer.missed[name] = len(data)

    def tell_exit(self, name: str) -> None:
        """Tell those attached that a terminal has ended, and detach them."""
        frame = wire.encode({"event": "terminal.exit", "name": name})
        for peer in list(self._peers.values()):
            if name in peer.terminals:
                self.send(peer, frame)
                peer.terminals.discard(name)
                peer.missed.pop(name, None)
