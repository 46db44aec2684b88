"""Big notebooks in a process of their own: parsing 100 MB holds Python's lock for most of a second at a time.

Measured on two slow cores: a 34 MB notebook takes 1.6 s to be saved and holds the lock for 160 ms; 173 MB take 8 s
and hold it for 0.9 s. In a process of its own other users notice nothing, the memory is given back, and a
document made to exhaust it ends that process alone. It costs 0.3 s, so small ones stay in their thread.
"""

from __future__ import annotations

import logging
import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import TypeVar

import msgspec

from hub.contents import notebooks
from hub.errors import BadRequest, HubError, NotebookInvalid, TooLarge, Unavailable

APART_BYTES = 4 * 1024**2
PROCESSES = 2
SECONDS = 120
MEMORY_BYTES = 8 * 1024**3
REFUSED = 3

log = logging.getLogger(__name__)

Outcome = TypeVar("Outcome")

_slots = threading.BoundedSemaphore(PROCESSES)
_ERRORS: dict[str, type[HubError]] = {kind.code: kind for kind in (BadRequest, NotebookInvalid)}


class _Job(msgspec.Struct):
    """To the process. `trusted` None: write `data` for the disk; else: show it, trusted or not."""

    data: bytes
    path: str
    trusted: bool | None


class _Refusal(msgspec.Struct):
    """From the process, with exit status `REFUSED`: what is wrong with the notebook."""

    code: str
    message: str


def show(data: bytes, path: str, trusted: bool) -> notebooks.Shown:
    """As `notebooks.show`, where the size demands it in a process of its own. Blocking; for worker threads."""
    if len(data) < APART_BYTES:
        return notebooks.show(data, path, trusted)
    return _apart(_Job(data, path, trusted), notebooks.Shown)


def write(content: bytes, path: str) -> notebooks.Written:
    """As `notebooks.write`, where the size demands it in a process of its own. Blocking; for worker threads."""
    if len(content) < APART_BYTES:
        return notebooks.write(content, path)
    return _apart(_Job(content, path, None), notebooks.Written)


def _apart(job: _Job, expected: type[Outcome]) -> Outcome:
    """Do the job in a new process.

    Raises what it finds wrong with the notebook, TooLarge when it dies of it, Unavailable when it is too slow.
    """
    command = [sys.executable, "-P", "-m", "hub.contents.notebook_process"]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "LC_ALL": "C.UTF-8"}
    data = msgspec.msgpack.encode(job)
    try:
        with _slots:
            done = subprocess.run(
                command, input=data, capture_output=True, timeout=SECONDS, env=environment, cwd="/", check=False
            )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{job.path} took too long to be read as a notebook; try again.") from error
    if done.returncode == REFUSED:
        refusal = msgspec.msgpack.decode(done.stdout, type=_Refusal)
        raise _ERRORS[refusal.code](refusal.message)
    if done.returncode != 0:
        log.warning("a notebook's process ended with %s: %s", done.returncode, done.stderr[-2000:])
        raise TooLarge(f"{job.path} is too large or too deeply nested to be read as a notebook.")
    return msgspec.msgpack.decode(done.stdout, type=expected)


def main() -> None:
    """The process: one job from the standard input, its outcome to the standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    job = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=_Job)
    outcome: notebooks.Shown | notebooks.Written | _Refusal
    try:
        if job.trusted is None:
            outcome = notebooks.write(job.data, job.path)
        else:
            outcome = notebooks.show(job.data, job.path, job.trusted)
    except BadRequest as error:
        outcome = _Refusal(error.code, error.message)
    sys.stdout.buffer.write(msgspec.msgpack.encode(outcome))
    sys.stdout.buffer.flush()
    sys.exit(REFUSED if isinstance(outcome, _Refusal) else 0)


if __name__ == "__main__":
    main()
