"""Audit events: who did what to what, when, from where, and how it ended; and the chain that binds them.

Each event's digest is the SHA-256 of the digest before it and of the event itself in one exact form, so that a line
that is changed, left out, put in or moved later does not fit what follows. What is cut off at the end shows against
a digest that was noted elsewhere (`Head`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

Detail = str | int | float | bool | None

GENESIS = bytes(32)
"""What the first event of a chain takes for the digest before it."""
_EXACT = 2**53
"""Below this every whole number is the same as integer and as floating-point number."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One line of the audit log.

    `action` is a dotted name (``sign_in.refused``, ``kernel.culled``); `actor` the id of the user who
    acted, or ``"hub"``; `subject` what was acted upon; `details` small JSON values, never a secret.
    """

    at: datetime
    action: str
    actor: str
    subject: str
    address: str = ""
    details: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    id: int | None = None
    """Its place in the log, which grows; None until it is recorded."""

    @property
    def person(self) -> str | None:
        """The id of the user whom the details name, if they do: whose kernel or container it was."""
        user = self.details.get("user")
        return user if isinstance(user, str) else None


@dataclass(frozen=True, slots=True)
class Link:
    """An event as it was recorded: with the digest before it and its own, as the database has them."""

    event: AuditEvent
    previous: bytes | None
    digest: bytes | None
    person: str | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """A place in the log and the digest there: who keeps it elsewhere can tell later whether all still stands."""

    id: int
    digest: bytes

    def __str__(self) -> str:
        return f"{self.id}:{self.digest.hex()}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """The head that `str` wrote. Raises ValueError."""
        number, _, digest = text.strip().partition(":")
        if not (number.isascii() and number.isdigit()) or len(digest) != 2 * len(GENESIS):
            raise ValueError(f"{text!r} is not a place in the audit log: NUMBER:DIGEST, as `audit verify` prints it")
        return cls(int(number), bytes.fromhex(digest))


@dataclass(frozen=True, slots=True)
class Broken:
    """The first line that does not fit, and why in words."""

    id: int
    why: str


def canonical(event: AuditEvent) -> bytes:
    """The event in the one form that is hashed, whatever database it comes from: its place (`id`) is not part of it."""
    return json.dumps(
        [
            event.at.astimezone(UTC).isoformat(timespec="microseconds"),
            event.action,
            event.actor,
            event.subject,
            event.address,
            {name: _number_as_text(value) for name, value in event.details.items()},
        ],
        ensure_ascii=True,
        sort_keys=True,
        separators=(",", ":"),
    ).encode()


def digest_after(previous: bytes, event: AuditEvent) -> bytes:
    """The digest of an event that follows on `previous`."""
    return hashlib.sha256(previous + canonical(event)).digest()


class Verifier:
    """Follows a chain link by link and keeps the first that does not fit.

    `anchors` are heads that were noted elsewhere: the chain must have passed through each of them.
    """

    def __init__(self, anchors: Iterable[Head] = ()) -> None:
        self._anchors = {anchor.id: anchor.digest for anchor in anchors}
        self._at = GENESIS
        self.last: Head | None = None
        self.count = 0
        self.broken: Broken | None = None

    def follow(self, links: Iterable[Link]) -> None:
        """Take the next links, in order of their places; nothing more is looked at after one that does not fit."""
        for link in links:
            if self.broken is not None:
                return
            why = self._fault(link)
            number = link.event.id or 0
            if why is not None:
                self.broken = Broken(number, why)
                return
            self._at = link.digest or GENESIS
            self.last = Head(number, self._at)
            self._anchors.pop(number, None)
            self.count += 1

    def finish(self) -> Broken | None:
        """What is wrong, None if nothing is: also with anchors that the chain never came to."""
        if self.broken is None and self._anchors:
            lost = min(self._anchors)
            end = self.last.id if self.last is not None else 0
            why = "the log ends before it" if lost > end else "it is not there any more"
            self.broken = Broken(lost, f"this place was noted on an earlier day, and {why}: lines were removed")
        return self.broken

    def _fault(self, link: Link) -> str | None:
        number = link.event.id or 0
        missed = [place for place in self._anchors if place < number]
        if missed:
            return f"place {min(missed)} was noted on an earlier day and is not there any more: lines were removed"
        if link.digest is None or link.previous is None:
            return "it has no digest: it was put in from outside of the hub, or by an older hub"
        if link.previous != self._at:
            return "it does not follow on the line before it: a line in between was removed, put in or moved"
        if link.digest != digest_after(self._at, link.event):
            return "what it says is not what was recorded: it was changed"
        if link.person != link.event.person:
            return "the person it is filed under is not the one it names: it was changed"
        if self._anchors.get(number, link.digest) != link.digest:
            return "its digest is not the one that was noted on an earlier day: the log was written anew"
        return None


def _number_as_text(value: Detail) -> Detail | dict[str, str]:
    """A number in a form that comes back from every database: some give 1e16 back as an integer, and 3.0 as 3."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    if abs(value) < _EXACT and value == int(value):
        return int(value)
    return {"number": repr(float(value))}
