"""``/hub/admin/audit``: who did what, searched and sent as files."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote, urlencode

import msgspec

from hub.domain.audit import AuditEvent
from hub.domain.scopes import Scope
from hub.errors import NotFound
from hub.store.audit import AuditPage as Found
from hub.store.audit import AuditSearch
from hub.web.admin.page import AdminPage
from hub.web.audit_search import FIELDS, as_json, search_of
from hub.web.audit_words import action_words, details_of, noun_words, tone_of
from hub.web.csv_export import Cell, begin_file, send_csv

PAGE_SIZE = 50
EXPORT_PAGE = 1000
_ID = re.compile(r"[0-9a-f-]{20,40}")
_HEADER = ("id", "at (UTC)", "action", "actor", "actor's name", "subject", "subject's name", "address", "details")


@dataclass(frozen=True, slots=True)
class Line:
    """An event as the page shows it. The addresses lead to the person, if they are there.

    `subject_is_id`: the subject is a number that nobody knows by heart; `person_url`: whom the details name.
    """

    event: AuditEvent
    words: str
    tone: str
    actor: str
    actor_url: str
    subject: str
    subject_url: str
    subject_is_id: bool
    person_url: str
    details: list[tuple[str, str]]


class AuditBase(AdminPage):
    """What the page and its files share."""

    active = "audit"
    permission: ClassVar[Scope | None] = Scope.READ_AUDIT

    def asked(self) -> dict[str, str]:
        """What the form says, cut."""
        return {name: self.get_query_argument(name, "").strip()[:200] for name in FIELDS}

    async def wanted(self) -> AuditSearch:
        """What is looked for."""
        return await search_of(self.services.store, self.asked())

    async def found(self, wanted: AuditSearch, before: int | None, limit: int) -> Found:
        """A page of what is wanted."""
        async with self.services.store.reading() as unit:
            return await unit.audit.search(wanted, before, limit)

    async def names(self, events: Iterable[AuditEvent]) -> Mapping[str, str]:
        """The names of everybody whom these events speak of."""
        ids: set[str] = set()
        for event in events:
            ids |= {event.actor, event.subject}
            ids |= {value for value in event.details.values() if isinstance(value, str) and len(value) < 64}
        async with self.services.store.reading() as unit:
            return await unit.lives.names_of(ids)


class AuditPage(AuditBase):
    """The page."""

    async def get(self) -> None:
        """Show a page of what is looked for, the newest first."""
        asked, before = self.asked(), _before(self.get_query_argument("before", ""))
        page = await self.found(await self.wanted(), before, PAGE_SIZE)
        names = await self.names(page.events)
        async with self.services.store.reading() as unit:
            actions = await unit.audit.actions()
            head = await unit.audit.head()
        query = urlencode({name: value for name, value in asked.items() if value})
        self.show(
            "audit.html",
            asked=asked,
            looking=bool(query),
            lines=[_line(event, names) for event in page.events],
            families=_families(actions),
            query=query,
            first_url=f"/hub/admin/audit?{query}" if before is not None else "",
            next_url=f"/hub/admin/audit?{query}&before={page.next_before}" if page.next_before is not None else "",
            looked_back_to=page.looked_back_to,
            head=str(head) if head is not None else "",
        )


class AuditFile(AuditBase):
    """``/hub/admin/audit.csv`` and ``.jsonl``: everything that is looked for."""

    async def get(self, kind: str) -> None:
        """Send it, newest first."""
        name = f"kernelhub-audit-{self.services.clock.now():%Y-%m-%d}.{kind}"
        if kind == "csv":
            await send_csv(self, name, _HEADER, self._rows())
            return
        if kind != "jsonl":
            raise NotFound("There is no such file.")
        begin_file(self, name, "application/x-ndjson")
        async for events in self._pages():
            self.write(b"".join(msgspec.json.encode(as_json(event)) + b"\n" for event in events))
            await self.flush()
        await self.finish()

    async def _pages(self) -> AsyncIterator[Sequence[AuditEvent]]:
        wanted, before = await self.wanted(), None
        while True:
            page = await self.found(wanted, before, EXPORT_PAGE)
            if page.events:
                yield page.events
            if page.next_before is None:
                return
            before = page.next_before

    async def _rows(self) -> AsyncIterator[Sequence[Sequence[Cell]]]:
        async for events in self._pages():
            names = await self.names(events)
            yield [
                (
                    *(event.id, event.at, event.action, event.actor, names.get(event.actor, ""), event.subject),
                    *(names.get(event.subject, ""), event.address, msgspec.json.encode(event.details).decode()),
                )
                for event in events
            ]


def _line(event: AuditEvent, names: Mapping[str, str]) -> Line:
    return Line(
        event,
        action_words(event.action),
        tone_of(event.action),
        names.get(event.actor, "the hub" if event.actor == "hub" else event.actor),
        _person_url(names.get(event.actor)),
        names.get(event.subject, event.subject),
        _person_url(names.get(event.subject)),
        event.subject not in names and bool(_ID.fullmatch(event.subject)),
        _person_url(names.get(event.person or "")),
        details_of(event, names),
    )


def _person_url(name: str | None) -> str:
    return f"/hub/admin/users/{quote(name, safe='@+')}" if name else ""


def _families(actions: Sequence[str]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """The actions that there are for the form's list: by what they are about, each in words."""
    families: dict[str, list[tuple[str, str]]] = {}
    for action in actions:
        families.setdefault(action.partition(".")[0] + ".", []).append((action, action_words(action)))
    return sorted(((prefix, noun_words(prefix), of) for prefix, of in families.items()), key=lambda family: family[1])


def _before(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
