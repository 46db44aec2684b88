"""A save without a change: the file keeps its bytes, however it was written.

Browsers know one kind of number, so JupyterLab sends back 1 where the file has 1.0; and other programs write
notebooks with other indents or orders than Jupyter. Neither is a change, and neither may look like one to git.
"""

from __future__ import annotations

import io
import json
import os
from contextlib import suppress
from dataclasses import replace
from typing import Any

from hub.contents.beneath import Owner
from hub.contents.drafts import pieces_of
from hub.contents.large import LARGE_BYTES, Data
from hub.contents.notebooks import Written
from hub.contents.paths import ApiPath
from hub.errors import Conflict, HubError


def keep_bytes(owner: Owner, path: ApiPath, written: Written[Data]) -> Written[Data]:
    """What is to be written instead where the file at `path` is small; see `keep`. Blocking; for worker threads.

    Large notebooks are compared by `notebook_program` when their request is unpacked.
    """
    data = written.data
    before = _read(owner, path) if isinstance(data, bytes) and len(data) < LARGE_BYTES else None
    if before is None or not isinstance(data, bytes):
        return written
    return keep(before, Written(data, written.trusted, written.formats, written.language_extension), path)


def keep(before: bytes, written: Written[bytes], path: object) -> Written[bytes]:
    """What is to be written: the bytes that the file at `path` has, if they say the same. Pure.

    Raises Conflict for a file that is no notebook: JupyterLab, which could not open it, would offer to save an empty
    one in its place.
    """
    if before == written.data:
        return written
    if before.strip() and not is_json(before):
        raise Conflict(
            f"{path} was not saved: the file on the disk is not a notebook and would be lost. Mend it as text "
            "(in JupyterLab: Open With, Editor), or rename or delete it first."
        )
    return replace(written, data=before) if say_the_same(before, written.data) else written


def is_json(data: bytes) -> bool:
    """Whether it can be read as JSON at all. Pure."""
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def say_the_same(one: bytes, other: bytes) -> bool:
    """Whether two JSON documents have the same values, 1 and 1.0 being the same, true and 1 not. Pure."""
    try:
        return _same(json.loads(one), json.loads(other))
    except (ValueError, RecursionError):
        return False


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other) and isinstance(one, bool) is isinstance(other, bool)


def _read(owner: Owner, path: ApiPath) -> bytes | None:
    with suppress(HubError), owner.at_home(path) as home, io.FileIO(home.open_file(path)) as file:
        if os.fstat(file.fileno()).st_size < LARGE_BYTES:
            return b"".join(pieces_of(file.fileno()))
    return None
