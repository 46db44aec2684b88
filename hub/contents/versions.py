"""Versions of a notebook, compared: the file as it is now and its checkpoint. Blocking; for worker threads."""

from __future__ import annotations

import io
import os
from contextlib import ExitStack

from hub.contents import checkpoints
from hub.contents.beneath import Home, Owner
from hub.contents.drafts import pieces_of
from hub.contents.models import Limits
from hub.contents.paths import ApiPath, refuse_hidden
from hub.errors import BadRequest, NotFound, TooLarge
from hub.notebook_files import apart, pairs
from hub.notebook_files.jobs import Compare, Comparison, NotebookRead, ReadText

VERSIONS = ("checkpoint", "file")
MAX_BYTES = apart.MAX_BYTES // 2 - 1024


def compare(owner: Owner, path: ApiPath, old: str, new: str, limits: Limits) -> Comparison:
    """How the version `new` differs from `old`; each is one of `VERSIONS`.

    Raises NotFound when there is no checkpoint or file, BadRequest when one of them is not a notebook.
    """
    refuse_hidden(path, limits.allow_hidden)
    for version in (old, new):
        if version not in VERSIONS:
            raise BadRequest(f"There is no version {version[:40]!r}; it must be one of {', '.join(VERSIONS)}.")
    with owner.at_home(path) as home:
        data = [_read(home, path, version) for version in (old, new)]
    uid = owner.uid if owner.impersonate else None
    if pairs.is_text(path.name):
        end = "." + path.name.rpartition(".")[2]
        data = [apart.do(ReadText(one, end), NotebookRead, str(path), uid).notebook for one in data]
    return apart.do(Compare(*data), Comparison, str(path), uid)


def _read(home: Home, path: ApiPath, version: str) -> bytes:
    with ExitStack() as stack:
        if version == "checkpoint":
            try:
                kept = stack.enter_context(checkpoints.existing(home, path, checkpoints.ONLY_ID))
            except NotFound as error:
                os.close(home.open_file(path))  # of a notebook that does not exist this says so
                raise NotFound(f"{path} has no checkpoint yet; saving it by hand makes one.") from error
            fd = kept.folder.open_file(kept.name)
        else:
            fd = home.open_file(path)
        with io.FileIO(fd) as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                raise TooLarge(f"{path} is larger than {MAX_BYTES // 1024**2} MiB, too large to be compared.")
            return b"".join(pieces_of(file.fileno()))
