"""What holds for every call of the REST API: methods, types, limits, repeated requests, and the audit log."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from hub.config.rate_limits import RateLimits
from hub.domain.users import Role
from hub.http.handler import INTERNAL_HEADER
from hub.web.api.routes import api_routes
from hub.workspaces.progress import Phase, StartKey
from tests.unit.web.conftest import INTERNAL_TOKEN, Browser, Site, SiteMaker


@pytest.fixture
async def admin(site: Site) -> Browser:
    """A program with an administrator's token."""
    await site.add("root1", Role.ADMIN)
    return site.browser(headers={"Authorization": f"token {await site.token_of('root1')}"})


async def test_a_method_that_an_address_does_not_know_is_405_and_names_those_it_does(admin: Browser) -> None:
    answer = await admin.api("DELETE", "/hub/api/users")
    assert (answer.status, answer.json()["code"]) == (405, "request.method_not_allowed")
    assert answer.headers["Allow"] == "GET, POST, OPTIONS"
    assert (await admin.api("OPTIONS", "/hub/api/users")).headers["Allow"] == "GET, POST, OPTIONS"
    assert (await admin.api("HEAD", "/hub/api/users")).status == 200


async def test_a_body_of_another_type_is_415(site: Site, admin: Browser) -> None:
    answer = await admin.api("POST", "/hub/api/users/bob", {}, Content_Type="text/xml")
    assert (answer.status, answer.json()["code"]) == (415, "request.unsupported_media")
    curls = await admin.api("POST", "/hub/api/users/bob", {}, Content_Type="application/x-www-form-urlencoded")
    assert curls.status == 201, "curl -d says so of JSON, and a program's token cannot be sent by a page"


@pytest.mark.parametrize(
    "body", [{"nane": "x"}, {"disabled": "yes"}, {"name": 1}, {"email": "nobody"}, {"role": "king"}]
)
async def test_a_wrong_field_is_named(site: Site, admin: Browser, body: dict[str, Any]) -> None:
    await site.auth.users.add("bob", Role.USER, "test")
    answer = await admin.api("PATCH", "/hub/api/users/bob", body)
    assert answer.status == 400
    assert next(iter(body)) in answer.json()["message"] or "role" in body


async def test_who_asks_too_often_is_told_to_wait(make_site: SiteMaker) -> None:
    site = await make_site(rate_limits=RateLimits(requests=5))
    await site.add("ada")
    ada = site.browser(headers={"Authorization": f"token {await site.token_of('ada')}"})
    answers = [await ada.api("GET", "/hub/api/user") for _ in range(6)]
    assert [answer.status for answer in answers] == [200] * 5 + [429]
    assert answers[0].headers["RateLimit"] == '"requests";r=4;t=12'
    last = answers[-1]
    assert (last.headers["Retry-After"], last.json()["code"]) == ("12", "request.too_many")
    assert last.headers["RateLimit"] == '"requests";r=0;t=60'
    await site.add("ben")
    ben = site.browser(headers={"Authorization": f"token {await site.token_of('ben')}"})
    assert (await ben.api("GET", "/hub/api/user")).status == 200, "another program has a limit of its own"


async def test_strangers_are_counted_by_address(make_site: SiteMaker) -> None:
    site = await make_site(rate_limits=RateLimits(requests_from_address=3))
    stranger = site.browser()
    assert [(await stranger.api("GET", "/hub/api/")).status for _ in range(4)] == [200, 200, 200, 429]
    assert (await site.browser(client="198.51.100.9").api("GET", "/hub/api/")).status == 200


async def test_tokens_are_made_less_often_than_other_calls(make_site: SiteMaker) -> None:
    site = await make_site(rate_limits=RateLimits(tokens=2))
    await site.add("ada")
    ada = site.browser(headers={"Authorization": f"token {await site.token_of('ada')}"})
    made = [(await ada.api("POST", "/hub/api/users/ada/tokens", {})).status for _ in range(3)]
    assert made == [201, 201, 429]
    guesses = {"auth": {"username": "ada", "password": "wrong"}}
    stranger = site.browser()
    assert [(await stranger.api("POST", "/hub/api/users/ada/tokens", guesses)).status for _ in range(3)][-1] == 429


async def test_a_request_that_comes_again_is_done_once(site: Site, admin: Browser) -> None:
    first = await admin.api("POST", "/hub/api/users/bob", {}, Idempotency_Key="k1")
    again = await admin.api("POST", "/hub/api/users/bob", {}, Idempotency_Key="k1")
    assert (first.status, again.status, again.json()) == (201, 201, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len([action for action in await site.actions() if action == "user.added"]) == 2
    other = await admin.api("POST", "/hub/api/users/bob", {"admin": True}, Idempotency_Key="k1")
    assert other.status == 400, "the key stands for another request"
    assert (await admin.api("POST", "/hub/api/users/bob", {})).status == 409
    await site.add("root2", Role.ADMIN)
    another = site.browser(headers={"Authorization": f"token {await site.token_of('root2')}"})
    assert (await another.api("POST", "/hub/api/users/bob", {}, Idempotency_Key="k1")).status == 409


async def test_nobody_makes_somebody_who_may_do_more(site: Site, admin: Browser) -> None:
    """CVE-2024-41942: whoever may administrate users could make administrators."""
    made = await admin.api("POST", "/hub/api/users/root1/tokens", {"scopes": ["admin:users", "list:users"]})
    helper = site.browser(headers={"Authorization": f"token {made.json()['token']}"})
    assert (await helper.api("POST", "/hub/api/users/bob")).status == 201
    await site.auth.users.add("root2", Role.ADMIN, "test")
    for method, path, body in (
        ("POST", "/hub/api/users/eve", {"admin": True}),
        ("POST", "/hub/api/users", {"usernames": ["eve"], "admin": True}),
        ("PATCH", "/hub/api/users/bob", {"admin": True}),
        ("PATCH", "/hub/api/users/bob", {"role": "admin"}),
        ("PATCH", "/hub/api/users/root2", {"disabled": True}),
        ("PATCH", "/hub/api/users/root2", {"name": "root9"}),
        ("DELETE", "/hub/api/users/root2", None),
    ):
        assert (await helper.api(method, path, body)).status == 403, (method, path)
    assert not (await site.auth.users.get("bob")).is_admin


CHANGES: list[tuple[str, str, Any, str]] = [
    ("POST", "/users", {"usernames": ["cid"]}, "user.added"),
    ("POST", "/users/dan", {}, "user.added"),
    ("PATCH", "/users/ada", {"name": "eva"}, "user.renamed"),
    ("PATCH", "/users/ada", {"disabled": True}, "user.disabled"),
    ("PATCH", "/users/ada", {"admin": True}, "user.role_changed"),
    ("PATCH", "/users/ada", {"display_name": "Ada"}, "user.described"),
    ("POST", "/users/root1/tokens", {}, "token.created"),
    ("POST", "/groups", {"groups": ["arts"]}, "group.added"),
    ("POST", "/groups/arts", {}, "group.added"),
    ("PATCH", "/groups/maths", {"display_name": "Maths"}, "group.changed"),
    ("DELETE", "/groups/maths", None, "group.deleted"),
    ("POST", "/groups/maths/users", {"users": ["ben"]}, "group.member_added"),
    ("DELETE", "/groups/maths/users", {"users": ["ada"]}, "group.member_removed"),
    ("POST", "/groups/maths/owners", {"users": ["ada"]}, "group.owner_added"),
    ("DELETE", "/groups/maths/owners", {"users": ["root1"]}, "group.owner_removed"),
    ("PUT", "/groups/maths/properties", {"profiles": ["datascience"]}, "group.properties_changed"),
    ("PUT", "/users/ada/culling/rules", {"kernel_idle": 3600}, "culling.rules_changed"),
    ("PUT", "/groups/maths/culling", {"kernel_idle": 3600}, "culling.rules_changed"),
    ("PUT", "/groups/maths/culling/owners", {"kernel_idle": 1800}, "culling.rules_changed"),
    ("POST", "/shutdown", {}, "hub.shut_down"),
]


@pytest.mark.parametrize(("method", "path", "body", "action"), CHANGES, ids=lambda value: str(value)[:30])
async def test_each_change_leaves_one_line_in_the_audit_log(
    site: Site, admin: Browser, method: str, path: str, body: Any, action: str
) -> None:
    for name in ("ada", "ben"):
        await site.auth.users.add(name, Role.USER, "test")
    await admin.api("POST", "/hub/api/groups/maths", {"users": ["ada"], "owners": ["root1"]})
    before = await site.actions()
    assert (await admin.api(method, f"/hub/api{path}", body)).status < 300
    after = await site.actions()
    assert after[: len(after) - len(before)] == [action]


def test_every_changing_route_is_among_those_that_are_audited() -> None:
    """But those audited elsewhere: starts, stops, what postpones them, ends of accounts, settings, profiles."""
    known = {(method, re.sub("root1|ada|dan|maths|arts", "x", path)) for method, path, *_ in CHANGES}
    for route in api_routes():
        if route.handler_class.__module__.endswith("records"):
            continue
        path = route.regex.pattern.removesuffix("$").removeprefix("/hub/api").replace("([^/]+)", "x")
        for method in getattr(route.handler_class, "methods", list)():
            elsewhere = "server" in path or path.endswith(("/activity", "/postpone"))
            elsewhere = elsewhere or (method, path) == ("DELETE", "/users/x")
            revoking = path == "/users/x/tokens/([0-9a-f-]{1,64})"
            assert method == "GET" or elsewhere or revoking or (method, path) in known, (method, path)


async def test_a_start_is_told_step_by_step(site: Site) -> None:
    user = await site.add("ada")
    token = await site.token_of("ada")
    progress, key = site.services.workspaces.progress, StartKey(user.id, "datascience")
    ada = site.browser(headers={"Authorization": f"token {token}"})
    idle = await ada.api("GET", "/hub/api/users/ada/server/progress")
    assert idle.status == 400, "as JupyterHub answers where nothing is being started"
    progress.request(key)
    host, port = site.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        head = (
            f"GET /hub/api/users/ada/server/progress HTTP/1.1\r\nHost: {host}\r\nAuthorization: token {token}\r\n"
            f"{INTERNAL_HEADER}: {INTERNAL_TOKEN}\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode())
        events: list[dict[str, Any]] = []

        async def next_event() -> dict[str, Any]:
            while True:
                line = (await reader.readline()).decode()
                if line.startswith("data: "):
                    events.append(json.loads(line.removeprefix("data: ")))
                    return events[-1]

        async with asyncio.timeout(10):
            assert (await next_event())["phase"] == "requested"
            gate = asyncio.Semaphore(0)
            waiting = [asyncio.ensure_future(_turn(site, other, gate)) for other in (StartKey(user.id, "other"), key)]
            queued = await next_event()
            assert (queued["phase"], queued["position"]) == ("queued", 1) and "1 start is ahead" in queued["message"]
            gate.release()
            assert (await next_event())["position"] == 0
            gate.release()
            await asyncio.gather(*waiting)
            progress.note(key, Phase.GREETING)
            assert (await next_event())["progress"] == 60
            progress.ready(key)
            last = await next_event()
            assert last["ready"] and last["url"] == "/user/ada/" and last["progress"] == 100
            assert (await reader.read()).endswith(b"0\r\n\r\n"), "the stream ends"
    finally:
        writer.close()


async def _turn(site: Site, key: StartKey, gate: asyncio.Semaphore) -> None:
    async with site.services.workspaces.progress.turn(key, gate):
        await asyncio.sleep(0)


async def test_a_start_that_failed_says_why(site: Site) -> None:
    user = await site.add("ada")
    ada = site.browser(headers={"Authorization": f"token {await site.token_of('ada')}"})
    site.services.workspaces.progress.fail(StartKey(user.id, "datascience"), "The image is not there.")
    answer = await ada.get("/hub/api/users/ada/server/progress")
    [event] = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert event["failed"] and event["message"] == "The image is not there." and "ready" not in event


async def test_what_a_script_reads_by_the_cookie_needs_a_form_token(site: Site) -> None:
    """Vega's charts in outputs that nobody trusted can ask for any address; they know no token."""
    ada = await site.signed_in("ada")
    fetched = {"Sec_Fetch_Mode": "cors", "Sec_Fetch_Dest": "empty", "Sec_Fetch_Site": "same-origin"}
    assert (await ada.get("/hub/api/user", **fetched)).json()["code"] == "auth.forged"
    assert (await ada.get("/hub/api/user", X_XSRFToken="wrong", **fetched)).status == 403
    assert (await ada.get("/hub/api/user", X_XSRFToken=await ada.form_token(), **fetched)).status == 200
    assert (await ada.get("/hub/api/user", Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document")).status == 200
