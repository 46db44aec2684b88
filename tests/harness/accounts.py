"""People and their tokens for a hub that runs, made by the hub's own services on its database; and its audit log."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr

from hub.cli.offline import ACTOR, Offline, offline
from hub.config import Settings
from hub.domain.audit import AuditEvent
from hub.domain.users import Role
from tests.harness.running import RunningHub

T = TypeVar("T")
PASSWORD = "seven otters juggle lanterns"
TOKEN_LASTS = timedelta(days=10)


@dataclass(frozen=True)
class Account:
    """A user who can sign in with `password`, and whose API token is `token`."""

    id: str
    name: str
    token: str
    token_id: str
    home: Path
    password: str = PASSWORD


def in_thread(work: Coroutine[Any, Any, T]) -> T:
    """Run to its end in a thread: fixtures are called with and without a running event loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def add_account(hub: RunningHub, name: str, *, admin: bool = False) -> Account:
    """Add a user with a password and a token."""
    return in_thread(_add(hub, name, Role.ADMIN if admin else Role.USER))


async def _add(hub: RunningHub, name: str, role: Role) -> Account:
    async with services(hub) as made:
        user = await made.auth.users.add(name, role, actor=ACTOR)
        await made.auth.passwords.set(user, PASSWORD, actor=ACTOR)
        token, value = await made.auth.tokens.create(user, "tests", TOKEN_LASTS, actor=ACTOR)
    return Account(user.id, user.name, value, token.id, hub.data_dir / "homes" / user.id)


def services(hub: RunningHub) -> Any:
    """What commands work with, on the running hub's database: a context manager that gives an `Offline`."""
    url = hub.environment.get("KERNELHUB_DATABASE_URL")
    return offline(Settings(data_dir=hub.data_dir, database_url=SecretStr(url) if url else None))


async def audit(hub: RunningHub, action: str = "", subject: str | None = None) -> list[AuditEvent]:
    """The audit log's events, newest first."""
    made: Offline
    async with services(hub) as made, made.store.reading() as unit:
        events: list[AuditEvent] = await unit.audit.list(limit=500, action_prefix=action, subject=subject)
        return events
