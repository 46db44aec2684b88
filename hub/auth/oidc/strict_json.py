"""JSON from outside, read in one way only: a name that occurs twice is a mistake, not a choice of parsers'."""

from __future__ import annotations

import json
from typing import Any, NoReturn

MAX_DEPTH = 20
MAX_DIGITS = 32


class InvalidJson(ValueError):
    """The text is not JSON as it is accepted here."""


def loads_object(text: bytes) -> dict[str, Any]:
    """An object of JSON. Raises InvalidJson for anything else, doubled names, NaN, and more than `MAX_DEPTH` levels."""
    try:
        value = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse,
            parse_int=_small_integer,
        )
    except (ValueError, RecursionError) as error:
        raise InvalidJson(f"not JSON as it should be: {type(error).__name__}") from error
    if not isinstance(value, dict):
        raise InvalidJson("not an object of JSON")
    _check_depth(value)
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidJson("a name occurs twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise InvalidJson(f"{constant} is no number of JSON")


def _small_integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise InvalidJson("a number with too many digits")
    return int(digits)


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise InvalidJson("nested too deeply")
        level = [
            child
            for parent in level
            if isinstance(parent, (dict, list))
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
