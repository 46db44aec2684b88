"""Which of a kernel's IOPub messages are the client's business, and which are steps of its own executions.

Outputs, which may come by the thousand, cost a look for a word or two in their header.
"""

from __future__ import annotations

import msgspec

from proxy.core.frames import HeaderFacts, header_facts
from proxy.core.messages import USERNAME
from proxy.core.replies import count_of, state_of
from proxy.core.tagged import Effect, Step, Tagged
from proxy.core.wire import Part, Parts
from proxy.errors import BadMessage

_OUTPUTS = (b'"stream"', b'display_data"')  # also update_display_data, which progress bars are made of
_STEPS = frozenset({"status", "execute_input", "error"})


class _Parent(msgspec.Struct):
    msg_type: str = ""
    msg_id: str = ""
    session: str = ""
    username: str | None = None


class _Metadata(msgspec.Struct):
    cell_id: object = msgspec.field(default="", name="cellId")


_parent = msgspec.json.Decoder(_Parent)
_metadata = msgspec.json.Decoder(_Metadata)
_NOBODY = _Parent()


class Sorter:
    """Sorts for the client session `session`; `agent_session` is how the workspace's agent signs its own requests.

    The agent and the proxies ask kernels whether they live. What a kernel publishes about that is nobody else's
    business: a front end would take the end of such a question for the end of its cell.
    """

    def __init__(self, session: str, agent_session: str = "") -> None:
        self._session = session
        self._agent_session = agent_session.encode()

    def sort(self, parts: Parts) -> Parts | None:
        """The message as it is told, with a tag if it is a step; None when it is not told."""
        header = parts[0]
        if _OUTPUTS[0] in header or _OUTPUTS[1] in header:
            return parts
        if self._agent_session and self._agent_session in bytes(parts[1]):
            return None  # and not in the journal either
        kind = _kind_of(header)
        if kind == "iopub_welcome":
            return None  # to whoever subscribed last, told to everybody
        if kind not in _STEPS:
            return parts
        parent = _parent_of(parts[1])
        if parent.username == USERNAME and parent.msg_type == "kernel_info_request":
            return None
        if not self._session or parent.session != self._session or parent.msg_type != "execute_request":
            return parts
        effect = _effect(kind, parent.msg_id, parts)
        return parts if effect is None else Tagged(parts, header, effect)

    def is_agents(self, header: Part) -> bool:
        """Whether the agent published this message itself: what it closes was cut, whatever else is known of it."""
        return bool(self._agent_session) and self._agent_session in bytes(header)

    def reply(self, parts: Parts) -> Parts:
        """A message of the shell channel, with a tag if it is the reply to an execute request."""
        if b"execute_reply" not in parts[0] or _kind_of(parts[0]) != "execute_reply":
            return parts
        return Tagged(parts, None, Effect(Step.REPLY, _parent_of(parts[1]).msg_id))


def request_of(parts: Parts) -> HeaderFacts | None:
    """Who asks what, if a client's message is an execute request; None for every other."""
    if b"execute_request" not in bytes(parts[0]):
        return None
    try:
        facts = header_facts(parts[0])
    except BadMessage:
        return None
    return facts if facts.msg_type == "execute_request" and facts.msg_id else None


def cell_of(metadata: Part) -> str:
    """The cell that a front end names in a request's metadata (``cellId``); empty when it names none."""
    try:
        found = _metadata.decode(metadata).cell_id
    except (ValueError, RecursionError):
        return ""
    return found if isinstance(found, str) else ""


def _kind_of(header: Part) -> str:
    try:
        return header_facts(header).msg_type
    except BadMessage:
        return ""


def _parent_of(parent: Part) -> _Parent:
    try:
        return _parent.decode(parent)
    except (ValueError, RecursionError):
        return _NOBODY


def _effect(kind: str, msg_id: str, parts: Parts) -> Effect | None:
    if kind == "execute_input":
        return Effect(Step.INPUT, msg_id, count_of(parts[3]))
    if kind == "error":
        return Effect(Step.ERROR, msg_id)
    return Effect(Step.IDLE, msg_id) if state_of(parts[3]) == "idle" else None
