"""What `tests.bench.many_users` fills a database with: people, groups, containers, a year of them, and an audit log.

Everything is drawn from one seed, so that two databases hold the same. Rows go in by the thousand, which is what takes
time: about a minute on SQLite, a few on PostgreSQL.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Table, insert, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from hub.domain.audit import GENESIS, AuditEvent, digest_after
from hub.domain.history import day_of
from hub.domain.ids import new_id, new_uuid
from hub.store import tables

USERS, RUNNING, GROUPS, LARGE_GROUP = 50_000, 1_000, 200, 25_000
DAYS, STARTS_A_DAY, AUDIT_LINES = 365, 1_000, 1_000_000
NOW = datetime.now(UTC)
LARGE = "everybody-of-the-faculty"
"""The name of the group with `LARGE_GROUP` members."""
_BATCH = 5_000
_GIB = 1024**3

Rows = Iterable[dict[str, Any]]


def person(number: int) -> str:
    """The name of a user."""
    return f"student{number:05d}"


async def fill(url: str) -> None:
    """All rows, in one transaction, into a database that has the tables."""
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            await _fill(connection, random.Random(4))
        if engine.dialect.name == "postgresql":  # as autovacuum does by itself after a while
            async with engine.connect() as connection:
                await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(text("ANALYZE"))
    finally:
        await engine.dispose()


async def _fill(connection: AsyncConnection, chance: random.Random) -> None:
    ids = [new_id() for _ in range(USERS)]
    workspaces = [(new_id(), ids[number * (USERS // RUNNING)]) for number in range(RUNNING)]
    numbers = ({"user_id": user_id, "given_at": NOW} for user_id in ids)
    await _insert(connection, tables.user_numbers, numbers)
    await _insert(connection, tables.users, _users(ids, chance))
    await _fill_groups(connection, ids)
    await _insert(connection, tables.workspaces, _workspaces(workspaces))
    await _insert(connection, tables.kernels, _kernels(workspaces))
    await _insert(connection, tables.container_lives, _lives(ids, workspaces, chance))
    await _insert(connection, tables.audit_events, _audit(ids, chance))


async def _insert(connection: AsyncConnection, table: Table, rows: Rows) -> None:
    source = iter(rows)
    while batch := list(itertools.islice(source, _BATCH)):
        await connection.execute(insert(table), batch)


def _users(ids: list[str], chance: random.Random) -> Iterator[dict[str, Any]]:
    for number, user_id in enumerate(ids):
        active = NOW - timedelta(minutes=chance.randrange(500_000)) if chance.random() < 0.8 else None
        yield {
            **{"id": user_id, "number": number + 1, "name": person(number), "role": "user"},
            **{"display_name": f"Student Number {number}", "email": f"{person(number)}@example.edu"},
            **{"created_at": NOW - timedelta(days=400), "last_activity_at": active},
            **{"disabled_at": NOW if number % 500 == 7 else None, "removed_at": None},
        }


async def _fill_groups(connection: AsyncConnection, ids: list[str]) -> None:
    courses = [new_id() for _ in range(GROUPS)]
    large = new_id()
    named = [*((group, f"course{n:03d}") for n, group in enumerate(courses)), (large, LARGE)]
    groups = ({"id": group, "name": name, "created_at": NOW} for group, name in named)
    await _insert(connection, tables.groups, groups)
    members = (
        {"group_id": group, "user_id": user_id, "role": "owner" if number % 250 == 0 else "member"}
        for number, user_id in enumerate(ids)
        for group in {courses[number % GROUPS], courses[(number // 7) % GROUPS]}
    )
    await _insert(connection, tables.memberships, members)
    everybody = ({"group_id": large, "user_id": user_id, "role": "member"} for user_id in ids[:LARGE_GROUP])
    await _insert(connection, tables.memberships, everybody)


def _workspaces(workspaces: list[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    for workspace, owner in workspaces:
        yield {
            **{"id": workspace, "user_id": owner, "profile": "datascience", "state": "running"},
            **{"image": "kernelhub/datascience:latest", "memory_bytes": 2 * _GIB, "cpus": 2.0, "pids": 512},
            **{"container_id": new_id(), "started_at": NOW, "last_activity_at": NOW},
        }


def _kernels(workspaces: list[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    for workspace, owner in workspaces:
        yield {
            **{"id": new_uuid(), "workspace_id": workspace, "user_id": owner, "spec_name": "python3"},
            **{"state": "idle", "started_at": NOW, "last_activity_at": NOW, "executions": 3},
        }


def _lives(ids: list[str], running: list[tuple[str, str]], chance: random.Random) -> Iterator[dict[str, Any]]:
    """A year of starts, one in fifty of which fails, and what runs now."""
    common = {"profile": "datascience", "image": "kernelhub/datascience:latest", "kernels_started": 2}
    common |= {"phases": {"queued": 2, "created": 700, "answered": 300}}
    for number in range(DAYS * STARTS_A_DAY):
        asked = NOW - timedelta(days=DAYS) + timedelta(days=number // STARTS_A_DAY, seconds=number % STARTS_A_DAY * 80)
        failed, taken = chance.random() < 0.02, 600 + int(chance.expovariate(1 / 900))
        seconds = None if failed else chance.uniform(60, 20_000)
        ended = asked + timedelta(seconds=30 if seconds is None else min(seconds, 3600.0))
        yield {
            **common,
            **{"id": new_id(), "workspace_id": f"w{number % 30_000}", "user_id": chance.choice(ids)},
            **{"day": day_of(asked), "asked_at": asked, "started_at": None if failed else asked},
            **{"start_ms": None if failed else taken, "ended_at": min(ended, NOW)},
            **{"outcome": "failed" if failed else "ended", "seconds": seconds},
            **{"reason": "The container ran out of memory." if failed else "empty for 15 minutes", "ended_by": "hub"},
        }
    for workspace, owner in running:
        yield {
            **common,
            **{"id": new_id(), "workspace_id": workspace, "user_id": owner, "day": day_of(NOW), "asked_at": NOW},
            **{"started_at": NOW, "start_ms": 1200, "ended_at": None, "outcome": "running", "seconds": None},
            **{"reason": None, "ended_by": None},
        }


_ACTIONS = ("sign_in.created", "sign_in.refused", "workspace.started", "workspace.stopped", "kernel.started")
_RARE = ("user.added", "group.member_added", "token.created", "access.refused", "presence.proven")


def _audit(ids: list[str], chance: random.Random) -> Iterator[dict[str, Any]]:
    """A chained log, the newest line now."""
    previous = GENESIS
    for number in range(AUDIT_LINES):
        action = _RARE[number % 5] if number % 50 == 0 else _ACTIONS[number % 5]
        at, actor = NOW - timedelta(seconds=30 * (AUDIT_LINES - number)), chance.choice(ids)
        address = f"10.{number % 7}.{number % 251}.{number % 199}"
        event = AuditEvent(at, action, actor, chance.choice(ids), address, {"profile": "datascience", "user": actor})
        digest = digest_after(previous, event)
        yield {
            **{"at": at, "action": action, "actor": actor, "subject": event.subject, "address": address},
            **{"details": dict(event.details), "person": event.person, "previous": previous, "digest": digest},
        }
        previous = digest
