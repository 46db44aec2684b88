"""The work with journals, where its size demands it in a process of its own. Blocking; for worker threads.

A journal is what a kernel wrote, so it may be made to exhaust who reads it: a process of its own ends alone.
"""

from __future__ import annotations

import json
import logging
import subprocess
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import msgspec

from hub.contents import own_process
from hub.contents.large import LARGE_BYTES, Data, Large, Scratch, ScratchFile, digest_of
from hub.errors import TooLarge, TooManyRequests, Unavailable
from hub.results import work
from hub.results.program import SECONDS, Job, do

PROGRAM = "hub.results.program"
SMALL_BYTES = 512 * 1024
"""Journals up to this size are folded in the thread."""
PROCESSES = 2
WAIT_SECONDS = 60
WALL_SECONDS = 4 * SECONDS
"""On a loaded machine; what it may compute is bounded by the process itself."""

log = logging.getLogger(__name__)
_slots = threading.BoundedSemaphore(PROCESSES)


class Insertion:
    """Puts executions into a notebook's bytes when it is called. `report` says what came of the last call."""

    def __init__(self, scratch: Scratch, sources: Sequence[work.Source]) -> None:
        self._scratch = scratch
        self._sources = list(sources)
        self.report = work.Report()

    def __call__(self, data: Data) -> Data | None:
        """The notebook with them; None when it is the same. Raises TooLarge, TooManyRequests, Unavailable."""
        job = Job("insert", self._sources)
        if isinstance(data, bytes) and work.sizes(self._sources) <= SMALL_BYTES:
            self.report, inserted = do(job, data)
            return inserted or None
        given = data.file if isinstance(data, Large) else self._scratch.fill([data])
        self.report, result = _run(job, given, self._scratch)
        if not self.report.changed:
            return None
        if result.size_bytes >= LARGE_BYTES:
            return Large(result, digest_of(result.read()))
        return result.read()


def cells(scratch: Scratch, sources: Sequence[work.Source]) -> dict[str, Any]:
    """Notebooks of single cells, by the requests' ids; see `work.cells`. Raises as `Insertion` does."""
    if work.sizes(sources) <= SMALL_BYTES:
        return work.cells(sources)
    _, result = _run(Job("cells", list(sources)), None, scratch)
    with result:
        made: dict[str, Any] = json.loads(result.read())
    return made


def _run(job: Job, given: ScratchFile | None, scratch: Scratch) -> tuple[work.Report, ScratchFile]:
    result = scratch.open()
    with ExitStack() as stack:
        stack.enter_context(result)
        report = _report(job, [-1 if given is None else given.fd, result.fd])
        stack.pop_all()
    return report, result


def _report(job: Job, descriptors: list[int]) -> work.Report:
    if not _slots.acquire(timeout=WAIT_SECONDS):
        raise TooManyRequests("Too many large results are being brought into notebooks.", 5)
    try:
        done = own_process.start(PROGRAM, msgspec.json.encode(job), descriptors, WALL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise Unavailable("The kernel's outputs took too long to be read; it is tried again.") from error
    finally:
        _slots.release()
    if done.returncode != 0:
        log.warning("a process for results ended with %s: %s", done.returncode, done.stderr[-2000:])
        raise TooLarge("The kernel's outputs are too large or too deeply nested to be brought into a notebook.")
    return msgspec.json.decode(done.stdout, type=work.Report)
