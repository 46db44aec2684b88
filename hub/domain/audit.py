"""Audit events: who did what to what, when, from where, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


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
    details: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    id: int | None = None
    """Its place in the log, which grows; None until it is recorded."""
