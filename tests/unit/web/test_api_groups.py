"""Groups in the REST API: for administrators, for owners within their groups, and for nobody else."""

from __future__ import annotations

import pytest

from hub.domain.users import Role
from tests.unit.web.conftest import Browser, Site

PHYSICS = "/hub/api/groups/physics"


@pytest.fixture
async def admin(site: Site) -> Browser:
    """A program with an administrator's token."""
    await site.add("root1", Role.ADMIN)
    return site.browser(headers={"Authorization": f"token {await site.token_of('root1')}"})


@pytest.fixture
async def owner(site: Site, admin: Browser) -> Browser:
    """A program of grace, who owns physics, in which ada is; ben is in nothing."""
    for name in ("grace", "ada", "ben"):
        await site.auth.users.add(name, Role.USER, "test")
    made = await admin.api("POST", PHYSICS, {"users": ["ada"], "owners": ["grace"]})
    assert (made.status, made.json()["users"]) == (201, ["ada", "grace"])
    return site.browser(headers={"Authorization": f"token {await site.token_of('grace')}"})


async def test_groups_are_made_filled_and_deleted(site: Site, admin: Browser, owner: Browser) -> None:
    shown = (await admin.api("GET", PHYSICS)).json()
    assert (shown["kind"], shown["owners"], shown["properties"], shown["source"]) == ("group", ["grace"], {}, "hub")
    assert (await admin.api("GET", "/hub/api/users/ada")).json()["groups"] == ["physics"]
    for _ in range(2):
        answer = await admin.api("POST", f"{PHYSICS}/users", {"users": ["BEN", "ada"]})
        assert answer.json()["users"] == ["ada", "ben", "grace"]
    assert (await admin.api("DELETE", f"{PHYSICS}/users", {"users": ["ben"]})).json()["users"] == ["ada", "grace"]
    assert (await admin.api("PATCH", PHYSICS, {"name": "optics"})).json()["name"] == "optics"
    assert (await admin.api("GET", PHYSICS)).status == 404
    assert (await admin.api("DELETE", "/hub/api/groups/optics")).status == 204
    assert await site.auth.users.get("ada"), "members stay users"


async def test_somebody_who_does_not_exist_is_put_nowhere(site: Site, admin: Browser, owner: Browser) -> None:
    answer = await admin.api("POST", f"{PHYSICS}/users", {"users": ["ben", "nobody"]})
    assert answer.status == 400 and "'nobody'" in answer.json()["message"]
    assert (await admin.api("GET", PHYSICS)).json()["users"] == ["ada", "grace"]


@pytest.mark.parametrize("name", ["a%2Fb", "%2e%2e", ".x", "-x", "a%25b", "a!b", "x" * 129, "a%00b", "a%E2%80%8Bb"])
async def test_impossible_names_of_groups_are_refused(site: Site, admin: Browser, name: str) -> None:
    assert (await admin.api("POST", f"/hub/api/groups/{name}")).status in {400, 404}
    assert (await admin.api("GET", "/hub/api/groups")).json() == []


@pytest.mark.parametrize(
    ("properties", "field"),
    [
        ({"profiles": "x"}, "properties.profiles"),
        ({"limits": {"memory_bytes": -1}}, "properties.limits.memory_bytes"),
        ({"limits": {"memory": 1}}, "properties.limits.memory"),
        ({"quotas": {"kernels": True}}, "properties.quotas.kernels"),
        ({"quotas": []}, "properties.quotas"),
        ({"own": "x" * 20_000}, "properties"),
    ],
)
async def test_wrong_properties_are_refused_by_name(
    site: Site, admin: Browser, owner: Browser, properties: object, field: str
) -> None:
    answer = await admin.api("PUT", f"{PHYSICS}/properties", properties)
    assert answer.status == 400 and field in answer.json()["message"]


async def test_owners_see_and_steer_their_own_group_only(site: Site, admin: Browser, owner: Browser) -> None:
    await admin.api("POST", "/hub/api/groups/arts", {"users": ["ben"]})
    assert [group["name"] for group in (await owner.api("GET", "/hub/api/groups")).json()] == ["physics"]
    assert [user["name"] for user in (await owner.api("GET", "/hub/api/users")).json()] == ["ada", "grace"]
    assert (await owner.api("GET", "/hub/api/users?limit=1", Accept="application/jupyterhub-pagination+json")).json()[
        "_pagination"
    ]["total"] == 2
    assert (await owner.api("GET", PHYSICS)).json()["users"] == ["ada", "grace"]
    assert (await owner.api("GET", "/hub/api/users/ada")).json()["servers"] == {}
    assert (await owner.api("POST", "/hub/api/users/ada/server")).status == 202
    for method, path, body in (
        ("GET", "/hub/api/groups/arts", None),
        ("GET", "/hub/api/groups/none", None),
        ("GET", "/hub/api/users/ben", None),
        ("GET", "/hub/api/users/nobody", None),
        ("POST", "/hub/api/users/ben/server", None),
        ("POST", "/hub/api/groups/more", None),
        ("POST", "/hub/api/groups", {"groups": ["more"]}),
        ("POST", "/hub/api/groups/arts/users", {"users": ["ada"]}),
        ("POST", f"{PHYSICS}/users", {"users": ["ben"]}),
        ("POST", f"{PHYSICS}/owners", {"users": ["ada"]}),
        ("PATCH", "/hub/api/users/ada", {"admin": True}),
        ("POST", "/hub/api/users", {"usernames": ["more"]}),
        ("GET", "/hub/api/users/ada/tokens", None),
    ):
        assert (await owner.api(method, path, body)).status == 403, (method, path)
    assert (await owner.api("DELETE", f"{PHYSICS}/users", {"users": ["ada"]})).json()["users"] == ["grace"]
    assert (await owner.api("GET", "/hub/api/users/ada")).status == 403


async def test_members_see_neither_their_group_nor_each_other(site: Site, owner: Browser) -> None:
    ada = site.browser(headers={"Authorization": f"token {await site.token_of('ada')}"})
    for path in ("/hub/api/groups", PHYSICS, "/hub/api/users", "/hub/api/users/grace"):
        assert (await ada.api("GET", path)).status == 403
    assert (await ada.api("GET", "/hub/api/user")).json()["groups"] == ["physics"]


async def test_a_group_that_may_not_be_filled_so_is_not_made(site: Site, admin: Browser) -> None:
    await site.auth.users.add("ada", Role.USER, "test")
    made = await admin.api("POST", "/hub/api/users/root1/tokens", {"scopes": ["admin:groups"]})
    program = site.browser(headers={"Authorization": f"token {made.json()['token']}"})
    assert (await program.api("POST", PHYSICS, {"users": ["ada"]})).status == 403
    assert (await program.api("GET", PHYSICS)).status == 404
    assert (await program.api("POST", PHYSICS)).status == 201


async def test_several_groups_are_made_at_once(site: Site, admin: Browser) -> None:
    made = await admin.api("POST", "/hub/api/groups", {"groups": ["arts", "maths", "arts"]})
    assert (made.status, [group["name"] for group in made.json()]) == (201, ["arts", "maths"])
    again = await admin.api("POST", "/hub/api/groups", {"groups": ["maths", "music"]})
    assert [group["name"] for group in again.json()] == ["music"]
    assert (await admin.api("POST", "/hub/api/groups", {"groups": ["maths"]})).status == 409
    assert (await admin.api("POST", "/hub/api/groups", {"groups": ["new", "a/b"]})).status == 400
    assert (await admin.api("GET", "/hub/api/groups/new")).status == 404
