"""The Jupyter messages that the agent itself exchanges with kernels; no I/O.

Signatures are made (the kernel checks them) but not checked: who could forge a message to the agent runs as the
same user in the same container. Source: "Messaging in Jupyter", protocol 5.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any, NamedTuple

from hub.agent.bounds import MAX_CODE_BYTES, MAX_HEADER_BYTES

# hmac and hashlib load OpenSSL: 3.7 MB resident in every container, for a few signatures in its life.
try:
    from _sha2 import sha256  # type: ignore[import-not-found, unused-ignore]  # Python 3.12 and later
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        from hashlib import sha256

DELIMITER = b"<IDS|MSG>"
SIGNATURE_SCHEME = "hmac-sha256"

UNTRACKED = frozenset(
    f"{name}_{kind}"
    for name in ("comm_info", "kernel_info", "connect", "shutdown", "interrupt", "debug", "create_subshell",
                 "delete_subshell", "list_subshell")
    for kind in ("request", "reply")
)  # fmt: skip
"""Requests that neither make a kernel busy nor count as activity: front ends and supervisors send them by
themselves, many on the control channel."""


Parts = list[bytes]
"""A message without identities and signature: header, parent header, metadata, content, and buffers."""


class Received(NamedTuple):
    """What the agent looks at in a message: the headers, a status message's state, the code that is run."""

    type: str
    parent_id: str
    parent_type: str
    parent_session: str
    execution_state: str | None
    code: str | None = None
    execution_count: int = 0


def new_key() -> bytes:
    """A fresh key for signatures, as hexadecimal text."""
    return os.urandom(32).hex().encode()


def sign(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104) in hexadecimal. `key` is at most 64 bytes, as `new_key` makes them."""
    padded = key.ljust(64, b"\0")
    inner = sha256(bytes(byte ^ 0x36 for byte in padded) + data).digest()
    outer: str = sha256(bytes(byte ^ 0x5C for byte in padded) + inner).hexdigest()
    return outer.encode()


def build(key: bytes, session: str, kind: str, content: dict[str, Any]) -> tuple[str, list[bytes]]:
    """A signed request of type `kind`. Returns its id and its frames, without identities."""
    header = new_header(session, kind)
    parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
    return header["msg_id"], [DELIMITER, sign(key, b"".join(parts)), *parts]


def new_header(session: str, kind: str) -> dict[str, str]:
    """The header of a new message of type `kind`."""
    seconds = time.time()
    return {
        "msg_id": os.urandom(16).hex(),
        "msg_type": kind,
        "session": session,
        "username": "kernelhub",
        "date": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e6):06d}Z",
        "version": "5.3",
    }


def parts_of(frames: list[bytes]) -> Parts | None:
    """The parts of a message that came in `frames`, or None when it is none. Nothing is parsed."""
    try:
        parts = frames[frames.index(DELIMITER) + 2 :]
    except ValueError:
        return None
    return parts if len(parts) >= 4 else None


def is_output(header: bytes) -> bool:
    """Whether it is certain, by a glance at its bytes, that a header is neither of a status nor of an execute_input.

    A header with an escape in it, in which a type could hide, is not certain.
    """
    return b'"status"' not in header and b'"execute_input"' not in header and b"\\" not in header


def read(parts: Parts) -> Received | None:
    """What a message says, or None when it says nothing that can be read. Large contents are not parsed."""
    header, parent, _, content = parts[:4]
    if max(len(header), len(parent)) > MAX_HEADER_BYTES:
        return None
    try:
        head, origin = json.loads(header), json.loads(parent)
        kind = str(head["msg_type"])
        state, code, count = None, None, 0
        if kind == "execute_input" and len(content) <= MAX_CODE_BYTES:
            code, count = _code_of(json.loads(content))
        if kind == "status" and len(content) <= MAX_HEADER_BYTES:
            state = str(json.loads(content)["execution_state"])
        return Received(
            kind,
            str(origin.get("msg_id", "")),
            str(origin.get("msg_type", "")),
            str(origin.get("session", "")),
            state,
            code,
            count,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _code_of(content: Any) -> tuple[str | None, int]:
    """The code of an ``execute_input`` and its count; None when there is none."""
    code, count = content.get("code"), content.get("execution_count")
    if not isinstance(code, str):
        return None, 0
    known = type(count) is int and 0 <= count < 2**53
    return code.encode("utf-8", "replace").decode(), count if known else 0
