"""A child process that is given bytes and gives bytes, within a deadline, and is gone afterwards in any case."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended, what it wrote, and what it complained about."""

    status: int
    output: bytes
    complaints: str


async def run_module(module: str, *arguments: str, stdin: bytes = b"", seconds: float) -> Ended:
    """Run ``python -m module`` with this interpreter. Raises TimeoutError when it takes longer than `seconds`.

    Resource handling: the child is killed and reaped when the deadline passes or the caller is cancelled.
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            output, complaints = await child.communicate(stdin)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return Ended(child.returncode or 0, output, complaints.decode("utf-8", "replace").strip())
