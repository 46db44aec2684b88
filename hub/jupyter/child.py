"""A child process that is given bytes and gives bytes, within a deadline, and is gone afterwards in any case."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended, what it wrote, and what it complained about."""

    status: int
    output: bytes
    complaints: str


class TooMuchOutput(Exception):
    """A child wrote more than it may."""


MAX_OUTPUT_BYTES = 256 * 1024**2
REAP_SECONDS = 5.0
_PIECE_BYTES = 256 * 1024

BARE_ENVIRONMENT: Mapping[str, str] = {
    "PYTHONPATH": str(Path(__file__).parents[2]),
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
}
"""For children that read what strangers wrote: nothing of the hub's own environment, which may hold secrets."""


async def run_module(
    module: str,
    *arguments: str,
    stdin: bytes = b"",
    seconds: float,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run ``python -m module`` with this interpreter.

    Raises TimeoutError when it takes longer than `seconds`, TooMuchOutput when it writes more than MAX_OUTPUT_BYTES.

    With an `environment` it has that one and begins in ``/``; without, it has the hub's own.

    Resource handling: the child is killed and reaped when the deadline passes or the caller is cancelled.
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=None if environment is None else {**environment},
        cwd=None if environment is None else "/",
    )
    try:
        async with asyncio.timeout(seconds):
            output, complaints = await _talk(child, stdin)
    finally:
        if child.returncode is None:
            child.kill()
        # A pipe that nobody reads any more would keep `wait` from returning; so would a grandchild that holds it.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REAP_SECONDS):
                await asyncio.gather(_read_away(child.stdout), _read_away(child.stderr))
                await child.wait()
    return Ended(child.returncode or 0, output, complaints.decode("utf-8", "replace").strip())


async def _talk(child: asyncio.subprocess.Process, stdin: bytes) -> tuple[bytes, bytes]:
    """Give it its input, and what it wrote to both streams. Raises TooMuchOutput."""
    try:
        async with asyncio.TaskGroup() as talk:
            talk.create_task(_give(child.stdin, stdin), name="child.stdin")
            output = talk.create_task(_all(child.stdout), name="child.stdout")
            complaints = talk.create_task(_all(child.stderr), name="child.stderr")
    except* TooMuchOutput as errors:
        raise TooMuchOutput from errors
    await child.wait()
    return output.result(), complaints.result()


async def _give(stream: asyncio.StreamWriter | None, data: bytes) -> None:
    if stream is None:
        return
    try:
        stream.write(data)
        await stream.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass  # it ended before it read everything; its status says why
    finally:
        stream.close()


async def _all(stream: asyncio.StreamReader | None) -> bytes:
    data = bytearray()
    while stream is not None and (piece := await stream.read(_PIECE_BYTES)):
        data += piece
        if len(data) > MAX_OUTPUT_BYTES:
            raise TooMuchOutput
    return bytes(data)


async def _read_away(stream: asyncio.StreamReader | None) -> None:
    while stream is not None and await stream.read(_PIECE_BYTES):
        pass
