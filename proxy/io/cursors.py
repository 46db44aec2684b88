"""Where each client session stands, in mapped files that outlive this process however it ends.

Each proxy has a file of its own, locked with flock for as long as it lives, with a slot for each session (of a user, to
a kernel). A slot says which IOPub message was written to the client last, which one it is known to have, and by which
ZeroMQ identity the kernel knows it. Storing into a mapped file costs a microsecond and survives SIGKILL.

Who goes on with a session takes what is known to be received, if the connection was ended by a proxy or still stands;
of a proxy that was killed, what was written: that is in the kernel's hands, which delivers it. A session has one
connection at a time; how another proxy of the machine learns that it has lost one: `proxy.io.handing`.

Files of proxies that are dead are taken over at the start, and whenever a session is not found otherwise. What was not
touched for a day is forgotten. The folder is the proxies' own: nobody hostile writes there.

Resource handling: `Cursors` owns its file, lock and map until `close`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import mmap
import os
import secrets
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.core.executions import DUMP_BYTES, Executions

log = logging.getLogger(__name__)

KEPT_SECONDS = 24 * 3600.0
SLOT_BYTES = 1024
SLOTS = 8192
USER_SLOTS = 256
"""Most sessions of one user that are remembered, so that nobody's many push out others'."""
MAGIC = b"KHCURS1\n"
_HEAD = struct.Struct("<16s8sQdQQ40s")
_POSITION = 96
_WRITTEN_TABLE = 128
_ACKED_TABLE = _WRITTEN_TABLE + DUMP_BYTES
_IN_USE, _ENDED, _RENAMED = 1, 2, 4
_FLAGS_AT = 48
_ROUTING_AT, _ROUTING_BYTES = 56, 40
_NONE = bytes(8)


@dataclass(frozen=True, slots=True)
class SessionKey:
    """Whose session, to which kernel, by the client's own name for it."""

    user_id: str
    kernel_id: str
    session: str

    def digest(self) -> bytes:
        """What stands for it in a slot."""
        text = "\0".join((self.user_id, self.kernel_id, self.session))
        return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()

    def user_digest(self) -> bytes:
        """What stands for its user in a slot."""
        return hashlib.blake2b(self.user_id.encode("utf-8", "replace"), digest_size=8).digest()


@dataclass(frozen=True, slots=True)
class Former:
    """What a session had when its last connection ended.

    `identity`: of the last IOPub message, empty for none. `base`: the journal's last record when the session began.
    `is_renamed`: the kernel knew it by another name once, to which it may owe replies still.
    """

    identity: bytes
    base: int
    routing_id: bytes
    executions: Executions
    is_renamed: bool = False


class Cursor:
    """One session's slot. All methods are cheap but `begin`; none raises, also after `Cursors.close`."""

    def __init__(self, memory: bytearray | mmap.mmap, offset: int, now: Callable[[], float]) -> None:
        self._memory = memory
        self._offset = offset
        self._now = now
        self._position = offset + _POSITION

    def intend(self, identity: bytes) -> None:
        """All up to the message with this identity is about to be handed to the socket."""
        self._memory[self._position : self._position + 8] = identity

    def reach(self, identity: bytes) -> None:
        """All up to this message was handed to the socket."""
        self._memory[self._position : self._position + 16] = identity + identity

    def settle(self) -> None:
        """What was intended did not happen."""
        at = self._position
        self._memory[at : at + 8] = self._memory[at + 8 : at + 16]

    def note(self, executions: Executions) -> None:
        """These executions are open by what was handed to the socket."""
        self._put(_WRITTEN_TABLE, executions.dump())

    def acknowledge(self, identity: bytes, executions: bytes) -> None:
        """The client has all up to this message; `executions` (a dump) are open by that."""
        self._put(_ACKED_TABLE, executions)
        if identity:
            self._put(_POSITION + 16, identity)
        self.touch()

    @property
    def acknowledged(self) -> bytes:
        """The identity of the last message that the client is known to have; empty for none."""
        found = bytes(self._memory[self._position + 16 : self._position + 24])
        return b"" if found == _NONE else found

    def rename(self, routing_id: bytes) -> None:
        """The kernel knows the session by this ZeroMQ identity now."""
        self._put(_ROUTING_AT, routing_id.ljust(_ROUTING_BYTES, b"\0"))
        self._set_flags(_RENAMED)

    def touch(self) -> None:
        """The session lives."""
        struct.pack_into("<d", self._memory, self._offset + 32, self._now())

    def end(self) -> None:
        """The connection has ended, and what is known to be received is what counts."""
        self._set_flags(_ENDED)
        self.touch()

    def _set_flags(self, flags: int) -> None:
        (known,) = struct.unpack_from("<Q", self._memory, self._offset + _FLAGS_AT)
        struct.pack_into("<Q", self._memory, self._offset + _FLAGS_AT, known | flags)

    def _put(self, at: int, data: bytes) -> None:
        self._memory[self._offset + at : self._offset + at + len(data)] = data


@dataclass(slots=True)
class _Slot:
    """A slot as it is stored."""

    key: bytes
    user: bytes
    epoch: int
    touched_at: float
    base: int
    flags: int
    routing_id: bytes
    intended: bytes
    written: bytes
    acked: bytes
    written_table: bytes
    acked_table: bytes

    @classmethod
    def load(cls, memory: bytearray | mmap.mmap, offset: int) -> _Slot:
        head = _HEAD.unpack_from(memory, offset)
        at = offset + _POSITION
        intended, written, acked = (bytes(memory[at + n : at + n + 8]) for n in (0, 8, 16))
        tables = offset + _WRITTEN_TABLE
        return cls(
            head[0],
            head[1],
            head[2],
            head[3],
            head[4],
            head[5],
            head[6].rstrip(b"\0"),
            intended,
            written,
            acked,
            bytes(memory[tables : tables + DUMP_BYTES]),
            bytes(memory[tables + DUMP_BYTES : tables + 2 * DUMP_BYTES]),
        )

    def store(self, memory: bytearray | mmap.mmap, offset: int) -> None:
        body = bytearray(SLOT_BYTES)
        head = (self.key, self.user, self.epoch, self.touched_at, self.base, self.flags, self.routing_id)
        _HEAD.pack_into(body, 0, *head)
        body[_POSITION : _POSITION + 24] = self.intended + self.written + self.acked
        body[_WRITTEN_TABLE : _WRITTEN_TABLE + 2 * DUMP_BYTES] = self.written_table + self.acked_table
        memory[offset : offset + SLOT_BYTES] = bytes(body)

    def settle(self, *, is_alive: bool) -> None:
        """Decide what the client has, if that is not decided: see the module."""
        if not is_alive and not self.flags & _ENDED:
            self.acked = self.intended if self.intended != _NONE else self.written
            self.acked_table = self.written_table
            self.flags |= _ENDED

    def former(self) -> Former:
        identity = b"" if self.acked == _NONE else self.acked
        is_renamed = bool(self.flags & _RENAMED)
        return Former(identity, self.base, self.routing_id, Executions.load(self.acked_table), is_renamed)


class Cursors:
    """The sessions of one proxy. `folder` is shared by all proxies of the machine; None: only this process's memory.

    Call `open` before anything else. Raises OSError there when the folder cannot be used.
    """

    def __init__(self, folder: Path | None, now: Callable[[], float] = time.time, slots: int = SLOTS) -> None:
        self._folder = folder
        self._now = now
        self._size = len(MAGIC) + slots * SLOT_BYTES
        self._path: Path | None = None
        self._file = -1
        self._memory: bytearray | mmap.mmap = bytearray()
        self._places: dict[bytes, int] = {}
        self._free: list[int] = []
        self._users: Counter[bytes] = Counter()
        self._held: set[int] = set()

    def open(self) -> None:
        """Make this proxy's file, and take over those of dead ones."""
        if self._folder is None:
            self._memory = mmap.mmap(-1, self._size)
        else:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._open_file(self._folder)
        offsets = range(len(MAGIC), self._size, SLOT_BYTES)
        self._free = list(reversed(offsets))
        self._take_over()

    def _open_file(self, folder: Path) -> None:
        """The file appears under its name when it is locked, so that nobody takes it for a dead one's."""
        name = f"cursors-{os.getpid()}-{secrets.token_hex(8)}"
        draft = folder / f".{name}"
        self._file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        os.ftruncate(self._file, self._size)
        self._memory = mmap.mmap(self._file, self._size)
        self._memory[: len(MAGIC)] = MAGIC
        self._path = folder / name
        draft.rename(self._path)

    def claim(
        self, key: SessionKey, base: int, routing_id: bytes, order: int | None = None
    ) -> tuple[Cursor | None, Former | None]:
        """The slot for a new connection of a session, and what a former one left; None for what there is not.

        A new session begins at the journal's record `base` and is known to its kernel as `routing_id`; one that comes
        back goes on under its old one. `order`: when the connection was asked for, in nanoseconds; None: now. Without a
        free slot there is no cursor, and the session is not remembered.
        """
        digest = key.digest()
        found = self._find(digest)
        offset = self._place_for(digest, key.user_digest())
        if offset is None:
            return None, found.former() if found is not None else None
        slot = found or _fresh(digest, key.user_digest(), base, routing_id)
        slot.epoch, slot.touched_at = order or time.time_ns(), self._now()
        slot.flags = _IN_USE | (slot.flags & _RENAMED)
        slot.intended = slot.written = slot.acked
        slot.written_table = slot.acked_table
        slot.store(self._memory, offset)
        self._held.add(offset)
        return Cursor(self._memory, offset, self._now), found.former() if found is not None else None

    def rename(self, key: SessionKey, routing_id: bytes) -> None:
        """Have a session that is not connected be known to its kernel by another name when it comes back."""
        if (offset := self._places.get(key.digest())) is not None:
            Cursor(self._memory, offset, self._now).rename(routing_id)

    @property
    def path(self) -> Path | None:
        """The file of this proxy; None when it shares nothing."""
        return self._path

    @contextlib.contextmanager
    def elsewhere(self, key: SessionKey) -> Iterator[list[Elsewhere]]:
        """The connections of a session that stand in other proxies, which can be looked at within the block."""
        digest = key.digest()
        with contextlib.ExitStack() as maps:
            found = []
            for path in self._other_paths():
                if (memory := _map(path)) is None:
                    continue
                maps.enter_context(memory)
                if (at := _place_in(memory, digest)) is not None:
                    found.append(Elsewhere(path, memory, at))
            yield [one for one in found if one.stands]

    def stands(self, key: SessionKey) -> bool:
        """Whether a session is connected, here or through another proxy that lives."""
        if self._places.get(key.digest()) in self._held:
            return True
        self._take_over()
        with self.elsewhere(key) as standing:
            return bool(standing)

    def release(self, cursor: Cursor) -> None:
        """The connection has ended."""
        cursor.end()
        self._held.discard(cursor._offset)

    def close(self) -> None:
        """Leave the file to others. What has not ended counts as ended knowingly. Closing twice is harmless."""
        if self._file >= 0:
            for offset in list(self._held):
                Cursor(self._memory, offset, self._now).end()
            fcntl.flock(self._file, fcntl.LOCK_UN)  # the map has a descriptor of its own
            os.close(self._file)
            self._file = -1

    # ---- looking

    def _find(self, digest: bytes) -> _Slot | None:
        """The newest slot of a session, here or in another proxy's file."""
        self._take_over()
        own = self._places.get(digest)
        found = _Slot.load(self._memory, own) if own is not None else None
        for memory in self._others():
            if (at := _place_in(memory, digest)) is not None:
                slot = _Slot.load(memory, at)
                if slot.flags & _IN_USE and (found is None or slot.epoch > found.epoch):
                    found = slot
        if found is not None and found.touched_at < self._now() - KEPT_SECONDS:
            return None
        return found

    def _others(self) -> Iterator[mmap.mmap]:
        """The maps of proxies that live beside this one."""
        for path in self._other_paths():
            if (memory := _map(path)) is not None:
                with memory:
                    yield memory

    def _other_paths(self) -> list[Path]:
        if self._folder is None:
            return []
        with contextlib.suppress(OSError):
            return [path for path in sorted(self._folder.glob("cursors-*")) if path != self._path]
        return []

    def _take_over(self) -> None:
        """Copy the slots of dead proxies into this one's file, and remove theirs."""
        for path in self._other_paths():
            with contextlib.suppress(OSError, ValueError), path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not path.exists():
                    continue  # another one was faster
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
                    taken = self._copy(memory)
                path.unlink()
                call_path(path).unlink(missing_ok=True)
                log.info("took over %d sessions of a proxy that has ended", taken)

    def _copy(self, memory: mmap.mmap) -> int:
        if memory[: len(MAGIC)] != MAGIC:
            return 0
        taken = 0
        for offset in range(len(MAGIC), len(memory) - SLOT_BYTES + 1, SLOT_BYTES):
            slot = _Slot.load(memory, offset)
            if not slot.flags & _IN_USE or slot.touched_at < self._now() - KEPT_SECONDS:
                continue
            slot.settle(is_alive=False)
            known = self._places.get(slot.key)
            if known is not None and _Slot.load(self._memory, known).epoch >= slot.epoch:
                continue
            if (place := self._place_for(slot.key, slot.user)) is not None:
                slot.store(self._memory, place)
                taken += 1
        return taken

    # ---- making room

    def _place_for(self, digest: bytes, user: bytes) -> int | None:
        known = self._places.get(digest)
        if known is not None:
            return known
        if self._users[user] >= USER_SLOTS and not self._forget_one(user):
            return None
        if not self._free and not self._forget_one(None):
            return None
        offset = self._free.pop()
        self._places[digest] = offset
        self._users[user] += 1
        return offset

    def _forget_one(self, user: bytes | None) -> bool:
        """Forget the session that ended longest ago, of this user or of anybody."""
        oldest: tuple[float, bytes, _Slot] | None = None
        for digest, offset in self._places.items():
            if offset in self._held:
                continue
            slot = _Slot.load(self._memory, offset)
            if (user is None or slot.user == user) and (oldest is None or slot.touched_at < oldest[0]):
                oldest = (slot.touched_at, digest, slot)
        if oldest is None:
            return False
        _, digest, slot = oldest
        offset = self._places.pop(digest)
        self._memory[offset : offset + SLOT_BYTES] = bytes(SLOT_BYTES)
        self._users[slot.user] -= 1
        self._free.append(offset)
        return True


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A session's slot in another proxy's file, `path`."""

    path: Path
    _memory: mmap.mmap
    _offset: int

    @property
    def stands(self) -> bool:
        """Whether the session has a connection there."""
        return _Slot.load(self._memory, self._offset).flags & (_IN_USE | _ENDED) == _IN_USE

    @property
    def order(self) -> int:
        """When that connection was asked for."""
        return _Slot.load(self._memory, self._offset).epoch


def call_path(path: Path) -> Path:
    """Where the proxy with the file `path` is called: see `proxy.io.handing`."""
    return path.with_name(path.name.replace("cursors-", "calls-", 1))


def _map(path: Path) -> mmap.mmap | None:
    """Another proxy's file; None when it was taken over meanwhile, or is none."""
    try:
        with path.open("rb") as file:
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None
    if memory[: len(MAGIC)] == MAGIC:
        return memory
    memory.close()
    return None


def _place_in(memory: mmap.mmap, digest: bytes) -> int | None:
    """Where a session's slot is."""
    at = memory.find(digest)
    while at >= 0 and ((at - len(MAGIC)) % SLOT_BYTES or not _Slot.load(memory, at).flags & _IN_USE):
        at = memory.find(digest, at + 1)
    return at if at >= 0 else None


def _fresh(digest: bytes, user: bytes, base: int, routing_id: bytes) -> _Slot:
    nothing = bytes(DUMP_BYTES)
    return _Slot(digest, user, 0, 0.0, base, _IN_USE, routing_id, _NONE, _NONE, _NONE, nothing, nothing)
