"""What people choose for their notebook files, for all of them or for a folder. Pure.

A folder's choice is a file in it, so that it travels with the course: ``.kernelhub.toml`` for the outputs, jupytext's
own ``jupytext.toml`` for pairing, which works wherever jupytext does. The nearest folder upwards that says something
decides; then what the user chose for all; then nothing is stripped and nothing paired.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

import msgspec

from hub.errors import BadRequest

Strip = Literal["never", "save", "download"]
STRIPS: tuple[Strip, ...] = ("never", "save", "download")
STRIP_FILE = ".kernelhub.toml"
PAIR_FILE = "jupytext.toml"
MAX_FILE_BYTES = 16 * 1024
MAX_DOTS = 32
"""In one line: `tomllib` takes time and memory by the square of a key's parts, seconds for one of thousands."""
MAX_KEYS = 32
_KEY = re.compile(r"(?:cell|metadata)(?:\.[\w-]{1,64}){1,8}\Z")


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a notebook, or what one place says. None: it says nothing.

    `strip`: whether outputs are left out when a notebook is saved (and then in downloads too), only in downloads, or
    never. `strip_keys`: more metadata to leave out then. `pair`: jupytext's formats, ``ipynb,py:percent``; ``""`` means
    no pairing. `jupytext`: the text of the ``jupytext.toml`` that holds, with jupytext's own options.
    """

    strip: Strip | None = None
    strip_keys: tuple[str, ...] | None = None
    pair: str | None = None
    jupytext: str | None = None


def parse_strip_file(text: str) -> Choices:
    """What a ``.kernelhub.toml`` says. Raises BadRequest, which names what is wrong and what was expected."""
    found = _table(text, STRIP_FILE).get("notebooks", {})
    if not isinstance(found, dict):
        raise BadRequest(f"{STRIP_FILE}: notebooks must be a table, [notebooks].")
    strip, keys = found.get("strip"), found.get("strip_keys")
    if strip is not None and strip not in STRIPS:
        raise BadRequest(f"{STRIP_FILE}: notebooks.strip must be one of {', '.join(STRIPS)}.")
    if keys is not None and not _are_keys(keys):
        raise BadRequest(f"{STRIP_FILE}: notebooks.strip_keys must list keys such as 'cell.metadata.name'.")
    return Choices(strip=cast("Strip | None", strip), strip_keys=tuple(keys) if keys is not None else None)


def parse_pair_file(text: str) -> Choices:
    """What a ``jupytext.toml`` says. Raises BadRequest."""
    formats = _table(text, PAIR_FILE).get("formats")
    if isinstance(formats, list) and all(isinstance(one, str) for one in formats):
        formats = ",".join(formats)
    if formats is not None and not isinstance(formats, str):
        raise BadRequest(f"{PAIR_FILE}: this hub understands formats as text only, such as 'ipynb,py:percent'.")
    return Choices(pair=formats, jupytext=text)


def strip_file(strip: Strip) -> str:
    """The text of a ``.kernelhub.toml`` with this choice."""
    why = "When outputs are left out of the notebooks here: save, download or never."
    return f'# {why}\n[notebooks]\nstrip = "{strip}"\n'


def pair_file(pair: str) -> str:
    """The text of a ``jupytext.toml`` with this choice."""
    return f'formats = "{pair}"\n'


def is_simple_pair_file(text: str) -> bool:
    """Whether nothing is lost when the file is written anew."""
    try:
        return set(_table(text, PAIR_FILE)) <= {"formats"} and "#" not in text
    except BadRequest:
        return False


def is_simple_strip_file(text: str) -> bool:
    """Whether nothing is lost when the file is written anew."""
    try:
        found = _table(text, STRIP_FILE)
        return set(found) <= {"notebooks"} and set(found.get("notebooks", {})) <= {"strip"}
    except BadRequest:
        return False


def nearest(found: Iterable[Choices]) -> Choices:
    """Of what several places say, nearest first, what holds."""
    held: dict[str, Any] = {}
    for choices in found:
        for name, value in msgspec.structs.asdict(choices).items():
            if value is not None:
                held.setdefault(name, value)
    return Choices(**held)


def _table(text: str, name: str) -> Mapping[str, Any]:
    if any(line.count(".") > MAX_DOTS and not line.lstrip().startswith("#") for line in text.split("\n")):
        raise BadRequest(f"{name} has a line with more than {MAX_DOTS} dots; divide it into several.")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError alone: a number of thousands of digits
        raise BadRequest(f"{name} is not valid TOML: {str(error)[:200]}.") from error


def _are_keys(keys: object) -> bool:
    return (
        isinstance(keys, list)
        and len(keys) <= MAX_KEYS
        and all(isinstance(key, str) and _KEY.match(key) is not None for key in keys)
    )
