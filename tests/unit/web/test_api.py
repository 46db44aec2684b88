"""The hub's REST API, as scripts for JupyterHub and VS Code's extension use it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from hub.config import Profile
from hub.domain.users import Role
from hub.web.api.base import PAGED
from tests.unit.web.conftest import PASSWORD, Browser, Site, SiteMaker


@pytest.fixture
async def admin(site: Site) -> Browser:
    """A program with an administrator's token."""
    await site.add("root1", Role.ADMIN)
    return site.browser(headers={"Authorization": f"token {await site.token_of('root1')}"})


@pytest.fixture
async def alice(site: Site) -> Browser:
    """A program with a user's token."""
    await site.add("alice")
    return site.browser(headers={"Authorization": f"Bearer {await site.token_of('alice')}"})


async def test_anyone_may_ask_for_the_version(site: Site) -> None:
    for path in ("/hub/api", "/hub/api/"):
        answer = (await site.browser().api("GET", path)).json()
        assert (answer["version"], set(answer)) == ("6.0.0", {"version", "kernelhub"})


async def test_the_user_model_has_jupyterhubs_fields(site: Site, alice: Browser) -> None:
    model = (await alice.api("GET", "/hub/api/user")).json()
    assert model["name"] == "alice"
    assert (model["kind"], model["admin"], model["roles"], model["groups"]) == ("user", False, ["user"], [])
    assert (model["server"], model["pending"], model["servers"]) == (None, None, {})
    assert model["token_id"]
    workspace = site.workspaces.run(await site.auth.users.get("alice"))
    async with site.store.unit() as unit:
        await unit.workspaces.add(workspace)
    model = (await alice.api("GET", "/hub/api/users/alice")).json()
    assert model["server"] == "/user/alice/"
    server = model["servers"][""]
    assert (server["ready"], server["url"], server["pending"]) == (True, "/user/alice/", None)


async def test_users_see_themselves_and_nobody_else(site: Site, alice: Browser) -> None:
    await site.add("bob")
    assert (await alice.api("GET", "/hub/api/users/alice")).status == 200
    for name in ("bob", "nobody"):
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/server"), ("GET", "/tokens")):
            answer = await alice.api(method, f"/hub/api/users/{name}{path}")
            assert answer.status == 403, (method, path)
    for method in ("GET", "POST"):
        assert (await alice.api(method, "/hub/api/users", {"usernames": ["x"]})).status == 403
    assert (await alice.api("PATCH", "/hub/api/users/alice", {"admin": True})).status == 403
    assert (await alice.api("DELETE", "/hub/api/users/alice")).status == 403


async def test_administrators_add_change_and_delete_users(site: Site, admin: Browser) -> None:
    created = await admin.api("POST", "/hub/api/users/Bob")
    assert (created.status, created.json()["name"]) == (201, "bob")
    assert (await admin.api("POST", "/hub/api/users/bob")).status == 409
    patched = await admin.api("PATCH", "/hub/api/users/bob", {"admin": True})
    assert patched.json()["admin"] is True
    assert (await admin.api("PATCH", "/hub/api/users/bob", {"disabled": True})).json()["disabled"] is True
    assert (await admin.api("PATCH", "/hub/api/users/bob", {"disabled": False})).json()["disabled"] is False
    assert (await admin.api("DELETE", "/hub/api/users/bob")).status == 204
    assert (await admin.api("GET", "/hub/api/users/bob")).status == 404


async def test_several_users_are_added_at_once_or_none(site: Site, admin: Browser) -> None:
    assert (await admin.api("POST", "/hub/api/users", {"usernames": ["ann", "a/b"]})).status == 400
    assert await site.auth.users.count() == 1
    made = await admin.api("POST", "/hub/api/users", {"usernames": ["ann", "ANN", "ben"]})
    assert (made.status, [user["name"] for user in made.json()]) == (201, ["ann", "ben"])
    assert (await admin.api("POST", "/hub/api/users", {"usernames": ["ann"]})).status == 409
    assert (await admin.api("POST", "/hub/api/users", {"usernames": []})).status == 400


async def test_lists_are_paged_as_in_jupyterhub(site: Site, admin: Browser) -> None:
    for number in range(5):
        await site.auth.users.add(f"s{number}", Role.USER, "test")
    plain = await admin.api("GET", "/hub/api/users?limit=2&offset=1")
    assert [user["name"] for user in plain.json()] == ["s0", "s1"]
    paged = (await admin.api("GET", "/hub/api/users?limit=4", Accept=PAGED)).json()
    assert len(paged["items"]) == 4
    pagination = paged["_pagination"]
    assert (pagination["total"], pagination["next"]["offset"]) == (6, 4)
    assert pagination["next"]["url"] == f"{site.address}/hub/api/users?offset=4&limit=4"
    last = (await admin.api("GET", "/hub/api/users?limit=4&offset=4", Accept=PAGED)).json()
    assert last["_pagination"]["next"] is None
    for query in ("limit=x", "offset=-1", "limit=1e3"):
        assert (await admin.api("GET", f"/hub/api/users?{query}")).status == 400


async def test_a_server_is_the_workspace(site: Site, alice: Browser) -> None:
    assert (await alice.api("POST", "/hub/api/users/alice/server")).status == 202
    assert site.workspaces.asked_for == ["alice"]
    workspace = site.workspaces.run(await site.auth.users.get("alice"))
    assert (await alice.api("POST", "/hub/api/users/alice/server")).status == 201
    assert (await alice.api("DELETE", "/hub/api/users/alice/server")).status == 204
    assert [stopped for stopped, _ in site.workspaces.stopped] == [workspace.id]


async def test_workspaces_of_other_profiles_are_servers_with_a_name(make_site: SiteMaker) -> None:
    site = await make_site(profiles={"datascience": Profile(), "statistics": Profile()})
    await site.add("alice")
    alice = site.browser(headers={"Authorization": f"Bearer {await site.token_of('alice')}"})
    servers = "/hub/api/users/alice/servers"
    assert (await alice.api("POST", f"{servers}/statistics")).status == 202
    assert site.workspaces.asked_for == ["alice/statistics"]
    answer = await alice.api("POST", f"{servers}/gpu")
    assert answer.status == 404 and "datascience, statistics" in answer.json()["message"]
    user = await site.auth.users.get("alice")
    base, other = site.workspaces.run(user), site.workspaces.run(user, "statistics")
    async with site.store.unit() as unit:
        await unit.workspaces.add(other)
    model = (await alice.api("GET", "/hub/api/users/alice")).json()
    assert model["server"] is None and list(model["servers"]) == ["statistics"]
    assert model["servers"]["statistics"]["name"] == "statistics" and model["servers"]["statistics"]["ready"]
    async with site.store.unit() as unit:
        await unit.workspaces.add(base)
    model = (await alice.api("GET", "/hub/api/users/alice")).json()
    assert model["server"] == "/user/alice/" and set(model["servers"]) == {"", "statistics"}
    assert (await alice.api("DELETE", f"{servers}/statistics")).status == 204
    assert [stopped for stopped, _ in site.workspaces.stopped] == [other.id], "the other one goes on"


async def test_tokens_are_made_listed_and_revoked(site: Site, alice: Browser) -> None:
    tokens = "/hub/api/users/alice/tokens"
    made = await alice.api("POST", tokens, {"note": "script", "expires_in": 3600})
    assert made.status == 201
    value, token_id = made.json()["token"], made.json()["id"]
    program = site.browser(headers={"Authorization": f"token {value}"})
    assert (await program.api("GET", "/hub/api/user")).json()["token_id"] == token_id
    listed = (await alice.api("GET", tokens)).json()["api_tokens"]
    assert {token["note"] for token in listed} == {"script", "test"}
    assert all("token" not in token for token in listed)
    assert (await alice.api("GET", f"{tokens}/{token_id}")).json()["user"] == "alice"
    assert (await alice.api("DELETE", f"{tokens}/{token_id}")).status == 204
    assert (await program.api("GET", "/hub/api/user")).status == 403
    assert (await alice.api("DELETE", f"{tokens}/unknown")).status == 404


@pytest.mark.parametrize("seconds", [0, -1, 90 * 86400 + 1, 10**30, "1", True, 1.5, 1e300])
async def test_a_token_always_has_an_end(site: Site, alice: Browser, seconds: Any) -> None:
    answer = await alice.api("POST", "/hub/api/users/alice/tokens", {"expires_in": seconds})
    assert answer.status == 400
    assert len(await site.auth.tokens.list(await site.auth.users.get("alice"))) == 1


async def test_no_end_given_means_thirty_days(site: Site) -> None:
    await site.add("alice")
    alice = site.browser(headers={"Authorization": f"Bearer {await site.token_of('alice', days=60)}"})
    for body in ({"expires_in": None}, {}, None):
        made = (await alice.api("POST", "/hub/api/users/alice/tokens", body)).json()
        assert datetime.fromisoformat(made["expires_at"]) - site.clock.now() == timedelta(days=30)


async def test_a_token_by_name_and_password_as_vs_code_asks_for_it(site: Site) -> None:
    await site.add("alice")
    program = site.browser()
    wanted = {"auth": {"username": "alice", "password": PASSWORD}, "note": "VS Code"}
    made = await program.api("POST", "/hub/api/users/alice/tokens", wanted)
    assert made.status == 201
    assert made.json()["user"] == "alice"
    wrong = {"auth": {"username": "alice", "password": "wrong wrong wrong"}}
    assert (await program.api("POST", "/hub/api/users/alice/tokens", wrong)).status == 403
    assert (await program.api("POST", "/hub/api/users/bob/tokens", wanted)).status == 403
    assert (await program.api("POST", "/hub/api/users/alice/tokens", {})).status == 403


async def test_an_administrator_cannot_make_a_token_for_somebody_else(site: Site, admin: Browser) -> None:
    await site.add("alice")
    assert (await admin.api("POST", "/hub/api/users/alice/tokens", {})).status == 403
    value = await site.token_of("alice")
    [token] = (await admin.api("GET", "/hub/api/users/alice/tokens")).json()["api_tokens"]
    assert (await admin.api("DELETE", f"/hub/api/users/alice/tokens/{token['id']}")).status == 204
    refused = await site.browser(headers={"Authorization": f"token {value}"}).api("GET", "/hub/api/user")
    assert refused.status == 403


async def test_a_token_with_scopes_makes_no_stronger_one(site: Site) -> None:
    user = await site.add("root1", Role.ADMIN)
    _, value = await site.auth.tokens.create(user, "t", timedelta(days=1), "test", scopes=("read:users",))
    program = site.browser(headers={"Authorization": f"token {value}"})
    assert (await program.api("POST", "/hub/api/users/root1/tokens", {})).status == 403
    assert (await program.api("GET", "/hub/api/users")).status == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/hub/api/nothing"), ("DELETE", "/hub/api/users/alice/nothing"), ("POST", "/hub/api/oauth2/token")],
)
async def test_unknown_calls_are_404_in_json(alice: Browser, method: str, path: str) -> None:
    answer = await alice.api(method, path)
    assert answer.status == 404
    assert answer.json()["status"] == 404


async def test_a_cookie_needs_the_form_token_here_too(site: Site) -> None:
    browser = await site.signed_in("root1", Role.ADMIN)
    assert (await browser.api("POST", "/hub/api/users/bob")).status == 403
    token = await browser.form_token()
    assert (await browser.api("POST", "/hub/api/users/bob", X_XSRFToken=token)).status == 201
