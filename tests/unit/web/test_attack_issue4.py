"""What an attack on issue 4 found: people, permissions, presence. Each test is one way in that was open."""

from __future__ import annotations

from datetime import timedelta

import pyotp
import pytest

from hub.domain.audit import AuditEvent
from hub.domain.users import MemberRole, Role
from hub.http.access_log import shown_path
from tests.unit.web.conftest import OTHER_PASSWORD, PASSWORD, Browser, Site, SiteMaker
from tests.unit.web.test_second_factor_pages import app_in

HELPDESK = {
    "helpdesk": {"scopes": ["admin:users", "read:users", "servers", "read:history", "message:users", "list:users"]}
}


async def token_of_a_script(browser: Browser, name: str) -> str:
    """What a script in a notebook page can make: it knows the sign-in's form token, and has proven no presence."""
    made = await browser.api(
        "POST",
        f"/hub/api/users/{name}/tokens",
        {"note": "x", "scopes": ["self"]},
        X_XSRFToken=await browser.form_token(),
    )
    assert made.status == 201
    return str(made.json()["token"])


async def with_token(site: Site, browser: Browser, name: str) -> Browser:
    return site.browser(headers={"Authorization": f"token {await token_of_a_script(browser, name)}"})


@pytest.mark.parametrize(
    "path",
    [
        "/hub/account/security",
        "/hub/account/security/app",
        "/hub/account/security/passkey",
        "/hub/account/security/codes",
    ],
)
async def test_a_token_that_a_script_made_proves_nobodys_presence(site: Site, path: str) -> None:
    script = await with_token(site, await site.signed_in("alice"), "alice")
    assert (await script.get(path)).status == 403
    assert (await script.post(path)).status == 403


async def test_a_token_adds_no_second_factor(site: Site) -> None:
    script = await with_token(site, await site.signed_in("alice"), "alice")
    alice = await site.auth.users.get("alice")
    setup = site.auth.second_factors.begin_app(alice, "hub")
    code = pyotp.TOTP(setup.typed.replace(" ", "")).at(site.clock.now())
    await script.post("/hub/account/security/app", {"state": setup.state, "code": code, "name": "theirs"})
    assert await site.auth.second_factors.of(alice) == []


async def test_a_token_unlinks_nothing(site: Site) -> None:
    script = await with_token(site, await site.signed_in("alice"), "alice")
    assert (await script.post("/hub/oauth/unlink", {"issuer": "x", "subject": "y"})).status == 403


async def custom(make_site: SiteMaker, name: str = "hel", role: str = "helpdesk") -> tuple[Site, Browser]:
    site: Site = await make_site(roles=HELPDESK)
    await site.add(name, role)
    browser = site.browser()
    await browser.sign_in(name)
    await browser.prove_presence()
    return site, browser


@pytest.mark.parametrize("action", ["join", "leave"])
async def test_who_may_not_change_groups_moves_nobody(make_site: SiteMaker, action: str) -> None:
    site, browser = await custom(make_site)
    bob = await site.add("bob")
    group = await site.auth.groups.create("gpu", "test")
    if action == "leave":
        await site.auth.groups.add_members(group, [bob], "test")
    before = await members(site, "gpu")
    one = await browser.post(f"/hub/admin/users/bob/{action}", {"group": "gpu", "_xsrf": browser.presence})
    assert (one.status, await members(site, "gpu")) == (403, before)
    fields = {"group": "gpu", "action": action, "user": "bob", "_xsrf": browser.presence}
    await browser.post("/hub/admin/people/bulk", fields)
    assert await members(site, "gpu") == before


async def members(site: Site, group: str) -> dict[str, MemberRole]:
    found = await site.auth.groups.get(group)
    async with site.store.reading() as unit:
        return {one.user.name: one.role for one in await unit.groups.everybody(found.id)}


async def test_a_refusal_to_give_more_than_one_has_is_audited(make_site: SiteMaker) -> None:
    site, browser = await custom(make_site)
    await site.add("bob")
    await site.add("root1", Role.ADMIN)
    answer = await browser.api("PATCH", "/hub/api/users/bob", {"role": "admin"}, X_XSRFToken=browser.presence)
    assert answer.status == 403
    assert (await site.actions("access.refused")) == ["access.refused"]
    answer = await browser.post("/hub/admin/users/root1/invite", {"_xsrf": browser.presence})
    assert answer.status == 403
    assert (await site.actions("access.refused")) == ["access.refused"] * 2


async def test_a_link_made_before_a_promotion_makes_nobody_an_administrator(make_site: SiteMaker) -> None:
    site, browser = await custom(make_site)
    bob = await site.add("bob")
    page = await browser.post("/hub/admin/users/bob/invite", {"_xsrf": browser.presence})
    link = page.value_of("link").removeprefix(site.address)
    await site.auth.users.set_role(bob, Role.ADMIN, "test")
    assert (await site.browser().get(link)).status in (404, 410)


async def test_a_changed_password_ends_attempts_that_wait_for_the_second_factor(site: Site) -> None:
    browser = await site.signed_in("ada")
    await browser.prove_presence()
    page = await browser.get("/hub/account/security/app")
    app = app_in(page.text)
    fields = {"state": page.value_of("state"), "_xsrf": page.value_of("_xsrf"), "code": app.at(site.clock.now())}
    await browser.post("/hub/account/security/app", fields)
    thief = site.browser()
    assert (await thief.sign_in("ada")).location == "/hub/login/second"
    site.clock.advance(timedelta(seconds=31))
    await site.auth.passwords.set(await site.auth.users.get("ada"), OTHER_PASSWORD, "test")
    assert (await thief.get("/hub/login/second")).location == "/hub/login"


async def test_an_attempt_to_set_up_a_factor_ends_when_there_is_one(make_site: SiteMaker) -> None:
    site: Site = await make_site(second_factor="everybody")
    await site.add("ada")
    thief, ada = site.browser(), site.browser()
    for browser in (thief, ada):
        assert (await browser.sign_in("ada")).location == "/hub/login/second"
    page = await ada.get("/hub/login/second")
    fields = {"state": page.value_of("state"), "_xsrf": page.value_of("_xsrf")}
    done = await ada.post("/hub/login/second", {**fields, "code": app_in(page.text).at(site.clock.now())})
    assert "Keep these codes" in done.text
    assert (await thief.get("/hub/login/second")).location == "/hub/login"


def test_the_secret_of_a_registration_link_is_in_no_log() -> None:
    assert "s3cret" not in shown_path("/hub/lti/register/s3cret")


async def test_an_export_tells_nothing_of_others_addresses(site: Site) -> None:
    browser = await site.signed_in("ada")
    ada = await site.auth.users.get("ada")
    async with site.store.unit() as unit:
        event = AuditEvent(site.clock.now(), "user.described", "somebody", ada.id, "203.0.113.77")
        await unit.audit.add(event)
    said = await browser.get("/hub/home/export")
    assert said.status == 200
    assert "203.0.113.77" not in said.text
    assert browser.client in said.text
    assert PASSWORD not in said.text


async def test_nothing_of_somebody_who_is_disabled_is_started(site: Site) -> None:
    admin = await site.signed_in("root1", Role.ADMIN)
    bob = await site.add("bob")
    await site.auth.users.disable(bob, "test")
    answer = await admin.api("POST", "/hub/api/users/bob/server", {}, X_XSRFToken=admin.presence)
    assert (answer.status, "bob" in site.workspaces.asked_for) == (409, False)


async def test_who_becomes_administrator_while_signed_in_needs_the_second_factor_for_it(make_site: SiteMaker) -> None:
    site: Site = await make_site(second_factor="administrators")
    browser = await site.signed_in("ada")
    await site.auth.users.set_role(await site.auth.users.get("ada"), Role.ADMIN, "test")
    answer = await browser.submit("/hub/confirm", {"password": PASSWORD})
    assert (answer.status, "second factor" in answer.text) == (403, True)
    assert "presence.proven" not in await site.actions()


async def test_who_may_only_change_settings_says_not_who_people_are(make_site: SiteMaker) -> None:
    site: Site = await make_site(roles={"settler": {"scopes": ["admin:settings", "admin-ui"]}}, lti={"enabled": True})
    await site.add("sam", "settler")
    browser = site.browser()
    await browser.sign_in("sam")
    await browser.prove_presence()
    platform = {
        **{"name": "evil", "issuer": "https://lms.example.edu", "client_id": "1", "deployments": "1"},
        **{f"{name}_url": "https://evil.example/x" for name in ("authorize", "token", "jwks")},
    }
    answer = await browser.post("/hub/admin/platforms", {**platform, "_xsrf": browser.presence})
    assert (answer.status, await site.auth.lti.platforms.list()) == (403, [])
    answer = await browser.post("/hub/admin/platforms/invite", {"name": "evil", "_xsrf": browser.presence})
    assert (answer.status, "/hub/lti/register/" in answer.text) == (403, False)
    assert (await browser.get("/hub/admin/platforms")).status == 200
