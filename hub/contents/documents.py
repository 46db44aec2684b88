"""Reading: what ``GET api/contents`` answers. Blocking; for worker threads."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

import msgspec

from hub.contents import pairing
from hub.contents.beneath import Home, Owner
from hub.contents.desk import Desk
from hub.contents.drafts import pieces_of
from hub.contents.file_content import encode_base64, encode_text
from hub.contents.large import LARGE_BYTES, Data, Scratch, ScratchFile, closing, digest_of, size_of
from hub.contents.listing import kind_of, list_folder, model_of
from hub.contents.models import ContentType, Limits, Model
from hub.contents.paths import ApiPath, refuse_hidden
from hub.contents.refusals import refusing
from hub.errors import BadRequest, NotebookInvalid, TooLarge

HASH_ALGORITHM = "sha256"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted of a path, and when; see `hub.contents.service.Contents.get`."""

    type: str | None
    format: str | None
    content: bool
    hash: bool
    at: datetime


def get(owner: Owner, path: ApiPath, asked: Asked, desk: Desk, limits: Limits) -> Model:
    """The model of what is at `path`; see `hub.contents.service.Contents.stream`. Large content is in a file."""
    if asked.type not in (None, "file", "notebook", "directory") or asked.format not in (None, "text", "base64"):
        raise BadRequest(f"Type {asked.type!r} with format {asked.format!r} is not something that can be asked for.")
    refuse_hidden(path, limits.allow_hidden)
    data: Data | None = None
    digest = None
    with ExitStack() as stack:
        with owner.at_home(path) as home:
            found = _find(home, path, asked.type)
            if stat.S_ISDIR(found.st_mode):
                return _folder(home, path, found, asked, limits)
            file = None
            if asked.content or asked.hash:
                file = stack.enter_context(io.FileIO(home.open_file(path)))
                found = os.fstat(file.fileno())
            model = model_of(home, path, found, _asked_type(asked))
        with refusing(path):
            if file is not None and asked.content:
                data = take(file, path, limits.document_bytes, desk.scratch)
            elif file is not None and found.st_size <= limits.document_bytes:
                digest = _hash_of(file)
    if data is not None:
        digest = digest_of(data)
        with closing(data):
            if model.type == "notebook":
                _fill_notebook(owner, path, model, data, digest, asked, desk, limits)
            else:
                _fill(model, data, asked.format, desk.scratch)
    digest = pairing.of_all(owner, path, model, digest if asked.hash else None, desk)
    if asked.hash and digest is not None:
        model.hash, model.hash_algorithm = digest, HASH_ALGORITHM
    return model


def get_in_memory(owner: Owner, path: ApiPath, asked: Asked, desk: Desk, limits: Limits) -> Model:
    """As `get`, with all content in memory."""
    model = get(owner, path, asked, desk, limits)
    if isinstance(model.content, ScratchFile):
        with model.content:
            content = model.content.read()
        model.content = msgspec.Raw(content) if model.format == "json" else msgspec.json.decode(content, type=str)
    return model


def find_type(owner: Owner, path: ApiPath, limits: Limits) -> str | None:
    """``file``, ``directory``, or None."""
    if path.hidden and not limits.allow_hidden:
        return None
    with owner.at_home(path) as home:
        found = home.find(path)
    return None if found is None else kind_of(found)


def trust(owner: Owner, path: ApiPath, desk: Desk, limits: Limits) -> None:
    """Trust the notebook's present bytes. Raises BadRequest when it is not a notebook."""
    refuse_hidden(path, limits.allow_hidden)
    data = _take_at(owner, path, desk, limits)
    with closing(data):
        desk.trust(data, str(path))


def without_outputs(owner: Owner, path: ApiPath, keys: Sequence[str], desk: Desk, limits: Limits) -> Data:
    """The notebook file without its outputs (see `hub.notebook_files.stripping`). Raises BadRequest, TooLarge."""
    refuse_hidden(path, limits.allow_hidden)
    data = _take_at(owner, path, desk, limits)
    try:
        with closing(data):
            return desk.accept(data, str(path), keys).data
    except NotebookInvalid as error:
        raise BadRequest(f"The outputs of {path} cannot be left out: it is not a valid notebook.") from error


def _find(home: Home, path: ApiPath, type: str | None) -> os.stat_result:
    """What is at `path`. Raises BadRequest when it is not of this type, or neither file nor folder."""
    found = home.stat(path)
    kind = kind_of(found)
    if kind is None:
        raise BadRequest(f"{path} is not a regular file.")
    if kind == "directory" and type not in (None, "directory"):
        raise BadRequest(f"{path} is a directory, not a {type}")
    if kind == "file" and type == "directory":
        raise BadRequest(f"{path} is not a directory")
    return found


def _folder(home: Home, path: ApiPath, found: os.stat_result, asked: Asked, limits: Limits) -> Model:
    model = model_of(home, path, found)
    if asked.content:
        model.content = list_folder(home, path, asked.at, show_hidden=limits.allow_hidden)
        model.format = "json"
    return model


def _asked_type(asked: Asked) -> ContentType | None:
    if asked.type == "notebook":
        return "notebook"
    return "file" if asked.type == "file" else None


def _take_at(owner: Owner, path: ApiPath, desk: Desk, limits: Limits) -> Data:
    with ExitStack() as stack:
        with owner.at_home(path) as home:
            file = stack.enter_context(io.FileIO(home.open_file(path)))
        with refusing(path):
            return take(file, path, limits.document_bytes, desk.scratch)


def take(file: io.FileIO, path: ApiPath, limit: int, scratch: Scratch) -> Data:
    """The whole open file as it is now. Raises TooLarge when it has more than `limit` bytes.

    A large one is copied, as it may change while it is worked with.
    """
    small = os.pread(file.fileno(), LARGE_BYTES, 0) if os.fstat(file.fileno()).st_size < LARGE_BYTES else None
    is_small = small is not None and len(small) < LARGE_BYTES  # else it has just grown
    data = small if is_small else scratch.copy(file.fileno(), limit)
    if data is None or size_of(data) > limit:
        raise TooLarge(f"{path} is larger than {limit // 1024**2} MiB, too large to open here; download it.")
    return data


def _fill_notebook(
    owner: Owner, path: ApiPath, model: Model, data: Data, digest: str, asked: Asked, desk: Desk, limits: Limits
) -> None:
    """Put the notebook into the model; what is none is given as text with a message, unless a notebook is asked for."""
    try:
        pairing.fill(owner, path, model, data, digest, desk, limits)
    except BadRequest as error:
        if asked.type == "notebook":
            raise
        model.type, model.message = "file", error.message
        _fill(model, data, asked.format, desk.scratch)


def _hash_of(file: io.FileIO) -> str:
    digest = hashlib.new(HASH_ALGORITHM)
    for piece in pieces_of(file.fileno()):
        digest.update(piece)
    return digest.hexdigest()


def _fill(model: Model, data: Data, format: str | None, scratch: Scratch) -> None:
    """Put the content into the model, and its format: text where it is UTF-8, unless base64 is asked for."""
    text: str | ScratchFile | None = None
    if format != "base64":
        try:
            text = data.decode() if isinstance(data, bytes) else scratch.fill(encode_text(data.file.pieces()))
        except UnicodeDecodeError as error:
            if format == "text":
                raise BadRequest(f"{model.path} is not UTF-8 encoded") from error
    if text is not None:
        model.content, model.format = text, "text"
    elif isinstance(data, bytes):
        model.content, model.format = base64.b64encode(data).decode("ascii"), "base64"
    else:
        model.content, model.format = scratch.fill(encode_base64(data.file.pieces())), "base64"
    if model.mimetype is None:
        model.mimetype = "text/plain" if model.format == "text" else "application/octet-stream"
