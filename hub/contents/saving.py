"""Saving: what ``PUT api/contents`` does. All or nothing. Blocking; for worker threads."""

from __future__ import annotations

import json
import stat
from datetime import datetime

import msgspec

from hub.contents import checkpoints, pairing, uploads
from hub.contents.beneath import Home, Owner
from hub.contents.desk import Desk
from hub.contents.documents import decode_content
from hub.contents.drafts import write_whole
from hub.contents.listing import model_of
from hub.contents.models import ContentType, Limits, Saved, SaveRequest
from hub.contents.paths import ApiPath, refuse_hidden_change
from hub.errors import BadRequest


def save(owner: Owner, path: ApiPath, request: SaveRequest, desk: Desk, limits: Limits, now: datetime) -> Saved:
    """Write what the request says to `path`; see `hub.contents.service.Contents.save`."""
    refuse_hidden_change(path, limits.allow_hidden)
    if not path.parts:
        raise BadRequest("This cannot be done to your home folder itself.")
    if request.chunk is not None:
        return _save_chunk(owner, path, request, now)
    kind = request.type or _type_of_new(owner, path)
    if kind == "directory":
        return _save_folder(owner, path)
    if kind == "notebook":
        return _save_notebook(owner, path, request.content, desk)
    if kind == "file":
        return _save_file(owner, path, request)
    raise BadRequest(f"{path}: there is no type {kind!r}; it must be file, notebook or directory.")


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


def _save_notebook(owner: Owner, path: ApiPath, content: msgspec.Raw | msgspec.UnsetType, desk: Desk) -> Saved:
    if content is msgspec.UNSET:
        _require_new(owner, path)
        data = desk.new()
    else:
        return pairing.save(owner, path, bytes(content), desk)
    with owner.at_home(path) as home:
        saved = _write(home, path, data, "notebook")
        checkpoints.ensure(home, path)
    return saved


def _save_file(owner: Owner, path: ApiPath, request: SaveRequest) -> Saved:
    if request.content is msgspec.UNSET:
        _require_new(owner, path)
        data = b""
    else:
        data = decode_content(_string(request.content, path), request.format, path)
    with owner.at_home(path) as home:
        return _write(home, path, data, "file" if request.type == "file" else None)


def _save_chunk(owner: Owner, path: ApiPath, request: SaveRequest, now: datetime) -> Saved:
    if request.type not in (None, "file"):
        raise BadRequest(f"{path}: only files can be uploaded in chunks, not type {request.type!r}.")
    if request.content is msgspec.UNSET or request.chunk is None:
        raise BadRequest(f"{path}: the chunk has no content.")
    data = decode_content(_string(request.content, path), request.format, path)
    with owner.at_home(path) as home:
        return uploads.add_chunk(home, path, request.chunk, data, now)


def _write(home: Home, path: ApiPath, data: bytes, kind: ContentType | None) -> Saved:
    with home.target(path) as place:
        whole = write_whole(place, [data])
    return Saved(model_of(home, path, whole.stat, kind), whole.created)


def _require_new(owner: Owner, path: ApiPath) -> None:
    """For a request without content: only a file that is not there yet is made empty."""
    with owner.at_home(path) as home:
        if home.find(path) is not None:
            raise BadRequest(f"{path} was not saved: the request has no content.")


def _string(content: msgspec.Raw, path: ApiPath) -> object:
    """A file's content out of its JSON. Lone surrogates are JSON, though not text: said later, as BadRequest."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, ValueError):
        pass
    try:
        return json.loads(bytes(content))
    except ValueError as error:
        raise BadRequest(f"{path}: the content is not valid JSON.") from error
