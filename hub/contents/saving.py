"""Saving: what ``PUT api/contents`` does. All or nothing. Blocking; for worker threads."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import datetime

import msgspec

from hub.contents import checkpoints, choosing, pairing, uploads
from hub.contents.beneath import Home, Owner
from hub.contents.desk import Desk
from hub.contents.drafts import write_whole
from hub.contents.file_content import decode_content
from hub.contents.large import Data, ScratchFile, closing, pieces_of
from hub.contents.listing import model_of
from hub.contents.models import TYPES, ContentType, Limits, Saved, SaveRequest
from hub.contents.notebook_process import Unpacked
from hub.contents.paths import ApiPath, refuse_hidden_change
from hub.errors import BadRequest, HubError
from hub.notebook_files import pairs
from hub.notebook_files.choices import Choices


def save(owner: Owner, path: ApiPath, request: SaveRequest, desk: Desk, limits: Limits, now: datetime) -> Saved:
    """Write what the request says to `path`; see `hub.contents.service.Contents.save`."""
    refuse_hidden_change(path, limits.allow_hidden)
    if not path.parts:
        raise BadRequest("This cannot be done to your home folder itself.")
    if request.chunk is not None:
        _check_chunk(path, request)
        if request.content is msgspec.UNSET:
            raise BadRequest(f"{path}: the chunk has no content.")
        return _save_chunk(owner, path, request.chunk, decode_content(request.content, request.format, path), now)
    kind = request.type or _type_of_new(owner, path)
    if kind == "directory":
        return _save_folder(owner, path)
    if kind not in TYPES:
        raise BadRequest(f"{path}: there is no type {kind!r}; it must be file, notebook or directory.")
    if request.content is msgspec.UNSET:
        return _save_empty(owner, path, kind, request, desk)
    if kind == "notebook":
        choices = choosing.for_notebook(owner, path, desk.choices.get())
        written = desk.accept(bytes(request.content), str(path), _strip_of(choices))
        return pairing.save(owner, path, written, choices, desk)
    return _save_file(owner, path, request, decode_content(request.content, request.format, path))


def save_large(owner: Owner, path: ApiPath, body: ScratchFile, desk: Desk, limits: Limits, now: datetime) -> Saved:
    """As `save`, of the request whose JSON is `body`, which it closes; see `hub.contents.service.Contents`."""
    with ExitStack() as stack:
        stack.enter_context(body)
        refuse_hidden_change(path, limits.allow_hidden)
        choices = choosing.for_notebook(owner, path, desk.choices.get())
        before = _open_before(owner, path, stack, 2 * limits.document_bytes)
        unpacked = desk.unpack(body, str(path), _strip_of(choices), before)
    with closing(unpacked.data):
        return _save_unpacked(owner, path, unpacked, choices, desk, limits, now)


def _save_unpacked(
    owner: Owner, path: ApiPath, unpacked: Unpacked, choices: Choices, desk: Desk, limits: Limits, now: datetime
) -> Saved:
    request = unpacked.request
    if request.copy_from:
        raise BadRequest("Cannot copy with PUT, only POST")
    if not path.parts or (unpacked.notebook is None and unpacked.file is None):
        return save(owner, path, request, desk, limits, now)
    if request.chunk is not None and unpacked.file is not None:
        _check_chunk(path, request)
        return _save_chunk(owner, path, request.chunk, unpacked.file, now)
    if request.type is None:
        _type_of_new(owner, path)
    if unpacked.notebook is not None:
        return pairing.save(owner, path, unpacked.notebook, choices, desk)
    return _save_file(owner, path, request, unpacked.file or b"")


def _open_before(owner: Owner, path: ApiPath, stack: ExitStack, most: int) -> int | None:
    """The notebook that a save would replace, open until the stack is closed; None where it is not compared."""
    if pairs.is_text(path.name):
        return None
    with suppress(HubError), owner.at_home(path) as home:
        file = stack.enter_context(io.FileIO(home.open_file(path)))
        return file.fileno() if os.fstat(file.fileno()).st_size <= most else None
    return None


def _strip_of(choices: Choices) -> Sequence[str] | None:
    """Which metadata a save leaves out beside the outputs; None: it leaves out nothing."""
    return (choices.strip_keys or ()) if choices.strip == "save" else None


def _type_of_new(owner: Owner, path: ApiPath) -> str:
    """The type of a file that is not there yet, by its name. Raises BadRequest when it is there."""
    with owner.at_home(path) as home:
        if home.find(path) is not None:
            raise BadRequest(f"{path} was not saved: the request does not say of which type it is.")
    return "notebook" if path.name.endswith(".ipynb") else "file"


def _save_folder(owner: Owner, path: ApiPath) -> Saved:
    with owner.at_home(path) as home:
        found = home.find(path)
        if found is not None and not stat.S_ISDIR(found.st_mode):
            raise BadRequest(f"{path} is not a directory")
        if found is None:
            with home.place(path) as place:
                place.folder.make_folder(place.name)
        return Saved(model_of(home, path, home.stat(path)), created=found is None)


def _save_empty(owner: Owner, path: ApiPath, kind: str, request: SaveRequest, desk: Desk) -> Saved:
    """For a request without content: only a file that is not there yet is made empty."""
    with owner.at_home(path) as home:
        if home.find(path) is not None:
            raise BadRequest(f"{path} was not saved: the request has no content.")
    if kind == "file":
        return _save_file(owner, path, request, b"")
    data = desk.new()
    with owner.at_home(path) as home:
        saved = _write(home, path, data, "notebook")
        checkpoints.ensure(home, path)
    return saved


def _save_file(owner: Owner, path: ApiPath, request: SaveRequest, data: Data) -> Saved:
    with owner.at_home(path) as home:
        return _write(home, path, data, "file" if request.type == "file" else None)


def _check_chunk(path: ApiPath, request: SaveRequest) -> None:
    if request.type not in (None, "file"):
        raise BadRequest(f"{path}: only files can be uploaded in chunks, not type {request.type!r}.")


def _save_chunk(owner: Owner, path: ApiPath, chunk: int, data: Data, now: datetime) -> Saved:
    with owner.at_home(path) as home:
        return uploads.add_chunk(home, path, chunk, pieces_of(data), now)


def _write(home: Home, path: ApiPath, data: Data, kind: ContentType | None) -> Saved:
    with home.target(path) as place:
        whole = write_whole(place, pieces_of(data))
    return Saved(model_of(home, path, whole.stat, kind), whole.created)
