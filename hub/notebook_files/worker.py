"""The program that reads strangers' notebooks: ``python -m hub.notebook_files.worker``, one job, one answer.

Everything needed is imported first; then rights, memory and time are given up, and starting programs and opening
sockets are made impossible (jupytext starts pandoc, quarto or marimo for texts that say so). See `apart`.
"""

from __future__ import annotations

import os
import resource
import sys
import warnings

# jupytext looks for these to build contents managers that nobody needs here; without them it starts in a third of
# the time. The last one is explained in hub.contents.
for _name in ("jupyter_server", "notebook", "rfc3987_syntax"):
    sys.modules[_name] = None  # type: ignore[assignment]

import msgspec  # noqa: E402
import nbformat  # noqa: E402

from hub.notebook_files import texts  # noqa: E402
from hub.notebook_files.doing import answer  # noqa: E402
from hub.notebook_files.jobs import Answer, Compare, Job, ReadText, Refused, WriteText  # noqa: E402

MEMORY_BYTES = 2 * 1024**3
CPU_SECONDS = 30
MAX_ANSWER_BYTES = 64 * 1024**2
"""The hub holds an answer in memory, and a text of a few kilobytes can say how to make gigabytes (YAML's aliases)."""
_FORBIDDEN = ("subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "os.spawn", "socket.", "pty.")


def main() -> None:
    """Read the job, give up rights, answer."""
    uid = int(sys.argv[1]) if len(sys.argv) > 1 else None
    job = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Job)
    _warm_up(job)
    _give_up_rights(uid)
    sys.stdout.buffer.write(encoded(answer(job)))


def encoded(said: Answer, most_bytes: int = MAX_ANSWER_BYTES) -> bytes:
    """The answer as it goes to the hub; one that is too large as a refusal."""
    data = msgspec.msgpack.encode(said)
    if len(data) > most_bytes:
        return msgspec.msgpack.encode(Refused(f"its other form is larger than {most_bytes // 1024**2} MiB"))
    return data


def _warm_up(job: Job) -> None:
    """Load what is loaded at first use: its files may not be readable afterwards."""
    for minor in range(6):
        text = f'{{"cells": [], "metadata": {{}}, "nbformat": 4, "nbformat_minor": {minor}}}'
        nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
    if isinstance(job, Compare):
        return
    sample = texts.read_text(ReadText(b"---\njupyter:\n  jupytext: {}\n---\n\n# x\n", ".md"))
    texts.write_text(WriteText(sample.notebook, ".py", "percent", ""))


def _give_up_rights(uid: int | None) -> None:
    warnings.simplefilter("ignore")
    os.chdir("/")
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    sys.addaudithook(_refuse)


def _refuse(event: str, _arguments: object) -> None:
    if event.startswith(_FORBIDDEN):
        raise PermissionError("This form of notebooks needs a program that the hub does not start.")


if __name__ == "__main__":
    main()
