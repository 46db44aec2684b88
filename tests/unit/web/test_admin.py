"""Administrators' pages."""

from __future__ import annotations

import pytest

from hub.domain.ids import KernelId, new_uuid
from hub.domain.kernels import Kernel, KernelState
from hub.domain.users import Role
from tests.unit.web.conftest import PASSWORD, Browser, Site

PEOPLE = "/hub/admin"


@pytest.fixture
async def admin(site: Site) -> Browser:
    return await site.signed_in("root1", Role.ADMIN)


async def test_others_do_not_see_them(site: Site) -> None:
    browser = await site.signed_in("alice")
    for path in (PEOPLE, "/hub/admin/users/alice", "/hub/admin/containers"):
        assert (await browser.get(path)).status == 403
    assert "/hub/admin" not in (await browser.get("/hub/home")).text


async def test_a_user_is_added_with_a_link_to_send(site: Site, admin: Browser) -> None:
    answer = await admin.submit(PEOPLE, {"name": "Bob"}, PEOPLE)
    link = answer.value_of("link")
    assert link.startswith(f"{site.address}/hub/invitation/")
    page, browser = link.removeprefix(site.address), site.browser()
    fields = {"password": PASSWORD, "again": PASSWORD}
    assert (await browser.submit(page, fields, page)).location == "/user/bob/lab"


async def test_a_user_is_added_with_a_password_and_a_role(site: Site, admin: Browser) -> None:
    fields = {"name": "bob", "password": PASSWORD, "admin": "yes"}
    assert (await admin.submit(PEOPLE, fields, PEOPLE)).location == "/hub/admin?done=added"
    browser = site.browser()
    assert (await browser.sign_in("bob")).status == 302
    assert (await browser.get(PEOPLE)).status == 200


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"name": "a/b"}, 400),
        ({"name": "ро\u043et"}, 400),
        ({"name": "x" * 5000}, 400),
        ({"name": "bob", "password": "short"}, 400),
        ({"name": "ROOT1"}, 409),
    ],
)
async def test_a_mistake_adds_nobody_and_keeps_what_was_typed(
    site: Site, admin: Browser, fields: dict[str, str], status: int
) -> None:
    answer = await admin.submit(PEOPLE, fields, PEOPLE)
    assert answer.status == status
    assert answer.value_of("name") == fields["name"][:64]
    assert await site.auth.users.count() == 1


async def test_users_are_searched_and_paged(site: Site, admin: Browser) -> None:
    for number in range(60):
        await site.auth.users.add(f"student{number:02}", Role.USER, "test")
    first = (await admin.get("/hub/admin?search=STUD")).text
    assert "60 users" in first
    assert "student49" in first
    assert "student50" not in first
    assert "root1</a>" not in first
    second = (await admin.get("/hub/admin?search=stud&offset=50")).text
    assert "student50" in second
    assert "student49" not in second
    for odd in ("-1", "x", "٣", "9" * 30):
        assert (await admin.get(f"/hub/admin?offset={odd}")).status in (200, 400)
    assert "Nobody." in (await admin.get("/hub/admin?search=%25")).text


async def test_a_persons_page_does_what_its_buttons_say(site: Site, admin: Browser) -> None:
    bob, page = await site.signed_in("bob"), "/hub/admin/users/bob"
    user = await site.auth.users.get("bob")
    workspace = site.workspaces.run(user)
    assert "in 1 browser" in (await admin.get(page)).text

    assert (await admin.submit(f"{page}/sign-out", page=page)).location == f"{page}?done=changed"
    assert (await bob.get("/hub/home")).status == 302

    await admin.submit(f"{page}/promote", page=page)
    assert (await site.auth.users.get("bob")).is_admin
    await admin.submit(f"{page}/demote", page=page)
    assert not (await site.auth.users.get("bob")).is_admin

    await admin.submit(f"{page}/disable", page=page)
    assert (await bob.sign_in("bob")).status == 403
    assert [stopped for stopped, _ in site.workspaces.stopped] == [workspace.id]
    await admin.submit(f"{page}/enable", page=page)
    assert (await bob.sign_in("bob")).status == 302

    link = (await admin.submit(f"{page}/invite", page=page)).value_of("link")
    assert "/hub/invitation/" in link


async def test_deleting_asks_for_the_name(site: Site, admin: Browser) -> None:
    bob, page = await site.signed_in("bob"), "/hub/admin/users/bob"
    for typed in ("", "alice", "bo"):
        assert (await admin.submit(f"{page}/delete", {"confirm": typed}, page)).status == 400
    assert (await bob.get("/hub/home")).status == 200
    assert (await admin.submit(f"{page}/delete", {"confirm": "bob"}, page)).location == "/hub/admin?done=deleted"
    assert (await bob.get("/hub/home")).status == 302
    assert (await admin.get(page)).status == 404


async def test_a_user_whose_container_cannot_be_stopped_is_barred_and_not_deleted(site: Site, admin: Browser) -> None:
    bob, page = await site.signed_in("bob"), "/hub/admin/users/bob"
    site.workspaces.run(await site.auth.users.get("bob"))
    site.workspaces.engine_silent = True
    assert (await admin.submit(f"{page}/delete", {"confirm": "bob"}, page)).status == 503
    assert (await site.auth.users.get("bob")).disabled_at is not None
    assert (await bob.get("/hub/home")).status == 302


async def test_the_last_administrator_is_told_why_not(site: Site, admin: Browser) -> None:
    page = "/hub/admin/users/root1"
    for action, fields in (("demote", {}), ("disable", {}), ("delete", {"confirm": "root1"})):
        answer = await admin.submit(f"{page}/{action}", fields, page)
        assert answer.status == 409
        assert "is the last administrator" in answer.text
    assert (await admin.get(page)).status == 200


@pytest.mark.parametrize("name", ["nobody", "a%2fb", "%2e%2e", "%00", "x" * 5000, "%F0%9F%90%8D"])
async def test_a_person_who_does_not_exist_is_not_found(admin: Browser, name: str) -> None:
    assert (await admin.get(f"/hub/admin/users/{name}")).status == 404


async def test_names_with_signs_have_working_pages(site: Site, admin: Browser) -> None:
    await site.auth.users.add("a.b+c@d_e-f", Role.USER, "test")
    listed = (await admin.get(PEOPLE)).text
    address = listed.partition('href="/hub/admin/users/a')[2].partition('"')[0]
    assert (await admin.get("/hub/admin/users/a" + address)).status == 200


async def test_running_containers_are_listed_and_stopped(site: Site, admin: Browser) -> None:
    bob = await site.add("bob")
    assert "No container is running." in (await admin.get("/hub/admin/containers")).text
    workspace = site.workspaces.run(bob)
    async with site.store.unit() as unit:
        await unit.workspaces.add(workspace)
        moment = site.clock.now()
        kernel = Kernel(KernelId(new_uuid()), workspace.id, bob.id, "python3", KernelState.BUSY, moment, moment)
        await unit.kernels.add(kernel)
    page = (await admin.get("/hub/admin/containers")).text
    assert "(1 busy)" in page
    answer = await admin.submit(f"/hub/admin/containers/{workspace.id}/stop", page="/hub/admin/containers")
    assert answer.location == "/hub/admin/containers?done=stopped"
    root = await site.auth.users.get("root1")
    assert site.workspaces.stopped == [(workspace.id, root.id)]


async def test_an_administrator_stops_a_container_and_comes_back_to_the_person(site: Site, admin: Browser) -> None:
    workspace = site.workspaces.run(await site.add("bob"))
    path = f"/hub/admin/containers/{workspace.id}/stop"
    answer = await admin.submit(path, {"back": "bob"}, "/hub/admin/users/bob")
    assert answer.location == "/hub/admin/users/bob?done=stopped"
    assert (await admin.submit(path, {"back": "//evil.example"})).location == "/hub/admin?done=stopped"
