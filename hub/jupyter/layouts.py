"""JupyterLab's workspaces of one user: which documents are open, and where.

Called layouts here, because in this hub a workspace is a container. JupyterLab writes the layout of each
open tab every few seconds and reads the list as often, mostly without a change: that costs one stat.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec

from hub.errors import BadRequest, NotFound, TooLarge
from hub.jupyter.json_folder import JsonFolder, Stored

MAX_LAYOUT_BYTES = 128 * 1024
MAX_REMEMBERED = 512
MAX_REMEMBERED_BYTES = 32 * 1024

K = TypeVar("K")
V = TypeVar("V")


class Layouts:
    """Layouts of all users, each in a folder of its own; the last list is remembered."""

    def __init__(self) -> None:
        self._lists: OrderedDict[str, tuple[int, bytes]] = OrderedDict()
        self._saved: OrderedDict[tuple[str, str], tuple[int, bytes]] = OrderedDict()

    def remembered(self, owner: str, folder: JsonFolder) -> bytes | None:
        """The answer of the last `list_all`, if nothing was saved since. Costs one stat."""
        found = self._lists.get(owner)
        return found[1] if found is not None and found[0] == folder.state() else None

    def list_all(self, owner: str, folder: JsonFolder) -> bytes:
        """All layouts of a user, as JupyterLab's JSON."""
        state = folder.state()
        values = [_model(stored) for stored in folder.all()]
        ids = [value["metadata"]["id"] for value in values]
        answer = msgspec.json.encode({"workspaces": {"ids": ids, "values": values}})
        if len(answer) <= MAX_REMEMBERED_BYTES:
            _remember(self._lists, owner, (state, answer))
        return answer

    def get(self, folder: JsonFolder, name: str) -> bytes:
        """One layout; one that does not exist is empty."""
        stored = folder.find(name)
        model = _model(stored) if stored is not None else {"data": {}, "metadata": {"id": f"/{name}"}}
        return msgspec.json.encode(model)

    def is_saved(self, owner: str, folder: JsonFolder, name: str, raw: bytes) -> bool:
        """Whether exactly this was saved last, so that there is nothing to do. Costs one stat."""
        return self._saved.get((owner, name)) == (folder.state(), _digest(raw))

    def save(self, owner: str, folder: JsonFolder, name: str, raw: bytes) -> None:
        """Replace a layout.

        Raises BadRequest when `raw` is no layout, or one that says it has another name; TooLarge; NoSpace.
        """
        if len(raw) > MAX_LAYOUT_BYTES:
            raise TooLarge(f"A workspace may have at most {MAX_LAYOUT_BYTES} bytes.")
        folder.save(name, parse(raw, name))
        self._lists.pop(owner, None)
        _remember(self._saved, (owner, name), (folder.state(), _digest(raw)))

    def delete(self, owner: str, folder: JsonFolder, name: str) -> None:
        """Remove a layout. Raises NotFound."""
        self._lists.pop(owner, None)
        self._saved.pop((owner, name), None)
        if not folder.delete(name):
            raise NotFound(f"Workspace {name!r} not found")


def _digest(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()


def parse(raw: bytes, name: str) -> dict[str, Any]:
    """The layout in a request's body. Raises BadRequest."""
    try:
        value = msgspec.json.decode(raw, type=dict[str, Any])
        given = value["metadata"]["id"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError) as error:
        raise BadRequest("A workspace must be a JSON object with data and metadata.id.") from error
    if not isinstance(given, str) or unquote(given).removeprefix("/") != name:
        raise BadRequest(f"Workspace metadata ID mismatch: expected {name!r} got {str(given)[:200]!r}")
    return value


def _model(stored: Stored) -> dict[str, Any]:
    value: dict[str, Any] = stored.value if isinstance(stored.value, dict) else {"data": {}, "metadata": {}}
    times = {"last_modified": stored.last_modified, "created": stored.created}
    known = value.get("metadata")
    metadata = {"id": f"/{stored.name}", **(known if isinstance(known, dict) else {}), **times}
    return {**value, "metadata": metadata}


def _remember(memory: OrderedDict[K, V], key: K, value: V) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > MAX_REMEMBERED:
        memory.popitem(last=False)
