"""Reading: what ``GET api/contents`` answers. Blocking; for worker threads."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hub.contents import notebook_process, pairing
from hub.contents.beneath import Home, Owner
from hub.contents.desk import Desk
from hub.contents.drafts import pieces_of
from hub.contents.listing import kind_of, list_folder, model_of
from hub.contents.models import ContentType, Limits, Model
from hub.contents.paths import ApiPath, refuse_hidden
from hub.errors import BadRequest, NotebookInvalid, TooLarge

HASH_ALGORITHM = "sha256"
_BLANKS = b" \t\r\n"
"""What may stand between the characters of base64: encoders break its lines."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted of a path, and when; see `hub.contents.service.Contents.get`."""

    type: str | None
    format: str | None
    content: bool
    hash: bool
    at: datetime


def get(owner: Owner, path: ApiPath, asked: Asked, desk: Desk, limits: Limits) -> Model:
    """The model of what is at `path`; see `hub.contents.service.Contents.get`."""
    if asked.type not in (None, "file", "notebook", "directory") or asked.format not in (None, "text", "base64"):
        raise BadRequest(f"Type {asked.type!r} with format {asked.format!r} is not something that can be asked for.")
    refuse_hidden(path, limits.allow_hidden)
    data = digest = None
    with owner.at_home(path) as home:
        found = _find(home, path, asked.type)
        if stat.S_ISDIR(found.st_mode):
            return _folder(home, path, found, asked, limits)
        if asked.content or asked.hash:
            with io.FileIO(home.open_file(path)) as file:
                found = os.fstat(file.fileno())
                if asked.content:
                    data = read_bounded(file, found, path, limits.document_bytes)
                elif found.st_size <= limits.document_bytes:
                    digest = _hash_of(file)
        model = model_of(home, path, found, _asked_type(asked))
    if data is not None:
        digest = hashlib.sha256(data).hexdigest()
        if model.type == "notebook":
            _fill_notebook(owner, path, model, data, digest, asked, desk, limits)
        else:
            _fill(model, data, asked.format)
    digest = pairing.of_all(owner, path, model, digest if asked.hash else None, desk)
    if asked.hash and digest is not None:
        model.hash, model.hash_algorithm = digest, HASH_ALGORITHM
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
    with owner.at_home(path) as home, io.FileIO(home.open_file(path)) as file:
        data = read_bounded(file, os.fstat(file.fileno()), path, limits.document_bytes)
    desk.trust(data, str(path))


def without_outputs(owner: Owner, path: ApiPath, keys: Sequence[str], limits: Limits) -> bytes:
    """The notebook file without its outputs (see `hub.notebook_files.stripping`). Raises BadRequest, TooLarge."""
    refuse_hidden(path, limits.allow_hidden)
    with owner.at_home(path) as home, io.FileIO(home.open_file(path)) as file:
        data = read_bounded(file, os.fstat(file.fileno()), path, limits.document_bytes)
    try:
        return notebook_process.write(data, str(path), keys).data
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


def read_bounded(file: io.FileIO, found: os.stat_result, path: ApiPath, limit: int) -> bytes:
    """The whole file. Raises TooLarge when it has more than `limit` bytes, also if it grows meanwhile.

    One that does not grow is read at once, so that it is never held twice.
    """
    data = os.pread(file.fileno(), found.st_size + 1, 0) if found.st_size <= limit else b""
    if len(data) > found.st_size:
        pieces, size = [], 0
        for piece in pieces_of(file.fileno()):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                break
        data = b"".join(pieces)
    if max(len(data), found.st_size) > limit:
        raise TooLarge(f"{path} is larger than {limit // 1024**2} MiB, too large to open here; download it.")
    return data


def _fill_notebook(
    owner: Owner, path: ApiPath, model: Model, data: bytes, digest: str, asked: Asked, desk: Desk, limits: Limits
) -> None:
    """Put the notebook into the model; what is none is given as text with a message, unless a notebook is asked for."""
    try:
        pairing.fill(owner, path, model, data, digest, desk, limits)
    except BadRequest as error:
        if asked.type == "notebook":
            raise
        model.type, model.message = "file", error.message
        _fill(model, data, asked.format)


def _hash_of(file: io.FileIO) -> str:
    digest = hashlib.new(HASH_ALGORITHM)
    for piece in pieces_of(file.fileno()):
        digest.update(piece)
    return digest.hexdigest()


def _fill(model: Model, data: bytes, format: str | None) -> None:
    """Put the content into the model, and its format: text where it is UTF-8, unless base64 is asked for."""
    text = None
    if format != "base64":
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            if format == "text":
                raise BadRequest(f"{model.path} is not UTF-8 encoded") from error
    if text is not None:
        model.content, model.format = text, "text"
    else:
        model.content, model.format = base64.b64encode(data).decode("ascii"), "base64"
    if model.mimetype is None:
        model.mimetype = "text/plain" if model.format == "text" else "application/octet-stream"


def decode_content(content: object, format: str | None, path: ApiPath) -> bytes:
    """The bytes that a client sends as text or base64. Raises BadRequest."""
    if format not in ("text", "base64"):
        raise BadRequest(f"{path}: the format of a file's content must be 'text' or 'base64'.")
    if not isinstance(content, str):
        raise BadRequest(f"{path}: a file's content must be a string.")
    try:
        return (
            content.encode()
            if format == "text"
            else base64.b64decode(content.encode("ascii").translate(None, _BLANKS), validate=True)
        )
    except (UnicodeEncodeError, binascii.Error) as error:
        raise BadRequest(f"{path} was not saved: its content is not valid {format}.") from error
