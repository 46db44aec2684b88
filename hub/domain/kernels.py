"""Kernels, Jupyter sessions and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from hub.domain.ids import KernelId, SessionId, UserId, WorkspaceId


class KernelState(StrEnum):
    """The execution states that the Jupyter REST API shows, and `unknown` when nobody could be asked."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    RESTARTING = "restarting"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel as the database remembers it. `executions` counts the cells it has begun to run."""

    id: KernelId
    workspace_id: WorkspaceId
    user_id: UserId
    spec_name: str
    state: KernelState
    started_at: datetime
    last_activity_at: datetime
    executions: int = 0
    reason: str | None = None
    """Why the kernel died or was shut, in words; None while it lives."""


@dataclass(frozen=True, slots=True)
class Session:
    """Jupyter's pairing of a notebook path (or a console's name) and a kernel."""

    id: SessionId
    user_id: UserId
    kernel_id: KernelId
    path: str
    name: str
    type: str
    created_at: datetime
