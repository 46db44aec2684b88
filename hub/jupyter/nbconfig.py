"""What the classic Notebook's pages start with: the installation's ``nbconfig`` sections, and who merges them.

A section is ``<folder>/<section>.json`` and all of ``<folder>/<section>.d/*.json``; that is how nbextensions are
switched on by their packages and by administrators (``jupyter nbclassic-extension enable``).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

SECTIONS = ("common", "notebook", "tree", "edit", "terminal")
_WITHOUT_SERVER = frozenset({"nbdime/index"})
"""Nbextensions that a package of the hub brings along, and that would ask for a server part that is not here."""


def merged(old: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`old` with `changes`, object by object; None removes a key. Neither argument is changed."""
    result = dict(old)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            known = result.get(key)
            inner = merged(known if isinstance(known, dict) else {}, value)
            result[key] = inner
            if not inner:
                del result[key]
        else:
            result[key] = value
    return result


def read_nbconfig(folders: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """The sections that `folders` have, the last folder winning. A file that is no JSON object is passed over."""
    sections: dict[str, dict[str, Any]] = {}
    for section in SECTIONS:
        value: dict[str, Any] = {}
        for folder in folders:
            for file in _files(folder, section):
                value = merged(value, _read(file))
        extensions = value.get("load_extensions")
        if isinstance(extensions, dict):
            value["load_extensions"] = {k: v for k, v in extensions.items() if k not in _WITHOUT_SERVER}
        if value:
            sections[section] = value
    return sections


def _files(folder: Path, section: str) -> Iterator[Path]:
    yield from sorted((folder / f"{section}.d").glob("*.json"))
    yield folder / f"{section}.json"


def _read(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("%s is not used: %s", file, error)
        return {}
    return value if isinstance(value, dict) else {}
