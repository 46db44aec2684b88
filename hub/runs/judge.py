"""The child process that looks into notebooks for verifications: a version's digest, and the first difference.

Given: a JSON head in a frame (see `frame`), then one notebook (``digest``) or two in frames (``compare``).
"""

from __future__ import annotations

import json
from typing import Any

from hub.runs.child import Refused, answer
from hub.runs.compare import first_difference, same_code, version_digest

LENGTH = 8


def frame(data: bytes) -> bytes:
    """Bytes with their length before them."""
    return len(data).to_bytes(LENGTH, "big") + data


def frames_of(given: bytes) -> list[bytes]:
    """What `frame` joined."""
    parts, at = [], 0
    while at < len(given):
        size = int.from_bytes(given[at : at + LENGTH], "big")
        parts.append(given[at + LENGTH : at + LENGTH + size])
        at += LENGTH + size
    return parts


def digest_of(notebook: bytes) -> str:
    """A version's digest. Slow for big ones: those belong into the process."""
    return version_digest(json.loads(notebook))


def judge(given: bytes) -> bytes:
    """The answer, as JSON. Raises Refused for what is no notebook."""
    head, *notebooks = frames_of(given)
    asked: dict[str, Any] = json.loads(head)
    try:
        read: list[Any] = [json.loads(notebook) for notebook in notebooks]
        if asked["task"] == "digest":
            return json.dumps(version_digest(read[0])).encode()
        kept, found = read
        if not same_code(kept, found):
            raise Refused("The notebook was changed while it was verified; verify it again.")
        return json.dumps(first_difference(kept, found, asked["before"])).encode()
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise Refused("The notebook that was run anew cannot be read.") from error


if __name__ == "__main__":
    answer(judge)
