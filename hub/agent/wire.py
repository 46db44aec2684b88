"""The protocol's requests and replies: JSON to checked values and back; no I/O.

A request is ``{"id": int, "op": str, "args": {…}, "cause": str}``. Every argument has a checker; what has none is
refused. `cause` names the request of a client that it is made for; only the log looks at it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from hub.agent import bounds

Args = dict[str, Any]
Checker = Callable[[object], object]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_CAUSE = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_PROGRAM_NAME = re.compile(r"[a-z][a-z_]{0,63}\Z")
_TERMINAL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
SPEC_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}\Z")


class Refusal(Exception):
    """A request is refused. `code` is one of the specification's, `message` says why in words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Unanswerable(Exception):
    """A frame that is not even a request: there is no id to refuse."""


class Request(NamedTuple):
    """A request with checked arguments."""

    id: int
    op: str
    args: Args
    cause: str = ""


def _bad(message: str) -> Refusal:
    return Refusal("bad_request", message)


def text(longest: int) -> Checker:
    """A string of at most `longest` characters, without NUL and lone surrogates."""

    def check(value: object) -> str:
        if not isinstance(value, str) or len(value) > longest or "\0" in value:
            raise _bad(f"expected text of at most {longest} characters")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _bad("expected text that is valid Unicode") from error
        return value

    return check


def matching(pattern: re.Pattern[str], what: str) -> Checker:
    """A string that matches `pattern`; `what` names it in the refusal."""

    def check(value: object) -> str:
        if not isinstance(value, str) or pattern.match(value) is None:
            raise _bad(f"expected {what}")
        return value

    return check


def number(lowest: int, highest: int) -> Checker:
    """An integer within bounds."""

    def check(value: object) -> int:
        if type(value) is not int or not lowest <= value <= highest:
            raise _bad(f"expected a whole number from {lowest} to {highest}")
        return value

    return check


def canonical_uuid(value: object) -> str:
    """A UUID in its canonical form: lower case, with hyphens."""
    if isinstance(value, str) and _UUID.match(value) is not None:
        return value
    raise _bad("expected an id: a UUID in canonical form")


def environment(value: object) -> dict[str, str]:
    """Environment variables: bounded in number and size; those of the agent itself are refused."""
    if not isinstance(value, dict) or len(value) > bounds.MAX_ENV_ENTRIES:
        raise _bad(f"env: expected an object of at most {bounds.MAX_ENV_ENTRIES} entries")
    check = text(bounds.MAX_ENV_CHARACTERS)
    for key, content in value.items():
        if _ENV_NAME.match(key) is None or len(key) > bounds.MAX_NAME_CHARACTERS:
            raise _bad("env: a name is not one of an environment variable")
        if key.startswith("KERNELHUB_"):
            raise _bad(f"env: {key} is reserved")
        check(content)
    return value


def job_arguments(value: object) -> dict[str, Any]:
    """What a program is given: a JSON object, bounded in size."""
    if not isinstance(value, dict) or len(json.dumps(value).encode()) > bounds.MAX_JOB_ARGUMENTS_BYTES:
        raise _bad(f"arguments: expected an object of at most {bounds.MAX_JOB_ARGUMENTS_BYTES} bytes")
    return value


_SPEC: dict[str, Checker] = {"name": matching(SPEC_NAME, "the name of a kernelspec")}
_KERNEL: dict[str, Checker] = {"kernel_id": canonical_uuid}
_TERMINAL: dict[str, Checker] = {"name": matching(_TERMINAL_NAME, "the name of a terminal")}
_JOB: dict[str, Checker] = {"job_id": canonical_uuid}
_NOTED = text(bounds.MAX_NOTE_CHARACTERS)
_NOTE: dict[str, Checker] = {"msg_id": _NOTED, "session": _NOTED, "msg_type": _NOTED, "cell_id": _NOTED}
_CWD: dict[str, Checker] = {"cwd": text(bounds.MAX_PATH_CHARACTERS)}

OPERATIONS: dict[str, dict[str, Checker]] = {
    "hello": {},
    "ping": {},
    "status": {},
    "watch": {},
    "kernelspec.resource": {**_SPEC, "file": text(bounds.MAX_NAME_CHARACTERS)},
    "kernel.start": {**_KERNEL, **_SPEC, **_CWD, "env": environment},
    "kernel.attach": _KERNEL,
    "kernel.detach": _KERNEL,
    "kernel.executions": {**_KERNEL, "after": number(0, 2**53)},
    "kernel.farewell": {**_KERNEL, "reason": text(bounds.MAX_FAREWELL_CHARACTERS)},
    "kernel.interrupt": _KERNEL,
    "kernel.restart": _KERNEL,
    "kernel.shutdown": _KERNEL,
    "journal.sync": _KERNEL,
    "journal.note": {**_KERNEL, **_NOTE},
    "terminal.create": {**_CWD, **_TERMINAL},
    "terminal.delete": _TERMINAL,
    "terminal.attach": _TERMINAL,
    "terminal.detach": _TERMINAL,
    "terminal.input": {**_TERMINAL, "data": text(bounds.MAX_INPUT_CHARACTERS)},
    "terminal.resize": {**_TERMINAL, "rows": number(1, 1000), "cols": number(1, 1000)},
    "job.start": {**_JOB, "program": matching(_PROGRAM_NAME, "the name of a program"), "arguments": job_arguments},
    "job.read": {**_JOB, "offset": number(0, 2**53)},
    "job.stop": _JOB,
}
OPTIONAL: dict[str, Args] = {
    "terminal.create": {"cwd": "", "name": None},
    "kernel.start": {"cwd": "", "env": {}},
    "job.start": {"arguments": {}},
    "job.read": {"offset": 0},
}
"""Arguments that may be left out, with what stands for them."""


def parse(frame: bytes) -> tuple[int, str, Any, str]:
    """The id, operation, unchecked arguments and cause of a frame. Raises Unanswerable without a usable id."""
    try:
        body = json.loads(frame)
    except (ValueError, RecursionError) as error:
        raise Unanswerable("not JSON") from error
    request_id = body.get("id") if isinstance(body, dict) else None
    if type(request_id) is not int or not 0 <= request_id < 2**53:
        raise Unanswerable("no id")
    op, cause = body.get("op"), body.get("cause")
    known = isinstance(cause, str) and _CAUSE.match(cause)
    return request_id, op if isinstance(op, str) else "", body.get("args", {}), cause if known else ""


def check(request_id: int, op: str, args: Any, cause: str = "") -> Request:
    """The request with its arguments checked. Raises Refusal ``unknown_op`` or ``bad_request``."""
    checkers = OPERATIONS.get(op)
    if checkers is None:
        raise Refusal("unknown_op", f"there is no operation {op[:64]!r}")
    if not isinstance(args, dict):
        raise _bad("args: expected an object")
    if unknown := set(args) - set(checkers):
        raise _bad(f"unknown argument {sorted(unknown)[0][:64]!r}")
    optional = OPTIONAL.get(op, {})
    checked: Args = {}
    for name, checker in checkers.items():
        if name in args:
            checked[name] = checker(args[name])
        elif name in optional:
            checked[name] = optional[name]
        else:
            raise _bad(f"{name}: missing")
    return Request(request_id, op, checked, cause)


def encode(body: dict[str, Any]) -> bytes:
    """A reply or event as a frame."""
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()


def success(request_id: int, result: dict[str, Any]) -> bytes:
    """The frame that answers a request."""
    return encode({"id": request_id, "ok": True, "result": result})


def refusal(request_id: int, code: str, message: str) -> bytes:
    """The frame that refuses a request."""
    return encode({"id": request_id, "ok": False, "error": {"code": code, "message": message}})
