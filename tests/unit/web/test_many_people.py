"""Pages and lists ask the database as often for many people as for few: nothing is asked for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from hub.domain.history import Begin, End, Outcome, Run
from hub.domain.ids import WorkspaceId
from hub.domain.users import MemberRole, Role
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.store.engine import Store

PAGES = [
    "/hub/admin",
    "/hub/admin?order=cpu",
    "/hub/admin/people",
    "/hub/admin/people?search=person&order=activity",
    "/hub/admin/people?group=course0",
    "/hub/admin/users/person0",
    "/hub/admin/groups",
    "/hub/admin/groups/course0",
    "/hub/admin/history",
    "/hub/admin/audit",
    "/hub/admin/people/import",
]
LISTS = ["/hub/api/users", "/hub/api/users?state=ready", "/hub/api/groups", "/hub/api/audit", "/hub/api/history"]
FEW, MANY = 3, 30


@contextmanager
def counted(store: Store) -> Iterator[list[str]]:
    """The statements that run meanwhile."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    engines = {store._reader.sync_engine, store._writer.sync_engine}
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    yield seen
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)


async def fill(site: Any, first: int, last: int) -> None:
    """People with a container each, a group for each of them and one for all, lives and lines of audit."""
    now = site.clock.now()
    async with site.store.unit() as unit:
        course = await unit.groups.find_by_name("course0")
        for number in range(first, last):
            user = await unit.users.add(f"person{number}", Role.USER, now)
            ws = Workspace(WorkspaceId(f"w{number}"), user.id, "datascience", WorkspaceState.RUNNING, "image", NONE)
            await unit.workspaces.add(ws)
            for change, after in ((Begin(), 0), (Run({}), 2), (End(Outcome.FAILED, f"why {number}"), 9)):
                await unit.lives.record(ws, ws, change, "hub", now - timedelta(days=number % 9) + timedelta(0, after))
            await unit.groups.add_member(course.id, user.id)
    for number in range(first, last):
        group = await site.auth.groups.create(f"group{number}", "test")
        await site.auth.groups.add_members(group, [await site.auth.users.get(f"person{number}")], "test")


NONE = Limits(None, None, None)


async def statements(site: Any, ask: Any, path: str) -> list[str]:
    site.services.live.forget()
    await ask(path)
    site.services.live.forget()
    with counted(site.store) as seen:
        answer = await ask(path)
    assert answer.status == 200, answer.text
    return seen


@pytest.mark.parametrize("role", [Role.ADMIN, Role.USER], ids=["administrator", "owner"])
async def test_pages_ask_as_often_for_many_as_for_few(make_site: Any, role: Role) -> None:
    site = await make_site()
    browser = await site.signed_in("root1", role)
    course = await site.auth.groups.create("course0", "test")
    root = await site.auth.users.get("root1")
    async with site.store.unit() as unit:
        await unit.groups.add_member(course.id, root.id, MemberRole.OWNER)
    if role is Role.USER:
        await browser.prove_presence()
    pages = [page for page in PAGES if role is Role.ADMIN or "audit" not in page]
    lists = LISTS if role is Role.ADMIN else []

    async def listed(path: str) -> Any:
        return await browser.api("GET", path)

    await fill(site, 0, FEW)
    few = {page: await statements(site, browser.get, page) for page in pages}
    few |= {page: await statements(site, listed, page) for page in lists}
    await fill(site, FEW, MANY)
    for page, asked in few.items():
        again = await statements(site, listed if page in lists else browser.get, page)
        assert len(again) <= len(asked), (page, again)
