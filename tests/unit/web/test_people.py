"""Pages about people: the list, one person, deleted people, rosters."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlencode

import pytest

from hub.domain.users import MemberRole, Role
from tests.unit.web.conftest import PASSWORD, Answer, Browser, Site

PEOPLE = "/hub/admin/people"
IMPORT = f"{PEOPLE}/import"
REMOVED = f"{PEOPLE}/removed"


@pytest.fixture
async def admin(site: Site) -> Browser:
    return await site.signed_in("root1", Role.ADMIN)


async def teacher(site: Site, group: str = "physics") -> Browser:
    """A browser of somebody who owns a group, with presence proven."""
    browser = await site.signed_in("teacher")
    made = await site.auth.groups.create(group, "test")
    await site.auth.groups.set_owner(made, await site.auth.users.get("teacher"), True, "test")
    await browser.prove_presence()
    return browser


async def members(site: Site, group: str) -> dict[str, MemberRole]:
    found = await site.auth.groups.get(group)
    async with site.store.reading() as unit:
        return {one.user.name: one.role for one in await unit.groups.everybody(found.id)}


# -- the list ---------------------------------------------------------------------------------------------------------


async def test_others_do_not_see_them(site: Site) -> None:
    browser = await site.signed_in("alice")
    await site.add("bob")
    for path in (PEOPLE, IMPORT, REMOVED, "/hub/admin/users/bob", "/hub/admin/groups"):
        assert (await browser.get(path)).status == 403
    assert (await browser.get("/hub/admin/users/alice")).location == "/hub/home"
    assert "/hub/admin" not in (await browser.get("/hub/home")).text


async def test_a_user_is_added_with_a_link_to_send(site: Site, admin: Browser) -> None:
    answer = await admin.submit(PEOPLE, {"name": "Bob"}, PEOPLE)
    link = answer.value_of("link")
    assert link.startswith(f"{site.address}/hub/invitation/")
    page, browser = link.removeprefix(site.address), site.browser()
    fields = {"password": PASSWORD, "again": PASSWORD}
    assert (await browser.submit(page, fields, page)).location == "/user/bob/lab"


async def test_a_user_is_added_with_a_password_and_a_role(site: Site, admin: Browser) -> None:
    fields = {"name": "bob", "password": PASSWORD, "role": "admin"}
    assert (await admin.submit(PEOPLE, fields, PEOPLE)).location == f"{PEOPLE}?done=added"
    assert (await site.auth.users.get("bob")).role == Role.ADMIN


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"name": "a/b"}, 400),
        ({"name": "ро\u043et"}, 400),
        ({"name": "x" * 5000}, 400),
        ({"name": "bob", "password": "short"}, 400),
        ({"name": "bob", "role": "emperor"}, 400),
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


async def test_people_are_found_by_any_part_of_name_and_address_and_paged(site: Site, admin: Browser) -> None:
    for number in range(60):
        await site.auth.users.add(f"student{number:02}", Role.USER, "test")
    last = await site.auth.users.get("student59")
    await site.auth.users.describe(last, "test", display_name="Zoë Quill", email="zq@x.org")
    first = (await admin.get(f"{PEOPLE}?search=UDENT")).text
    assert "60 people, page 1 of 2" in first
    assert "student49" in first
    assert "student50" not in first
    second = (await admin.get(f"{PEOPLE}?search=udent&page=2")).text
    assert "student50" in second
    assert "student49" not in second
    for search in ("zq%40x", "Quill"):
        assert "student59" in (await admin.get(f"{PEOPLE}?search={search}")).text
    for odd in ("-1", "x", "٣", "9" * 30):
        assert (await admin.get(f"{PEOPLE}?page={odd}")).status == 200
    assert "Nobody fits" in (await admin.get(f"{PEOPLE}?search=%25")).text


async def test_the_list_is_filtered_and_ordered(site: Site, admin: Browser) -> None:
    bob, cy = await site.add("bob"), await site.add("cy")
    lab = await site.auth.groups.create("lab", "test")
    await site.auth.groups.add_members(lab, [bob], "test")
    await site.auth.users.disable(cy, "test")

    def listed(answer: Answer) -> list[str]:
        order = sorted((answer.text.find(f">{name}</a>"), name) for name in ("root1", "bob", "cy"))
        return [name for place, name in order if place >= 0]

    assert listed(await admin.get(f"{PEOPLE}?group=lab")) == ["bob"]
    assert listed(await admin.get(f"{PEOPLE}?shown=disabled")) == ["cy"]
    assert listed(await admin.get(f"{PEOPLE}?shown=admins")) == ["root1"]
    assert listed(await admin.get(f"{PEOPLE}?shown=never")) == ["bob", "cy"]
    assert listed(await admin.get(f"{PEOPLE}?order=new")) == ["cy", "bob", "root1"]
    assert listed(await admin.get(f"{PEOPLE}?order=nonsense")) == ["bob", "cy", "root1"]


async def test_many_are_changed_at_once_and_refusals_are_named(site: Site, admin: Browser) -> None:
    for name in ("bob", "cy"):
        await site.add(name)
    await site.auth.groups.create("lab", "test")
    token = await admin.form_token(PEOPLE)

    async def do(action: str, *names: str, group: str = "") -> Answer:
        fields = [("_xsrf", token), ("action", action), ("group", group), *(("user", name) for name in names)]
        ours = {"Content-Type": "application/x-www-form-urlencoded", "Origin": site.address}
        return await admin.send(
            "POST", f"{PEOPLE}/bulk", urlencode(fields), **{**ours, "Sec-Fetch-Site": "same-origin"}
        )

    assert "2 people: put into the group." in (await do("join", "bob", "cy", group="lab")).text
    assert set(await members(site, "lab")) == {"bob", "cy"}
    await do("leave", "bob", group="lab")
    assert set(await members(site, "lab")) == {"cy"}
    answer = await do("disable", "bob", "root1", "nobody")
    assert "1 person: disabled." in answer.text
    assert "root1: This is you" in answer.text
    assert "nobody: There is no such user." in answer.text
    assert (await site.auth.users.get("bob")).disabled_at is not None
    await do("delete", "cy")
    assert "cy</strong>" in (await admin.get(REMOVED)).text
    for action, names in (("", ["bob"]), ("disable", []), ("promote", ["bob"])):
        assert (await do(action, *names)).status == 400
    assert (await do("join", "bob", group="no such")).status == 404


# -- one person -------------------------------------------------------------------------------------------------------


async def test_a_persons_page_does_what_its_buttons_say(site: Site, admin: Browser) -> None:
    bob, page = await site.signed_in("bob"), "/hub/admin/users/bob"
    workspace = site.workspaces.run(await site.auth.users.get("bob"))

    assert (await admin.submit(f"{page}/sign-out", page=page)).location == f"{page}?done=changed"
    assert (await bob.get("/hub/home")).status == 302

    await admin.submit(f"{page}/role", {"role": "admin"}, page)
    assert (await site.auth.users.get("bob")).role == Role.ADMIN
    await admin.submit(f"{page}/role", {"role": "guest"}, page)
    assert (await site.auth.users.get("bob")).role == Role.GUEST
    assert (await admin.submit(f"{page}/role", {"role": "emperor"}, page)).status == 400

    await admin.submit(f"{page}/disable", page=page)
    assert (await bob.sign_in("bob")).status == 403
    assert [stopped for stopped, _ in site.workspaces.stopped] == [workspace.id]
    await admin.submit(f"{page}/enable", page=page)
    assert (await bob.sign_in("bob")).status == 302

    link = (await admin.submit(f"{page}/invite", page=page)).value_of("link")
    assert "/hub/invitation/" in link


async def test_a_person_is_renamed_and_described(site: Site, admin: Browser) -> None:
    bob = await site.add("bob")
    page = "/hub/admin/users/bob"
    fields = {"display_name": "Bob <b>B</b>", "email": "bob@x.org"}
    await admin.submit(f"{page}/describe", fields, page)
    assert "Bob &lt;b&gt;B&lt;/b&gt;" in (await admin.get(page)).text
    assert (await admin.submit(f"{page}/describe", {"email": "no address"}, page)).status == 400
    assert (await admin.submit(f"{page}/rename", {"name": "Robert"}, page)).location == (
        "/hub/admin/users/robert?done=changed"
    )
    assert (await site.auth.users.get("robert")).id == bob.id
    assert (await admin.get(page)).status == 404
    for name, status in (("root1", 409), ("a/b", 400), ("", 400)):
        answer = await admin.submit("/hub/admin/users/robert/rename", {"name": name}, "/hub/admin/users/robert")
        assert answer.status == status


async def test_a_person_comes_into_groups_and_leaves_them(site: Site, admin: Browser) -> None:
    await site.add("bob")
    await site.auth.groups.create("lab", "test")
    page = "/hub/admin/users/bob"
    await admin.submit(f"{page}/join", {"group": "lab"}, page)
    assert await members(site, "lab") == {"bob": MemberRole.MEMBER}
    assert "Take out" in (await admin.get(page)).text
    await admin.submit(f"{page}/leave", {"group": "lab"}, page)
    assert await members(site, "lab") == {}
    assert (await admin.submit(f"{page}/join", {"group": "no such"}, page)).status == 404


async def test_a_persons_token_is_revoked(site: Site, admin: Browser) -> None:
    bob = await site.add("bob")
    await site.token_of("bob")
    [token] = await site.auth.tokens.list(bob)
    page = "/hub/admin/users/bob"
    await admin.submit(f"{page}/revoke-token", {"token": token.id}, page)
    assert await site.auth.tokens.list(bob) == []


async def test_the_last_administrator_is_told_why_not(site: Site, admin: Browser) -> None:
    page = "/hub/admin/users/root1"
    for action, fields in (("role", {"role": "user"}), ("disable", {})):
        answer = await admin.submit(f"{page}/{action}", fields, page)
        assert answer.status == 409
        assert "is the last administrator" in answer.text
    answer = await admin.submit(f"{page}/delete", {"confirm": "root1"}, page)
    assert answer.status == 400
    assert "This is you" in answer.text


@pytest.mark.parametrize("name", ["nobody", "a%2fb", "%2e%2e", "%00", "x" * 5000, "%F0%9F%90%8D"])
async def test_a_person_who_does_not_exist_is_not_found(admin: Browser, name: str) -> None:
    assert (await admin.get(f"/hub/admin/users/{name}")).status == 404


async def test_names_with_signs_have_working_pages(site: Site, admin: Browser) -> None:
    await site.auth.users.add("a.b+c@d_e-f", Role.USER, "test")
    listed = (await admin.get(PEOPLE)).text
    address = listed.partition('href="/hub/admin/users/a')[2].partition('"')[0]
    assert (await admin.get("/hub/admin/users/a" + address)).status == 200


# -- deleted people ---------------------------------------------------------------------------------------------------


async def test_deleting_asks_for_the_name_and_can_be_undone(site: Site, admin: Browser) -> None:
    bob, page = await site.signed_in("bob"), "/hub/admin/users/bob"
    user = await site.auth.users.get("bob")
    for typed in ("", "alice", "bo"):
        assert (await admin.submit(f"{page}/delete", {"confirm": typed}, page)).status == 400
    assert (await bob.get("/hub/home")).status == 200
    assert (await admin.submit(f"{page}/delete", {"confirm": "bob"}, page)).location == f"{REMOVED}?done=removed"
    assert (await bob.get("/hub/home")).status == 302
    assert (await bob.sign_in("bob")).status == 403
    assert (await admin.get(page)).status == 404
    assert "bob" not in (await admin.get(PEOPLE)).text
    assert "gone for good in 30 days" in (await admin.get(REMOVED)).text
    answer = await admin.submit(f"{REMOVED}/{user.id}/restore", {"name": "bob"}, REMOVED)
    assert answer.location == f"{page}?done=restored"
    assert (await bob.sign_in("bob")).status == 302


async def test_a_name_that_was_given_away_is_told(site: Site, admin: Browser) -> None:
    user = await site.add("bob")
    await admin.submit("/hub/admin/users/bob/delete", {"confirm": "bob"}, "/hub/admin/users/bob")
    await site.add("bob")
    assert (await admin.submit(f"{REMOVED}/{user.id}/restore", {"name": "bob"}, REMOVED)).status == 409
    assert (await admin.submit(f"{REMOVED}/{user.id}/restore", {"name": "bob2"}, REMOVED)).status == 302
    assert (await admin.submit(f"{REMOVED}/{user.id}/restore", {"name": "bob3"}, REMOVED)).status == 404


async def test_deleting_for_good_asks_for_the_name_too(site: Site, admin: Browser) -> None:
    user = await site.add("bob")
    await admin.submit("/hub/admin/users/bob/delete", {"confirm": "bob"}, "/hub/admin/users/bob")
    path = f"{REMOVED}/{user.id}/delete"
    assert (await admin.submit(path, {"confirm": "nope"}, REMOVED)).status == 400
    assert (await admin.submit(path, {"confirm": "bob"}, REMOVED)).location == f"{REMOVED}?done=deleted"
    async with site.store.reading() as unit:
        assert await unit.users.find(user.id) is None
    assert (await site.actions("user."))[:2] == ["user.deleted", "user.removed"]


async def test_a_user_whose_container_cannot_be_stopped_is_barred_and_not_deleted(site: Site, admin: Browser) -> None:
    bob, page = await site.signed_in("bob"), "/hub/admin/users/bob"
    site.workspaces.run(await site.auth.users.get("bob"))
    site.workspaces.engine_silent = True
    assert (await admin.submit(f"{page}/delete", {"confirm": "bob"}, page)).status == 503
    assert (await site.auth.users.get("bob")).disabled_at is not None
    assert (await bob.get("/hub/home")).status == 302


# -- rosters ----------------------------------------------------------------------------------------------------------


async def test_a_roster_is_shown_before_it_is_followed(site: Site, admin: Browser) -> None:
    text = "username,full name\nada,Ada L\nb/ob,\ncy,\n"
    preview = await admin.submit(IMPORT, {"text": text, "group": "physics"}, IMPORT)
    assert preview.status == 200
    assert "What will change" in preview.text
    assert "Line 3:" in preview.text
    assert await site.auth.users.count() == 1
    fields = {"text": text, "group": "physics", "digest": preview.value_of("digest"), "links": "yes"}
    answer = await admin.submit(IMPORT, fields, IMPORT)
    assert "Done: 4 changes." in answer.text
    assert answer.text.count("/hub/invitation/") == 2
    assert set(await members(site, "physics")) == {"ada", "cy"}


async def test_a_roster_that_is_out_of_date_is_shown_again(site: Site, admin: Browser) -> None:
    preview = await admin.submit(IMPORT, {"text": "ada\nbob\n"}, IMPORT)
    await site.add("ada")
    fields = {"text": "ada\nbob\n", "digest": preview.value_of("digest")}
    answer = await admin.submit(IMPORT, fields, IMPORT)
    assert answer.status == 409
    assert "Something changed since" in answer.text
    assert answer.value_of("digest") != preview.value_of("digest")
    assert await site.auth.users.count() == 2


@pytest.mark.parametrize("text", ["", "\n\n", "x\n" * 6000])
async def test_what_is_no_roster_says_why(site: Site, admin: Browser, text: str) -> None:
    assert (await admin.submit(IMPORT, {"text": text}, IMPORT)).status == 400


async def test_a_group_owner_brings_only_their_own_group_up_to_date(site: Site) -> None:
    browser = await teacher(site)
    bob = await site.add("bob")
    physics = await site.auth.groups.get("physics")
    await site.auth.groups.add_members(physics, [bob], "test")
    await site.auth.groups.create("chemistry", "test")
    preview = await browser.submit(IMPORT, {"text": "teacher\nnew1\n", "group": "physics", "exact": "yes"}, IMPORT)
    assert "There is no user new1" in preview.text
    fields = {"text": "teacher\nnew1\n", "group": "physics", "exact": "yes", "digest": preview.value_of("digest")}
    assert "Done: 1 change." in (await browser.submit(IMPORT, fields, IMPORT)).text
    assert await members(site, "physics") == {"teacher": MemberRole.OWNER}
    for group in ("chemistry", "new-group", ""):
        assert (await browser.submit(IMPORT, {"text": "bob\n", "group": group}, IMPORT)).status == 403


# -- group owners -----------------------------------------------------------------------------------------------------


async def test_a_group_owner_sees_their_people_and_nothing_private(site: Site) -> None:
    browser = await teacher(site)
    bob = await site.add("bob")
    await site.add("stranger")
    await site.auth.groups.add_members(await site.auth.groups.get("physics"), [bob], "test")
    await site.token_of("bob")
    listed = (await browser.get(PEOPLE)).text
    assert ">bob</a>" in listed
    assert "stranger" not in listed
    page = (await browser.get("/hub/admin/users/bob")).text
    for private in ("Sign-ins and tokens", "New password link", "Delete", bob.id):
        assert private not in page
    assert (await browser.get("/hub/admin/users/stranger")).status in (403, 404)
    for action in ("invite", "disable", "role", "delete", "rename"):
        answer = await browser.submit(f"/hub/admin/users/bob/{action}", {"confirm": "bob", "role": "admin"})
        assert answer.status == 403
    assert (await site.auth.users.get("bob")).role == Role.USER
    site.clock.advance(timedelta(hours=2))
    assert (await browser.get(PEOPLE)).status == 302  # presence has ended: prove it again
