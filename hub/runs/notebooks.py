"""What a run has to know of a notebook: its kernel. And parameters put into it, in a process of its own.

A notebook is a stranger's document of up to 128 MiB, and papermill, which knows how to write parameters in a dozen
languages, is a large library: both stay out of the hub's process.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from hub.domain.ids import UserId
from hub.errors import BadRequest, TooLarge, Unavailable

log = logging.getLogger(__name__)

CHILD_SECONDS = 120.0
REFUSED = 3
"""Exit status of a child that says, on stdout, what is wrong with what it was given."""
MAX_PARAMETERS_BYTES = 256 * 1024
_NAME = re.compile(r"[^\W\d][\w.]{0,199}\Z")
_slots = asyncio.Semaphore(2)
_lanes: WeakValueDictionary[UserId, asyncio.Lock] = WeakValueDictionary()


class _Kernelspec(msgspec.Struct):
    name: str = ""
    language: str = ""


class _LanguageInfo(msgspec.Struct):
    name: str = ""


class _Metadata(msgspec.Struct):
    kernelspec: _Kernelspec = msgspec.field(default_factory=_Kernelspec)
    language_info: _LanguageInfo = msgspec.field(default_factory=_LanguageInfo)


class _Notebook(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class Wanted(msgspec.Struct, frozen=True):
    """The kernel that a notebook names, and its language; empty where it does not say."""

    kernel: str
    language: str


def wanted_kernel(content: bytes) -> Wanted:
    """What the notebook says of its kernel. Pure; slow for big ones, so for worker threads."""
    try:
        metadata = msgspec.json.decode(content, type=_Notebook).metadata
    except (msgspec.DecodeError, RecursionError):
        return Wanted("", "")
    language = metadata.kernelspec.language or metadata.language_info.name
    return Wanted(metadata.kernelspec.name[:256], language[:64])


def require_parameters(parameters: dict[str, Any]) -> None:
    """Raise BadRequest for names that no language could assign to, and for more than there may be."""
    for name in parameters:
        if not _NAME.match(name):
            raise BadRequest(f"{name[:100]!r} cannot be the name of a parameter: it must be a variable's name.")
    if len(msgspec.json.encode(parameters)) > MAX_PARAMETERS_BYTES:
        raise BadRequest(f"The parameters are larger than {MAX_PARAMETERS_BYTES // 1024} KiB; pass a file's path.")


async def with_parameters(
    user_id: UserId, content: bytes, parameters: dict[str, Any], kernel: str, language: str
) -> bytes:
    """The notebook with a cell that sets the parameters, as papermill injects it.

    The cell follows the one tagged ``parameters``, or replaces the one tagged ``injected-parameters``, or comes first.
    Raises BadRequest where the notebook or the language do not allow it.
    """
    head = json.dumps({"parameters": parameters, "kernel": kernel, "language": language}).encode()
    return await run_child(user_id, "hub.runs.inject", len(head).to_bytes(8, "big") + head + content)


async def run_child(user_id: UserId, module: str, given: bytes) -> bytes:
    """Run ``python -m module`` on bytes. Raises BadRequest with what it refuses, TooLarge when it dies, Unavailable.

    One at a time for each user, so that nobody's slow notebooks keep all slots.
    """
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "LC_ALL": "C.UTF-8"}
    lane = _lanes.setdefault(user_id, asyncio.Lock())
    async with lane, _slots:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", module),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            cwd="/",
        )
        try:
            async with asyncio.timeout(CHILD_SECONDS):
                output, complaints = await child.communicate(given)
        except TimeoutError as error:
            raise Unavailable("The notebook took too long to be prepared; try again.") from error
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
    if child.returncode == REFUSED:
        raise BadRequest(output.decode("utf-8", "replace")[:2000])
    if child.returncode != 0:
        log.warning("%s ended with %s: %s", module, child.returncode, complaints[-2000:].decode("utf-8", "replace"))
        raise TooLarge("The notebook is too large or too deeply nested to be prepared.")
    return output
