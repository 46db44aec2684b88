"""A child process that is given bytes and gives bytes, within a deadline, and is gone afterwards in any case."""

from __future__ import annotations

import asyncio
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
    """Run ``python -m module`` with this interpreter. Raises TimeoutError when it takes longer than `seconds`.

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
            output, complaints = await child.communicate(stdin)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return Ended(child.returncode or 0, output, complaints.decode("utf-8", "replace").strip())
