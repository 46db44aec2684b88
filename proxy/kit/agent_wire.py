"""The agent protocol's frames, to and from typed values; no I/O.

docs/reference/agent-protocol.md specifies them.

What an agent sends is untrusted: a frame that is not exactly of the documented shape becomes `AgentNonsense`.

    AgentFailure
    ├── AgentRefused      the agent answered and said no, with a code
    └── AgentSilent       no answer within the deadline, or no agent there
        └── AgentNonsense the answer was not one
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from proxy.contract.agent import MAX_MESSAGE_BYTES, AgentEvent

Result = TypeVar("Result")

MAX_ERROR_CHARACTERS = 2000


class AgentFailure(Exception):
    """A request to an agent did not succeed."""


class AgentRefused(AgentFailure):
    """The agent refused. `code` is one of the specification's; `message` is the agent's, untrusted text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class AgentSilent(AgentFailure):
    """Nothing is known: the agent did not answer in time, or is not there."""


class AgentNonsense(AgentSilent):
    """The agent sent something that the protocol does not allow."""


class Empty(msgspec.Struct, frozen=True):
    """The result of requests that only succeed."""


class Answer(msgspec.Struct, frozen=True):
    """A reply whose result is not looked at yet; `refused` is set instead of it when the agent said no."""

    id: int
    result: bytes = b""
    refused: AgentRefused | None = None


class _Error(msgspec.Struct, frozen=True):
    code: str
    message: str


class _Envelope(msgspec.Struct, frozen=True):
    id: int | None = None
    ok: bool | None = None
    event: str | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    error: _Error | None = None


_envelopes = msgspec.json.Decoder(_Envelope)
_events: msgspec.json.Decoder[AgentEvent] = msgspec.json.Decoder(AgentEvent)


def encode_request(request_id: int, op: str, args: Mapping[str, object], cause: str = "") -> bytes:
    """One request as a frame. `cause` is the id of the request of a client that it is made for, empty for none.

    Raises AgentRefused when it is larger than the protocol allows.
    """
    body = {"id": request_id, "op": op, "args": args}
    if cause:
        body["cause"] = cause
    frame = json.dumps(body, separators=(",", ":")).encode()
    if len(frame) > MAX_MESSAGE_BYTES:
        raise AgentRefused("bad_request", f"the request {op} of {len(frame)} bytes is too large")
    return frame


def decode_frame(frame: bytes) -> Answer | AgentEvent:
    """What one frame of the agent says. Raises AgentNonsense when it is none of the protocol's shapes."""
    try:
        envelope = _envelopes.decode(frame)
        if envelope.event is not None:
            return _events.decode(frame)
    except (ValueError, RecursionError) as error:
        raise AgentNonsense(f"a frame of {len(frame)} bytes is not of the protocol: {error}") from error
    if envelope.id is None or envelope.ok is None:
        raise AgentNonsense("a frame is neither a reply nor an event")
    if envelope.ok:
        return Answer(envelope.id, bytes(envelope.result))
    reason = envelope.error or _Error("bad_request", "refused without a reason")
    refused = AgentRefused(reason.code[:64], reason.message[:MAX_ERROR_CHARACTERS])
    return Answer(envelope.id, refused=refused)


def decode_result(result: bytes, kind: type[Result]) -> Result:
    """The result of a reply as a value of `kind`. Raises AgentNonsense when it is none."""
    try:
        return msgspec.json.decode(result, type=kind)
    except (ValueError, RecursionError) as error:
        raise AgentNonsense(f"the answer is not a {kind.__name__}: {error}") from error
