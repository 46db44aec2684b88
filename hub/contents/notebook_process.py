"""Big notebooks in a process of their own: parsing 100 MB holds Python's lock for most of a second at a time.

Measured on two slow cores: a 34 MB notebook takes 1.6 s to be saved and holds the lock for 160 ms; 173 MB take 8 s
and hold it for 0.9 s. In a process of its own other users notice nothing, the memory is given back, and a
document made to exhaust it ends that process alone. It costs 0.3 s, so small ones stay in their thread.

Bytes go there and back in temporary files that have no name, so the hub holds what it had, and the result, once.
"""

from __future__ import annotations

import logging
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile

import msgspec

from hub.contents import notebooks
from hub.errors import BadRequest, HubError, NotebookInvalid, TooLarge, Unavailable

APART_BYTES = 4 * 1024**2
PROCESSES = 2
SECONDS = 120
MEMORY_BYTES = 8 * 1024**3
REFUSED = 3

log = logging.getLogger(__name__)

_slots = threading.BoundedSemaphore(PROCESSES)
_ERRORS: dict[str, type[HubError]] = {kind.code: kind for kind in (BadRequest, NotebookInvalid)}


class _Job(msgspec.Struct):
    """To the process, as a line of JSON; the notebook follows.

    `trusted` None: write it for the disk, stripped or not; else: show it, trusted or not.
    """

    path: str
    trusted: bool | None
    strip: Sequence[str] | None = None


class _Refusal(msgspec.Struct):
    """From the process, as a line of JSON, with exit status `REFUSED`: what is wrong with the notebook."""

    code: str
    message: str


def show(data: bytes, path: str, trusted: bool) -> notebooks.Shown:
    """As `notebooks.show`, where the size demands it in a process of its own. Blocking; for worker threads."""
    if len(data) < APART_BYTES:
        return notebooks.show(data, path, trusted)
    head, content = _apart(_Job(path, trusted), data)
    return replace(msgspec.json.decode(head, type=notebooks.Shown), content=content)


def write(content: bytes, path: str, strip: Sequence[str] | None = None) -> notebooks.Written:
    """As `notebooks.write`, where the size demands it in a process of its own. Blocking; for worker threads."""
    if len(content) < APART_BYTES:
        return notebooks.write(content, path, strip)
    head, data = _apart(_Job(path, None, strip), content)
    return replace(msgspec.json.decode(head, type=notebooks.Written), data=data)


def _apart(job: _Job, notebook: bytes) -> tuple[bytes, bytes]:
    """Do the job in a new process; gives what it says of the result, as JSON, and the result's bytes.

    Raises what it finds wrong with the notebook, TooLarge when it dies of it, Unavailable when it is too slow.
    """
    command = [sys.executable, "-P", "-m", "hub.contents.notebook_process"]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "LC_ALL": "C.UTF-8"}
    with _slots, TemporaryFile() as given, TemporaryFile() as result:
        given.write(msgspec.json.encode(job) + b"\n")
        given.write(notebook)
        given.seek(0)
        try:
            done = subprocess.run(
                command, stdin=given, stdout=result, stderr=subprocess.PIPE, timeout=SECONDS, env=environment, cwd="/"
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{job.path} took too long to be read as a notebook; try again.") from error
        if done.returncode not in (0, REFUSED):
            log.warning("a notebook's process ended with %s: %s", done.returncode, done.stderr[-2000:])
            raise TooLarge(f"{job.path} is too large or too deeply nested to be read as a notebook.")
        result.seek(0)
        head = result.readline()
        if done.returncode == REFUSED:
            refusal = msgspec.json.decode(head, type=_Refusal)
            raise _ERRORS[refusal.code](refusal.message)
        size = os.fstat(result.fileno()).st_size - len(head)
        return head, os.pread(result.fileno(), size, len(head))  # `read` would hold it twice for a moment


def main() -> None:
    """The process: one job from the standard input, its outcome to the standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=_Job)
    given = sys.stdin.buffer.read()
    outcome: notebooks.Shown | notebooks.Written | _Refusal
    try:
        if job.trusted is None:
            written = notebooks.write(given, job.path, job.strip)
            outcome, data = replace(written, data=b""), written.data
        else:
            shown = notebooks.show(given, job.path, job.trusted)
            outcome, data = replace(shown, content=b""), shown.content
    except BadRequest as error:
        outcome, data = _Refusal(error.code, error.message), b""
    sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    sys.exit(REFUSED if isinstance(outcome, _Refusal) else 0)


if __name__ == "__main__":
    main()
