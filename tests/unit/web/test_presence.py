"""What a browser's sign-in alone permits, what proof of presence adds, and how the cookie's secret changes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hub.domain.users import Role
from tests.unit.web.conftest import PASSWORD, Browser, Site, SiteMaker

NAVIGATION = {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}


@pytest.fixture
async def admin(site: Site) -> Browser:
    """An administrator who has signed in and proven nothing more."""
    await site.add("root1", Role.ADMIN)
    browser = site.browser()
    await browser.sign_in("root1")
    return browser


async def test_administrators_are_asked_first_and_come_where_they_wanted(site: Site, admin: Browser) -> None:
    asked = await admin.get("/hub/admin/people?search=a")
    assert (asked.status, asked.location) == (302, "/hub/confirm?next=/hub/admin/people%3Fsearch%3Da")
    wrong = await admin.submit("/hub/confirm", {"password": "wrong", "next": "/hub/admin/people"}, asked.location)
    assert wrong.status == 403
    assert (await admin.get("/hub/admin/people")).status == 302
    fields = {"password": PASSWORD, "next": "/hub/admin/people"}
    right = await admin.submit("/hub/confirm", fields, asked.location)
    assert (right.status, right.location) == (302, "/hub/admin/people")
    assert (await admin.get("/hub/admin/people")).status == 200
    assert await site.actions("presence.") == ["presence.proven"]


async def test_ones_own_things_need_no_presence(admin: Browser) -> None:
    for path in ("/hub/home", "/hub/token"):
        assert (await admin.get(path)).status == 200


async def test_second_factors_need_presence_though_they_are_ones_own(site: Site) -> None:
    browser = await site.signed_in("ada")
    assert "/hub/confirm" in (await browser.get("/hub/account/security")).location
    await browser.prove_presence()
    assert (await browser.get("/hub/account/security")).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Mode": None, "Sec_Fetch_Dest": None},
        {"Sec_Fetch_Mode": "cors", "Sec_Fetch_Dest": "empty"},
        {"Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "script"},
        {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"},
        {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "object"},
        {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document", "Sec_Purpose": "prefetch;prerender"},
        {"X_XSRFToken": ""},
        {"X_XSRFToken": "a" * 43},
    ],
)
async def test_only_a_whole_tabs_navigation_shows_administrators_pages(
    admin: Browser, headers: dict[str, str | None]
) -> None:
    await admin.prove_presence()
    answer = await admin.get("/hub/admin/people", **{**NAVIGATION, **headers})
    assert answer.status in (302, 403)
    if answer.status == 403:
        assert answer.headers["X-Presence"] == "required"
    home = await admin.get("/hub/home", **{**NAVIGATION, **headers})
    assert admin.presence not in home.text


async def test_requests_of_our_pages_carry_the_token(site: Site, admin: Browser) -> None:
    own = await admin.form_token()
    await admin.prove_presence()
    assert admin.presence != own
    for token, status in ((admin.presence, 200), (own, 403), ("", 403)):
        answer = await admin.api("GET", "/hub/api/users", X_XSRFToken=token)
        assert answer.status == status
    assert (await admin.post("/hub/admin/people", {"name": "new1", "_xsrf": own})).status == 403
    assert (await admin.post("/hub/admin/people", {"name": "new2", "_xsrf": admin.presence})).status == 200
    assert [user.name for user in await site.auth.users.list("new")] == ["new2"]


async def test_users_own_addresses_never_hold_the_presences_token(make_site: SiteMaker) -> None:
    site: Site = await make_site(jupyter=True)
    browser = await site.signed_in("root1", Role.ADMIN)
    answer = await browser.get("/user/root1/git-pull?repo=https://git.example/x")
    assert browser.presence not in answer.text
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin-allow-popups"
    hub_page = await browser.get("/hub/home")
    assert browser.presence in hub_page.text
    assert hub_page.headers["Cross-Origin-Opener-Policy"] == "same-origin"


async def test_presence_slides_with_use_and_ends_without(site: Site, admin: Browser) -> None:
    await admin.prove_presence()
    for _ in range(5):
        site.clock.advance(timedelta(minutes=25))
        assert (await admin.get("/hub/admin/people")).status == 200
    for _ in range(4):  # what a page asks for by itself does not keep it open
        site.clock.advance(timedelta(minutes=10))
        await admin.api("GET", "/hub/api/users")
    assert (await admin.get("/hub/admin/people")).status == 302


async def test_presence_belongs_to_one_browser(site: Site, admin: Browser) -> None:
    await admin.prove_presence()
    other = site.browser()
    await other.sign_in("root1")
    assert (await other.get("/hub/admin/people")).status == 302
    assert (await other.api("GET", "/hub/api/users", X_XSRFToken=admin.presence)).status == 403


async def test_a_cookie_copied_before_the_proof_proves_nothing(site: Site, admin: Browser) -> None:
    thief = site.browser(cookies=dict(admin.cookies))
    await admin.prove_presence()
    assert thief.cookies["kernelhub"] != admin.cookies["kernelhub"]
    assert (await thief.get("/hub/admin/people")).status == 302
    site.clock.advance(timedelta(seconds=61))
    assert (await thief.get("/hub/home")).location.startswith("/hub/login")


async def test_the_cookies_secret_changes_once_a_day_and_the_one_before_counts_a_minute(site: Site) -> None:
    browser = await site.signed_in("ada")
    form, first = await browser.form_token(), browser.cookies["kernelhub"]
    for _ in range(4):
        site.clock.advance(timedelta(hours=6))
        await browser.get("/hub/home")
    second = browser.cookies["kernelhub"]
    assert second != first
    assert await browser.form_token() == form, "pages that are open go on working"
    old = site.browser(cookies={"kernelhub": first})
    assert (await old.get("/hub/home")).status == 200
    assert old.cookies["kernelhub"] == first
    site.clock.advance(timedelta(seconds=61))
    assert (await old.get("/hub/home")).status == 302
    assert (await browser.get("/hub/home")).status == 200


async def test_a_change_of_role_changes_the_secret(site: Site) -> None:
    browser = await site.signed_in("ada")
    before = browser.cookies["kernelhub"]
    await site.auth.users.set_role(await site.auth.users.get("ada"), Role.ADMIN, "test")
    await browser.get("/hub/home")
    assert browser.cookies["kernelhub"] != before


async def test_api_tokens_need_no_presence(site: Site) -> None:
    await site.add("root1", Role.ADMIN)
    token = await site.token_of("root1")
    answer = await site.browser().api("GET", "/hub/api/users", Authorization=f"token {token}")
    assert answer.status == 200


async def test_no_cookie_that_was_stolen_outlives_the_sign_out(site: Site) -> None:
    browser = await site.signed_in("ada")
    thief = site.browser(cookies=dict(browser.cookies))
    assert (await thief.get("/hub/home")).status == 200
    await browser.submit("/hub/logout")
    assert (await thief.get("/hub/home")).status == 302
    assert (await thief.api("GET", "/hub/api/user")).status in (401, 403)
