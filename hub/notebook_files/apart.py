"""A job with a stranger's notebook, done by a child process within bounds. Blocking; for worker threads.

jupytext and nbdime are made of regular expressions and of algorithms that are slow for texts made to be slow; within
the hub such a text would stop everybody. The child costs 0.4 s.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from hub.errors import BadRequest, TooLarge, TooManyRequests, Unavailable
from hub.notebook_files.jobs import Answer, Job, Refused

PROCESSES = 2
SECONDS = 30
WAIT_SECONDS = 20
MAX_BYTES = 32 * 1024**2

log = logging.getLogger(__name__)
Expected = TypeVar("Expected")
MOST_WAITING = 40
"""Threads that may be in here at once: they are those of all file work (hub.contents.workers), and some stay free."""
_inside = threading.BoundedSemaphore(MOST_WAITING)
_slots = threading.BoundedSemaphore(PROCESSES)
_lanes: defaultdict[int | None, threading.Lock] = defaultdict(threading.Lock)
"""One child at a time for each user, so that nobody's slow notebooks keep all slots."""


def do(job: Job, expected: type[Expected], what: str, uid: int | None = None) -> Expected:
    """The answer of the child that does the job. `what` is the file in messages, `uid` whom the child shall be.

    Raises BadRequest for a notebook that is not one, TooLarge when it is too large or takes too long,
    TooManyRequests when others keep the slots busy.
    """
    data = msgspec.msgpack.encode(job)
    if len(data) > MAX_BYTES:
        raise TooLarge(f"{what} is larger than {MAX_BYTES // 1024**2} MiB, too large for this.")
    answer = _answer(data, what, uid)
    if isinstance(answer, Refused):
        raise BadRequest(f"{what}: {answer.message}")
    if not isinstance(answer, expected):
        raise Unavailable(f"{what} could not be read just now; try again.")
    return answer


def _answer(data: bytes, what: str, uid: int | None) -> Answer:
    with _turn(_inside, 0), _turn(_lanes[uid], WAIT_SECONDS), _turn(_slots, WAIT_SECONDS):
        return _run(data, what, uid)


@contextmanager
def _turn(lock: threading.Lock | threading.Semaphore, seconds: float) -> Iterator[None]:
    if not lock.acquire(timeout=seconds):
        raise TooManyRequests("Too many notebooks are being converted.", 5)
    try:
        yield
    finally:
        lock.release()


def _run(data: bytes, what: str, uid: int | None) -> Answer:
    command = [sys.executable, "-P", "-m", "hub.notebook_files.worker", *([] if uid is None else [str(uid)])]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(
            command, input=data, capture_output=True, timeout=SECONDS, env=environment, cwd="/", check=False
        )
    except subprocess.TimeoutExpired as error:
        raise TooLarge(f"{what} took longer than {SECONDS} seconds to be converted.") from error
    if done.returncode != 0:
        log.warning("a notebook's process ended with %s: %s", done.returncode, done.stderr[-2000:])
        raise TooLarge(f"{what} is too large, or too deeply nested, to be converted.")
    answer: Answer = msgspec.msgpack.decode(done.stdout, type=Answer)
    return answer
