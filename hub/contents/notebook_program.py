"""The program that does one piece of work with large notebooks: ``python -m hub.contents.notebook_program 5 6 7``.

The job comes as JSON on the standard input, its outcome goes as JSON to the standard output. The arguments are
descriptors: of the file that is given, of an empty one for the result, and of the file that the notebook would
replace (-1: none). So the hub never holds what is in them. See `notebook_process`, which starts it.
"""

from __future__ import annotations

import errno
import hashlib
import sys
from collections.abc import Sequence
from typing import Literal

import msgspec

from hub.contents import notebooks, unchanged
from hub.contents.drafts import write_all
from hub.contents.file_content import decode_content
from hub.contents.large import HUB_IS_FULL
from hub.contents.models import TYPES, SaveRequest
from hub.contents.own_process import confine, read_whole
from hub.errors import BadRequest, HubError, NoSpace, TooLarge

SECONDS = 120
MEMORY_BYTES = 8 * 1024**3
RESULT_BYTES = 1024**3
"""Most that a result may have: indenting makes some documents a hundred times as long."""
MAX_MESSAGE_CHARS = 4000
_TROUBLE: dict[int | None, tuple[type[HubError], str]] = {
    errno.EFBIG: (TooLarge, "{path} is too large to be saved or opened here."),
    errno.ENOSPC: (NoSpace, HUB_IS_FULL),
    errno.EDQUOT: (NoSpace, HUB_IS_FULL),
}


class Show(msgspec.Struct, frozen=True, tag=True):
    """Make a notebook file ready for the wire; see `notebooks.show`."""

    path: str
    trusted: bool


class Write(msgspec.Struct, frozen=True, tag=True):
    """Make a notebook ready for the disk; see `notebooks.write`."""

    path: str
    strip: Sequence[str] | None


class Unpack(msgspec.Struct, frozen=True, tag=True):
    """Make the content of a save request, which is given, ready for the disk. `strip` as in `notebooks.write`."""

    path: str
    strip: Sequence[str] | None


Job = Show | Write | Unpack


class Outcome(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What came of it, but for the bytes, which are in the result. As in `notebooks.Shown` and `notebooks.Written`.

    `digest` is the result's SHA-256 (None for what goes to the wire). `request` is what was unpacked, without its
    content; `kind` says what the content was, None: there was none that is wanted.
    """

    digest: str | None = None
    message: str | None = None
    trusted: bool = False
    formats: str | None = None
    language_extension: str | None = None
    request: SaveRequest | None = None
    kind: Literal["notebook", "file"] | None = None


class Refusal(msgspec.Struct, frozen=True, tag=True):
    """What is wrong with what was given: the code and message of a HubError."""

    code: str
    message: str


def do(job: Job, given: bytes, before: bytes | None) -> tuple[Outcome, bytes]:
    """The outcome and the result's bytes. Raises HubErrors. Pure, and slow."""
    if isinstance(job, Show):
        shown = notebooks.show(given, job.path, job.trusted)
        message = shown.message and shown.message[:MAX_MESSAGE_CHARS]
        said = Outcome(message=message, formats=shown.formats, language_extension=shown.language_extension)
        return said, shown.content
    if isinstance(job, Write):
        return _written(notebooks.write(given, job.path, job.strip))
    return _unpack(job, given, before)


def _unpack(job: Unpack, given: bytes, before: bytes | None) -> tuple[Outcome, bytes]:
    try:
        request = msgspec.json.decode(given, type=SaveRequest)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The request's body is not as expected: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("The request's body is not valid JSON.") from error
    content, request.content = request.content, msgspec.UNSET
    if request.type is not None and request.type not in TYPES:
        request.type = "file"
    kind = request.type or ("notebook" if job.path.endswith(".ipynb") else "file")
    if content is msgspec.UNSET or request.copy_from or kind == "directory":
        return Outcome(request=request), b""
    if kind == "file" or request.chunk is not None:
        data = decode_content(content, request.format, job.path)
        return Outcome(request=request, kind="file", digest=_digest(data)), data
    written = notebooks.write(bytes(content), job.path, job.strip)
    if before is not None:
        written = unchanged.keep(before, written, job.path)
    outcome, data = _written(written)
    return msgspec.structs.replace(outcome, request=request, kind="notebook"), data


def _written(written: notebooks.Written[bytes]) -> tuple[Outcome, bytes]:
    said = Outcome(
        digest=_digest(written.data),
        trusted=written.trusted,
        formats=written.formats,
        language_extension=written.language_extension,
    )
    return said, written.data


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main() -> None:
    """The process: one job, within bounds."""
    confine(memory_bytes=MEMORY_BYTES, cpu_seconds=SECONDS, file_bytes=RESULT_BYTES)
    given, result, before = map(int, sys.argv[1:])
    job: Job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    said: Outcome | Refusal
    try:
        said, data = do(job, read_whole(given), read_whole(before) if before >= 0 else None)
        write_all(result, data)
    except HubError as error:
        said = Refusal(error.code, error.message[:MAX_MESSAGE_CHARS])
    except OSError as error:
        if error.errno not in _TROUBLE:
            raise
        kind, message = _TROUBLE[error.errno]
        said = Refusal(kind.code, message.format(path=job.path))
    sys.stdout.buffer.write(msgspec.json.encode(said))


if __name__ == "__main__":
    main()
