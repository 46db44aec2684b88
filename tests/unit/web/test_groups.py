"""Pages about groups."""

from __future__ import annotations

import pytest

from hub.domain.users import MemberRole, Role
from tests.unit.web.conftest import Browser, Site

GROUPS = "/hub/admin/groups"


@pytest.fixture
async def admin(site: Site) -> Browser:
    return await site.signed_in("root1", Role.ADMIN)


async def members(site: Site, group: str) -> dict[str, MemberRole]:
    found = await site.auth.groups.get(group)
    async with site.store.reading() as unit:
        return {one.user.name: one.role for one in await unit.groups.everybody(found.id)}


async def test_a_group_is_made_filled_and_deleted(site: Site, admin: Browser) -> None:
    for name in ("ada", "bob"):
        await site.add(name)
    answer = await admin.submit(GROUPS, {"name": "Physics 1", "display_name": "Physics, first year"}, GROUPS)
    page = "/hub/admin/groups/Physics%201"
    assert answer.location == page
    await admin.submit(f"{page}/add", {"names": "ada, Bob;ada"}, page)
    await admin.submit(f"{page}/own", {"name": "ada"}, page)
    assert await members(site, "Physics 1") == {"ada": MemberRole.OWNER, "bob": MemberRole.MEMBER}
    await admin.submit(f"{page}/disown", {"name": "ada"}, page)
    await admin.submit(f"{page}/remove", {"name": "bob"}, page)
    assert await members(site, "Physics 1") == {"ada": MemberRole.MEMBER}
    listed = (await admin.get(GROUPS)).text
    assert "Physics, first year" in listed
    assert (await admin.submit(f"{page}/delete", {"confirm": "physics"}, page)).status == 400
    assert (await admin.submit(f"{page}/delete", {"confirm": "Physics 1"}, page)).location == f"{GROUPS}?done=changed"
    assert (await admin.get(page)).status == 404


async def test_what_members_get_is_kept_as_numbers_and_the_rest_stays(site: Site, admin: Browser) -> None:
    await site.auth.groups.create("lab", "test", properties={"note": "of somebody else"})
    page = "/hub/admin/groups/lab"
    fields = {"profile": "datascience", "memory": "4", "cpus": "1,5", "kernels": "3", "hours": "12.5", "disk": "10"}
    assert (await admin.submit(f"{page}/properties", fields, page)).status == 302
    assert (await site.auth.groups.get("lab")).properties == {
        "note": "of somebody else",
        "profiles": ["datascience"],
        "limits": {"memory_bytes": 4 * 1024**3, "cpus": 1.5},
        "quotas": {"kernels": 3, "hours_per_week": 12.5, "disk_bytes": 10 * 1024**3},
    }
    assert (await admin.get(page)).value_of("disk") == "10"
    assert (await admin.submit(f"{page}/properties", {}, page)).status == 302
    assert (await site.auth.groups.get("lab")).properties == {"note": "of somebody else"}
    for wrong in ({"memory": "much"}, {"kernels": "-1"}, {"hours": "0"}, {"cpus": "1e400"}):
        assert (await admin.submit(f"{page}/properties", wrong, page)).status == 400


async def test_mistakes_are_told(site: Site, admin: Browser) -> None:
    await site.auth.groups.create("lab", "test")
    page = "/hub/admin/groups/lab"
    assert (await admin.submit(GROUPS, {"name": "lab"}, GROUPS)).status == 409
    assert (await admin.submit(GROUPS, {"name": "a/b"}, GROUPS)).status == 400
    assert (await admin.submit(f"{page}/add", {"names": " "}, page)).status == 400
    answer = await admin.submit(f"{page}/add", {"names": "nobody"}, page)
    assert answer.status == 404
    assert answer.value_of("names") == "nobody"
    assert (await admin.submit(f"{page}/describe", {"name": "a%b"}, page)).status == 400


async def test_an_owner_keeps_the_list_of_their_group_and_nothing_else(site: Site) -> None:
    browser = await site.signed_in("teacher")
    lab, other = await site.auth.groups.create("lab", "test"), await site.auth.groups.create("other", "test")
    bob = await site.add("bob")
    await site.auth.groups.set_owner(lab, await site.auth.users.get("teacher"), True, "test")
    await site.auth.groups.add_members(lab, [bob], "test")
    await site.auth.groups.add_members(other, [bob], "test")
    await browser.prove_presence()
    listed = (await browser.get(GROUPS)).text
    assert "lab</a>" in listed
    assert "other</a>" not in listed
    page = "/hub/admin/groups/lab"
    assert "What members get" not in (await browser.get(page)).text
    assert (await browser.submit(f"{page}/remove", {"name": "bob"}, page)).status == 302
    for path in (f"{page}/properties", f"{page}/delete", f"{page}/describe", "/hub/admin/groups/other/remove", GROUPS):
        assert (await browser.submit(path, {"name": "bob", "confirm": "lab"}, page)).status in (403, 404)
    assert await members(site, "other") == {"bob": MemberRole.MEMBER}
