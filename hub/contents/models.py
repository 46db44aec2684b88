"""Content models in Jupyter's shape, typed: what goes over the wire for files, notebooks and folders.

A notebook's content stays JSON text (`msgspec.Raw`) on both ways: the event loop never parses it, it only
copies bytes. ``msgspec.json.encode(model)`` gives exactly the reply's body.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, get_args

import msgspec

from hub.contents.large import ScratchFile

ContentType = Literal["notebook", "file", "directory"]
TYPES: frozenset[str] = frozenset(get_args(ContentType))
ContentFormat = Literal["json", "text", "base64"]


class Model(msgspec.Struct, kw_only=True):
    """A file, notebook or folder as the Contents API shows it.

    `content` is None unless it was asked for; then a list of models (folder), text or base64 (file), or the
    notebook's JSON. Within this package large content is a file with its JSON. `hash` is the SHA-256 of the file's
    bytes in hexadecimal, None unless it was asked for (and for folders, and for files over the size limit). `size`
    is in bytes, None for folders. `message` is there only for a notebook that does not follow its format, and says why.
    """

    name: str
    path: str
    type: ContentType
    writable: bool
    created: datetime
    last_modified: datetime
    mimetype: str | None = None
    size: int | None = None
    format: ContentFormat | None = None
    content: list[Model] | str | msgspec.Raw | ScratchFile | None = None
    hash: str | None = None
    hash_algorithm: str | None = None
    message: str | msgspec.UnsetType = msgspec.UNSET


class SaveRequest(msgspec.Struct, kw_only=True):
    """The body of ``PUT api/contents/<path>``, decoded with ``msgspec.json.decode(body, type=SaveRequest)``.

    `content` stays JSON text; UNSET means that the body has none: a new file is then made empty, an old one
    is refused. `type` None is allowed for new files only, where the name decides. `chunk` None is a whole
    save; 1, 2, … and at last -1 are the parts of an upload. Fields that are not here are ignored.
    """

    type: str | None = None
    format: str | None = None
    content: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    chunk: int | None = None
    path: str | None = None
    name: str | None = None
    copy_from: str | None = None


class Saved(msgspec.Struct, frozen=True):
    """What a save did. `created` is true when nothing was there before (HTTP 201 instead of 200)."""

    model: Model
    created: bool


class Checkpoint(msgspec.Struct, frozen=True):
    """One checkpoint of a file."""

    id: str
    last_modified: datetime


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much one request may cost. Sizes in bytes.

    `document_bytes`: the largest file whose content is shown or hashed (downloads have no limit).
    `copy_bytes`: the most that copying a folder may copy. `allow_hidden`: whether names that begin with a
    dot can be seen and changed. `delete_full_folders`: whether a folder that is not empty can be deleted.
    """

    document_bytes: int = 128 * 1024**2
    copy_bytes: int = 500 * 1024**2
    allow_hidden: bool = False
    delete_full_folders: bool = False
