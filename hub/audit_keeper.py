"""Keeps the audit log beside the database: its end as an anchor each day, and, if wanted, every line in a file.

Who can write to the database could write its audit log anew, digests and all. What lies elsewhere, in a file of the
data folder and in the hub's own log, does not change with it: `kernelhub audit verify` compares the two.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec

from hub.domain.audit import Head, Link, Verifier
from hub.errors import HubError
from hub.store.engine import Store
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
ANCHOR_EVERY = timedelta(days=1)
ANCHORS = "audit-anchors"
POSITION = "audit-file-position"
BATCH = 1000
_VERIFY_BATCH = 5000


class AuditKeeper:
    """Follows the audit log. `file`: where every line is written as JSON, None: nowhere."""

    def __init__(self, store: Store, clock: Clock, data_dir: Path, file: Path | None) -> None:
        self._store = store
        self._clock = clock
        self._anchors = data_dir / ANCHORS
        self._position = data_dir / POSITION
        self._file = file
        self._anchored_at: float | None = None

    async def run(self) -> None:
        """Follow, until cancelled. What could not be written is written the next time."""
        while True:
            try:
                await self.follow()
                await self.anchor_daily()
            except HubError as error:
                log.warning("the audit log was not followed: %s", error.message)
            except OSError as error:
                log.error("the audit log could not be written to a file: %s", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def anchor_daily(self) -> None:
        """Note the log's end, at the first call and then once a day."""
        now = self._clock.monotonic()
        if self._anchored_at is None or now - self._anchored_at >= ANCHOR_EVERY.total_seconds():
            await self.anchor()
            self._anchored_at = now

    async def anchor(self) -> Head | None:
        """Note the log's end in the anchors' file and in the hub's log; None if nothing is recorded yet."""
        async with self._store.reading() as unit:
            head = await unit.audit.head()
        if head is not None and head not in read_anchors(self._anchors):
            line = f"{self._clock.now().isoformat(timespec='seconds')} {head}\n"
            await asyncio.to_thread(_append, self._anchors, line.encode())
            log.info("the audit log's end is %s", head)
        return head

    async def follow(self) -> int:
        """Write the lines that came since the last time to the file; gives how many."""
        if self._file is None:
            return 0
        written, after = 0, _read_position(self._position)
        while True:
            async with self._store.reading() as unit:
                links = await unit.audit.links(after, BATCH)
            if not links:
                return written
            data = b"".join(msgspec.json.encode(line_of(link)) + b"\n" for link in links)
            await asyncio.to_thread(_append, self._file, data)
            after, written = links[-1].event.id or after, written + len(links)
            await asyncio.to_thread(_write_position, self._position, after)


def line_of(link: Link) -> dict[str, object]:
    """A line of the log as files have it, with its digest."""
    event = link.event
    return {
        "id": event.id,
        "at": event.at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "action": event.action,
        "actor": event.actor,
        "subject": event.subject,
        "address": event.address,
        "details": event.details,
        "digest": link.digest.hex() if link.digest is not None else None,
    }


async def verify(store: Store, anchors: Sequence[Head] = ()) -> Verifier:
    """Follow the whole chain, from the first line to the last, through all anchors."""
    verifier, after = Verifier(anchors), 0
    while verifier.broken is None:
        async with store.reading() as unit:
            links = await unit.audit.links(after, _VERIFY_BATCH)
        if not links:
            break
        verifier.follow(links)
        after = links[-1].event.id or after
    verifier.finish()
    return verifier


def read_anchors(file: Path) -> list[Head]:
    """The anchors of a file; lines that are none are left out, and a file that is not there has none."""
    heads = []
    with contextlib.suppress(FileNotFoundError):
        for line in file.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                heads.append(Head.parse(line.rpartition(" ")[2]))
    return heads


def _append(file: Path, data: bytes) -> None:
    """Append at once, to a file that only its owner can read; opened anew each time, so that it can be rotated."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def _read_position(file: Path) -> int:
    try:
        text = file.read_text().strip()
    except FileNotFoundError:
        return 0
    return int(text) if text.isascii() and text.isdigit() else 0


def _write_position(file: Path, position: int) -> None:
    temporary = file.with_name(file.name + ".new")
    temporary.write_text(f"{position}\n")
    temporary.replace(file)
