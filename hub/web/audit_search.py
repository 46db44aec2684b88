"""Searching the audit log with words as people write them, for the page, its files and the REST API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from hub.domain.audit import AuditEvent
from hub.store.audit import AuditSearch
from hub.store.engine import Store
from hub.store.unit import Unit

FIELDS = ("person", "action", "subject", "address", "text", "since", "until")


async def search_of(store: Store, asked: Mapping[str, str]) -> AuditSearch:
    """What is looked for: names of people become ids; who is deleted is looked for by the id."""
    async with store.reading() as unit:
        person = await _id_of(unit, asked.get("person", ""))
        subject = await _id_of(unit, asked.get("subject", ""))
    return AuditSearch(
        person=person,
        action=asked.get("action", ""),
        subject=subject,
        address=asked.get("address", ""),
        text=asked.get("text", ""),
        since=_moment(asked.get("since", "")),
        until=_moment(asked.get("until", ""), end=True),
    )


def as_json(event: AuditEvent) -> dict[str, object]:
    """An event as the REST API and files give it."""
    return {
        "id": event.id,
        "at": event.at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "action": event.action,
        "actor": event.actor,
        "subject": event.subject,
        "address": event.address,
        "details": event.details,
    }


async def _id_of(unit: Unit, name: str) -> str:
    """The id of the user of that name; what is no user's name is taken for an id."""
    if not name:
        return ""
    user = await unit.users.find_by_name(name.casefold())
    return user.id if user is not None else name


def _moment(text: str, *, end: bool = False) -> datetime | None:
    """A day, or a day and a time, in UTC. A day alone as an `end` includes that day."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    try:
        return moment + timedelta(days=1) if end and len(text) == len("2026-01-01") else moment
    except OverflowError:
        return None
