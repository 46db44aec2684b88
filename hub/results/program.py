"""The program that folds large journals: ``python -m hub.results.program 5 6``. See `apart`, which starts it.

The job comes as JSON on the standard input, what came of it goes as JSON to the standard output. The arguments are
descriptors: of the notebook file that is given, and of an empty one for the result.
"""

from __future__ import annotations

import json
import sys
from typing import Literal

import msgspec

from hub.contents.drafts import write_all
from hub.contents.own_process import confine, read_whole
from hub.results import work

SECONDS = 60
MEMORY_BYTES = 2 * 1024**3
RESULT_BYTES = 512 * 1024**2


class Job(msgspec.Struct, frozen=True):
    """Insert into the notebook that is given, or make notebooks of single cells."""

    kind: Literal["insert", "cells"]
    sources: list[work.Source]


def do(job: Job, given: bytes) -> tuple[work.Report, bytes]:
    """What came of it, and the result's bytes."""
    if job.kind == "insert":
        return work.insert(job.sources, given)
    return work.Report(), json.dumps(work.cells(job.sources)).encode()


def main() -> None:
    """The process: one job, within bounds."""
    confine(memory_bytes=MEMORY_BYTES, cpu_seconds=SECONDS, file_bytes=RESULT_BYTES)
    given, result = map(int, sys.argv[1:])
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    report, data = do(job, read_whole(given) if given >= 0 else b"")
    write_all(result, data)
    sys.stdout.buffer.write(msgspec.json.encode(report))


if __name__ == "__main__":
    main()
