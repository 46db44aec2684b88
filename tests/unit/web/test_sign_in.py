"""Signing in and out, the first administrator, invitations."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from hub.domain.users import Role
from tests.unit.web.conftest import OTHER_PASSWORD, PASSWORD, Site, SiteMaker


async def test_whoever_is_not_signed_in_is_led_to_the_sign_in_page_and_back(site: Site) -> None:
    await site.add("alice")
    browser = site.browser()
    refused = await browser.get("/hub/home")
    assert (refused.status, refused.location) == (302, "/hub/login?next=/hub/home")
    form = await browser.get(refused.location)
    assert form.value_of("next") == "/hub/home"
    answer = await browser.sign_in("alice", next="/hub/home")
    assert (answer.status, answer.location) == (302, "/hub/home")
    assert (await browser.get("/hub/home")).status == 200


async def test_signing_in_leads_to_jupyterlab_and_asks_for_the_container(site: Site) -> None:
    await site.add("alice")
    answer = await site.browser().sign_in("alice")
    assert answer.location == "/user/alice/lab"
    assert site.workspaces.asked_for == ["alice"]


async def test_no_container_is_asked_for_when_the_settings_say_so(make_site: SiteMaker) -> None:
    site: Site = await make_site(start_workspace="kernel")
    await site.add("alice")
    await site.browser().sign_in("alice")
    assert site.workspaces.asked_for == []


async def test_any_spelling_of_the_name_signs_in(site: Site) -> None:
    await site.add("alice")
    for spelling in ("Alice", "ALICE", "ａｌｉｃｅ"):
        assert (await site.browser().sign_in(spelling)).location == "/user/alice/lab"


async def test_the_cookie_is_hidden_from_scripts_and_other_sites(site: Site) -> None:
    await site.add("alice")
    cookie = (await site.browser().sign_in("alice")).cookies[0]
    assert cookie.startswith("kernelhub=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


async def test_with_https_the_cookies_are_bound_to_the_host(make_site: SiteMaker) -> None:
    site: Site = await make_site(public_url="https://hub.example.edu")
    await site.add("alice")
    answer = await site.browser().sign_in("alice")
    assert answer.cookies[0].startswith("__Host-kernelhub=")
    assert "Secure" in answer.cookies[0].split("; ")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


async def test_a_planted_cookie_is_not_taken_over(site: Site) -> None:
    await site.add("alice")
    victim = site.browser(cookies={"kernelhub": "A" * 43})
    await victim.sign_in("alice")
    assert victim.cookies["kernelhub"] != "A" * 43
    planted = site.browser(cookies={"kernelhub": "A" * 43})
    assert (await planted.get("/hub/home")).status == 302


async def test_signing_in_again_ends_the_sign_in_that_the_browser_had(site: Site) -> None:
    browser = await site.signed_in("alice")
    stolen = site.browser(cookies=dict(browser.cookies))
    assert (await stolen.get("/hub/home")).status == 200
    await browser.submit("/hub/logout")
    await browser.sign_in("alice")
    assert (await stolen.get("/hub/home")).status == 302


async def test_two_different_cookies_of_our_name_are_none(site: Site) -> None:
    browser = await site.signed_in("alice")
    mine = browser.cookies["kernelhub"]
    answer = await site.browser().get("/hub/home", Cookie=f"kernelhub=planted; kernelhub={mine}")
    assert answer.status == 302


@pytest.mark.parametrize(("name", "password"), [("alice", "wrong"), ("nobody", PASSWORD), ("../x", PASSWORD)])
async def test_a_refusal_does_not_tell_whether_the_user_exists(site: Site, name: str, password: str) -> None:
    await site.add("alice")
    answer = await site.browser().sign_in(name, password)
    assert answer.status == 403
    assert "The name or the password is wrong." in answer.text
    assert not [cookie for cookie in answer.cookies if cookie.startswith("kernelhub=")]
    assert await site.actions("sign_in.refused") == ["sign_in.refused"]


async def test_after_many_wrong_passwords_even_the_right_one_has_to_wait_a_little(site: Site) -> None:
    await site.add("alice")
    browser = site.browser()
    for _ in range(5):
        assert (await browser.sign_in("alice", "wrong wrong wrong")).status == 403
    throttled = await browser.sign_in("alice")
    assert throttled.status == 429
    assert 1 <= int(throttled.headers["Retry-After"]) <= 5
    site.clock.advance(timedelta(seconds=int(throttled.headers["Retry-After"])))
    assert (await browser.sign_in("alice")).status == 302


async def test_a_guesser_elsewhere_does_not_lock_the_owner_out(site: Site) -> None:
    owner = await site.signed_in("alice", client="192.0.2.1")
    await owner.submit("/hub/logout")
    for number in range(40):
        await site.browser(client=f"198.51.100.{number}").sign_in("alice", "wrong wrong wrong")
    assert (await site.browser(client="198.51.100.200").sign_in("alice", "wrong wrong wrong")).status == 429
    assert (await owner.sign_in("alice")).status == 302


async def test_a_disabled_user_cannot_sign_in_and_is_told_why_only_with_the_right_password(site: Site) -> None:
    user = await site.add("alice")
    await site.auth.users.disable(user, "test")
    assert "is disabled" in (await site.browser().sign_in("alice")).text
    assert "is disabled" not in (await site.browser().sign_in("alice", "wrong wrong wrong")).text


async def test_a_huge_name_is_neither_logged_nor_stored(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    browser = site.browser()
    token = await browser.form_token("/hub/login")
    caplog.clear()
    for size in (30_000, 1_000_000):
        name = "x\r\n\x1b[2J" * (size // 8)
        answer = await browser.post("/hub/login", {"username": name, "password": "p", "_xsrf": token})
        assert answer.status in (403, 413, 599), answer.status
    logged = "".join(record.getMessage() for record in caplog.records if record.name.startswith(("hub", "kernelhub")))
    assert len(logged) < 2000
    assert "\x1b" not in logged
    assert len(await site.audit_text()) < 2000


async def test_signing_out_takes_a_form_and_ends_the_sign_in_everywhere_it_was_copied_to(site: Site) -> None:
    browser = await site.signed_in("alice")
    copy = site.browser(cookies=dict(browser.cookies))
    assert (await browser.get("/hub/logout")).status == 200
    assert (await copy.get("/hub/home")).status == 200, "a GET signs nobody out"
    answer = await browser.submit("/hub/logout", page="/hub/logout")
    assert (answer.status, answer.location) == (302, "/hub/login?signed_out=1")
    assert "kernelhub" not in browser.cookies
    refused = await copy.get("/hub/home")
    assert refused.status == 302
    assert not [cookie for cookie in refused.cookies if cookie.startswith("kernelhub=") and '""' not in cookie]


async def test_the_sign_out_page_answers_itself_only_for_our_own_pages(site: Site) -> None:
    browser = await site.signed_in("alice")
    ours = await browser.get("/hub/logout", Sec_Fetch_Site="same-origin")
    theirs = await browser.get("/hub/logout", Sec_Fetch_Site="cross-site")
    assert "data-submit-now" in ours.text
    assert "data-submit-now" not in theirs.text


async def test_a_sign_in_ends_when_unused_and_in_any_case_after_a_week(site: Site) -> None:
    browser = await site.signed_in("alice")
    site.clock.advance(timedelta(seconds=8 * 3600))
    assert (await browser.get("/hub/home")).status == 302
    browser = site.browser()
    await browser.sign_in("alice")
    for _ in range(7 * 24):
        site.clock.advance(timedelta(seconds=3600))
        last = await browser.get("/hub/home")
    assert last.status == 302


async def test_the_first_administrator_comes_by_a_link_that_works_once(site: Site) -> None:
    secret = await site.auth.invitations.create_setup()
    browser = site.browser()
    page = f"/hub/setup/{secret}"
    fields = {"username": "Root.Admin", "password": PASSWORD, "again": PASSWORD}
    answer = await browser.submit(page, fields, page)
    assert (answer.status, answer.location) == (302, "/user/root.admin/lab")
    await browser.prove_presence()
    assert (await browser.get("/hub/admin")).status == 200
    assert (await site.browser().get(page)).status == 410
    assert await site.auth.invitations.create_setup() is None


async def test_mistakes_at_the_first_link_leave_it_usable(site: Site) -> None:
    secret = await site.auth.invitations.create_setup()
    page, browser = f"/hub/setup/{secret}", site.browser()
    for wrong in (
        {"username": "admin", "password": "short", "again": "short"},
        {"username": "a/b", "password": PASSWORD, "again": PASSWORD},
        {"username": "admin", "password": PASSWORD, "again": PASSWORD + "x"},
        {"username": "hub", "password": PASSWORD, "again": PASSWORD},
    ):
        assert (await browser.submit(page, wrong, page)).status == 400
    right = {"username": "admin", "password": PASSWORD, "again": PASSWORD}
    assert (await browser.submit(page, right, page)).status == 302


async def test_a_newer_setup_link_and_a_day_end_the_older_one(site: Site) -> None:
    first = await site.auth.invitations.create_setup()
    second = await site.auth.invitations.create_setup()
    assert (await site.browser().get(f"/hub/setup/{first}")).status == 410
    assert (await site.browser().get(f"/hub/setup/{second}")).status == 200
    site.clock.advance(timedelta(seconds=24 * 3600))
    assert (await site.browser().get(f"/hub/setup/{second}")).status == 410


async def test_an_invitation_sets_the_password_once(site: Site) -> None:
    user = await site.auth.users.add("bob", Role.USER, "test")
    secret = await site.auth.invitations.create_for(user, "test")
    page, browser = f"/hub/invitation/{secret}", site.browser()
    assert (await browser.get(page)).value_of("username") == "bob"
    fields = {"username": "mallory", "password": PASSWORD, "again": PASSWORD}
    assert (await browser.submit(page, fields, page)).location == "/user/bob/lab"
    assert (await site.browser().get(page)).status == 410
    assert (await site.browser().sign_in("bob")).status == 302


async def test_a_new_password_by_link_ends_all_sign_ins(site: Site) -> None:
    browser = await site.signed_in("bob")
    user = await site.auth.users.get("bob")
    secret = await site.auth.invitations.create_for(user, "test")
    page = f"/hub/invitation/{secret}"
    fields = {"password": OTHER_PASSWORD, "again": OTHER_PASSWORD}
    assert (await site.browser().submit(page, fields, page)).status == 302
    assert (await browser.get("/hub/home")).status == 302


async def test_no_secret_is_in_any_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    canary = "canary-4711-and-more-words"
    browser = await site.signed_in("alice")
    await site.browser().sign_in("alice", canary)
    await site.browser().sign_in(canary, canary)
    token = await site.token_of("alice")
    await site.browser().get(f"/hub/home?token={canary}", Authorization=f"token {token}", X_Canary=canary)
    await site.browser().get("/hub/home", Authorization=f"token {canary}", Cookie=f"kernelhub={canary}")
    await site.browser().get(f"/nowhere?x={canary}")
    logs = "".join(
        record.getMessage() + str(record.exc_text or "")
        for record in caplog.records
        if record.name.startswith(("hub", "kernelhub", "tornado"))
    )
    seen = logs + await site.audit_text()
    for secret in (canary, token, browser.cookies["kernelhub"], PASSWORD):
        assert secret not in seen
