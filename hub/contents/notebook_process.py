"""Big notebooks in a process of their own: parsing 100 MB holds Python's lock for most of a second at a time.

In a process of its own other users notice nothing, the memory is given back, and a document made to exhaust it ends
that process alone. It costs 0.3 s, so small ones stay in their thread. Bytes go there and back in files that have no
name, so the hub never holds them (see `large`).
"""

from __future__ import annotations

import logging
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import msgspec

from hub.contents import notebooks, own_process
from hub.contents.large import LARGE_BYTES, Data, Large, Scratch, ScratchFile
from hub.contents.models import SaveRequest
from hub.contents.notebook_program import SECONDS, Job, Outcome, Refusal, Show, Unpack, Write
from hub.contents.notebooks import Shown, Written
from hub.errors import BadRequest, Conflict, HubError, NoSpace, NotebookInvalid, TooLarge, TooManyRequests, Unavailable

PROGRAM = "hub.contents.notebook_program"
PROCESSES = 2
WAIT_SECONDS = 60
MOST_WAITING = 16
"""Threads that may be in here at once: they are those of all file work (`workers`), and others need them."""

log = logging.getLogger(__name__)

_inside = threading.BoundedSemaphore(MOST_WAITING)
_slots = threading.BoundedSemaphore(PROCESSES)
_lanes: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
"""One process at a time for each user, so that nobody's large notebooks keep all slots."""
_ERRORS: dict[str, type[HubError]] = {
    kind.code: kind for kind in (BadRequest, NotebookInvalid, Conflict, NoSpace, TooLarge)
}


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A save request whose body is large: `request` has no content, it is apart and ready for the disk.

    At most one of `notebook` and `file` is there; none when the request has no content that is wanted.
    """

    request: SaveRequest
    notebook: Written[Data] | None = None
    file: Large | None = None

    @property
    def data(self) -> Data | None:
        """The content, whatever it is."""
        return self.file if self.notebook is None else self.notebook.data


class NotebookProcess:
    """Work with one user's notebooks, where their size demands it in a process of its own. Blocking; for threads.

    `user` is any name for the user: who has one process under way waits for it with the next.
    """

    def __init__(self, scratch: Scratch, user: str) -> None:
        self.scratch = scratch
        self._user = user

    def show(self, data: Data, path: str, trusted: bool) -> Shown[bytes | ScratchFile]:
        """As `notebooks.show`."""
        if isinstance(data, bytes) and len(data) < LARGE_BYTES:
            return notebooks.show(data, path, trusted)
        said, result = self._apart(Show(path, trusted), self._file_of(data))
        return Shown(result, said.message, said.formats, said.language_extension)

    def write(self, content: Data, path: str, strip: Sequence[str] | None = None) -> Written[Data]:
        """As `notebooks.write`."""
        if isinstance(content, bytes) and len(content) < LARGE_BYTES:
            return notebooks.write(content, path, strip)
        said, result = self._apart(Write(path, strip), self._file_of(content))
        return _written(said, result)

    def unpack(
        self, body: ScratchFile, path: str, strip: Sequence[str] | None = None, before_fd: int | None = None
    ) -> Unpacked:
        """The save request whose JSON is `body`. `strip` as in `notebooks.write`; `before_fd` is the open notebook
        that it would replace, None: it is not compared.

        Raises BadRequest for a body that is not as expected, and as `notebooks.write` and `unchanged.keep` do.
        """
        said, result = self._apart(Unpack(path, strip), body, before_fd)
        request = said.request or SaveRequest()
        if said.kind == "notebook":
            return Unpacked(request, notebook=_written(said, result))
        return Unpacked(request, file=None if said.kind is None else Large(result, said.digest or ""))

    def _file_of(self, data: Data) -> ScratchFile:
        return data.file if isinstance(data, Large) else self.scratch.fill([data])

    def _apart(self, job: Job, given: ScratchFile, before_fd: int | None = None) -> tuple[Outcome, ScratchFile]:
        """Do the job in a new process; gives what it says, and the result.

        Raises what it finds wrong, TooLarge when it dies of it, Unavailable when it is too slow.
        """
        result = self.scratch.open()
        with ExitStack() as stack:
            stack.enter_context(result)
            said = self._run(job, [given.fd, result.fd, -1 if before_fd is None else before_fd])
            stack.pop_all()
        return said, result

    def _run(self, job: Job, descriptors: list[int]) -> Outcome:
        with _turn(_inside, 0), _turn(_lanes[self._user], WAIT_SECONDS), _turn(_slots, WAIT_SECONDS):
            try:
                done = own_process.start(PROGRAM, msgspec.json.encode(job), descriptors, SECONDS)
            except subprocess.TimeoutExpired as error:
                raise Unavailable(f"{job.path} took too long to be read as a notebook; try again.") from error
        if done.returncode != 0:
            log.warning("a notebook's process ended with %s: %s", done.returncode, done.stderr[-2000:])
            raise TooLarge(f"{job.path} is too large or too deeply nested to be read as a notebook.")
        said: Outcome | Refusal = msgspec.json.decode(done.stdout, type=Outcome | Refusal)
        if isinstance(said, Refusal):
            raise _ERRORS[said.code](said.message)
        return said


def _written(said: Outcome, result: ScratchFile) -> Written[Data]:
    if result.size_bytes >= LARGE_BYTES:
        return Written(Large(result, said.digest or ""), said.trusted, said.formats, said.language_extension)
    with result:
        return Written(result.read(), said.trusted, said.formats, said.language_extension)


@contextmanager
def _turn(lock: threading.Lock | threading.Semaphore, seconds: float) -> Iterator[None]:
    if not lock.acquire(timeout=seconds):
        raise TooManyRequests("Too many large notebooks are being opened and saved.", 5)
    try:
        yield
    finally:
        lock.release()
