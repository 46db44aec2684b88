"""From the password to the second factor, by the pages that people see."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import pyotp
import pytest

from hub.domain.users import Role
from hub.store.second_factors import FactorKind
from tests.unit.web.conftest import PASSWORD, Browser, Site, SiteMaker


async def add_app(site: Site, browser: Browser) -> tuple[pyotp.TOTP, list[str]]:
    """Add an app by the pages; gives it, and the recovery codes that were shown."""
    page = await browser.get("/hub/account/security/app")
    app = app_in(page.text)
    fields = {"state": page.value_of("state"), "_xsrf": page.value_of("_xsrf"), "code": app.at(site.clock.now())}
    answer = await browser.post("/hub/account/security/app", fields)
    site.clock.advance(timedelta(seconds=31))
    return app, re.findall(r"<li><code>([a-z0-9-]{19})</code>", answer.text)


def app_in(text: str) -> pyotp.TOTP:
    typed = re.search(r'class="key">([^<]+)<', text)
    assert typed
    return pyotp.TOTP(unescape(typed[1]).replace(" ", ""))


@pytest.fixture
async def ada(site: Site) -> Browser:
    browser = await site.signed_in("ada")
    await browser.prove_presence()
    return browser


async def test_a_password_alone_lets_nobody_in_who_has_an_app(site: Site, ada: Browser) -> None:
    app, codes = await add_app(site, ada)
    assert len(codes) == 10
    browser = site.browser()
    answer = await browser.sign_in("ada", next="/hub/token")
    assert answer.location == "/hub/login/second"
    assert "kernelhub" not in browser.cookies
    wrong = await browser.submit("/hub/login/second", {"code": "000000"}, "/hub/login/second")
    assert (wrong.status, "wrong" in wrong.text) == (403, True)
    right = await browser.submit("/hub/login/second", {"code": app.at(site.clock.now())}, "/hub/login/second")
    assert (right.status, right.location) == (302, "/hub/token")
    assert (await browser.get("/hub/home")).status == 200


async def test_a_recovery_code_lets_in_instead(site: Site, ada: Browser) -> None:
    _, codes = await add_app(site, ada)
    browser = site.browser()
    await browser.sign_in("ada")
    right = await browser.submit("/hub/login/second", {"code": codes[0]}, "/hub/login/second")
    assert right.status == 302


async def test_an_attempt_belongs_to_its_browser_and_to_ten_minutes(site: Site, ada: Browser) -> None:
    await add_app(site, ada)
    browser = site.browser()
    await browser.sign_in("ada")
    assert (await site.browser().get("/hub/login/second")).location == "/hub/login"
    site.clock.advance(timedelta(minutes=11))
    assert (await browser.get("/hub/login/second")).location == "/hub/login"


async def test_an_attempt_lets_in_once(site: Site, ada: Browser) -> None:
    _, codes = await add_app(site, ada)
    browser = site.browser()
    await browser.sign_in("ada")
    attempt = browser.cookies["kernelhub-attempt"]
    await browser.submit("/hub/login/second", {"code": codes[0]}, "/hub/login/second")
    again = site.browser(cookies={"kernelhub-attempt": attempt})
    assert (await again.get("/hub/login/second")).location == "/hub/login"


async def test_a_link_to_set_a_password_is_no_way_around_it(site: Site, ada: Browser) -> None:
    await add_app(site, ada)
    user = await site.auth.users.get("ada")
    secret = await site.auth.invitations.create_for(user, "admin")
    browser, page = site.browser(), f"/hub/invitation/{secret}"
    answer = await browser.submit(page, {"password": PASSWORD, "again": PASSWORD}, page)
    assert answer.location == "/hub/login/second"


async def test_who_must_have_one_sets_it_up_while_signing_in(make_site: SiteMaker) -> None:
    site: Site = await make_site(second_factor="administrators")
    await site.add("root1", Role.ADMIN)
    await site.signed_in("ada")  # nobody asks her
    browser = site.browser()
    assert (await browser.sign_in("root1")).location == "/hub/login/second"
    page = await browser.get("/hub/login/second")
    app = app_in(page.text)
    fields = {"state": page.value_of("state"), "_xsrf": page.value_of("_xsrf")}
    wrong = await browser.post("/hub/login/second", {**fields, "code": "123456"})
    assert (wrong.status, app_in(wrong.text).secret) == (403, app.secret)
    right = await browser.post("/hub/login/second", {**fields, "code": app.at(site.clock.now())})
    assert "Keep these codes" in right.text
    assert (await browser.get("/hub/home")).status == 200


async def test_factors_are_named_and_removed(site: Site, ada: Browser) -> None:
    await add_app(site, ada)
    ada_herself = await site.auth.users.get("ada")
    [factor] = [each for each in await site.auth.second_factors.of(ada_herself) if each.kind is FactorKind.APP]
    page = "/hub/account/security"
    assert (await ada.submit(f"{page}/{factor.id}/rename", {"name": "Telephone"}, page)).status == 302
    assert "Telephone" in (await ada.get(page)).text
    assert (await ada.submit(f"{page}/{factor.id}/remove", {}, page)).status == 302
    assert await site.auth.second_factors.of(ada_herself) == []


async def test_a_scripts_post_without_presence_adds_nothing(site: Site) -> None:
    browser = await site.signed_in("ada")
    token = await browser.form_token()
    for path in ("app", "passkey", "codes"):
        answer = await browser.post(f"/hub/account/security/{path}", {"_xsrf": token})
        assert answer.status == 403
    assert await site.auth.second_factors.of(await site.auth.users.get("ada")) == []


async def test_questions_to_passkeys_are_answered_without_keeping_anything(site: Site) -> None:
    answer = await site.browser().api("GET", "/hub/login/passkey-question?for=sign-in")
    assert answer.json()["options"]["userVerification"] == "required"
    for what in ("second", "presence", "new", "first", "x"):
        assert (await site.browser().api("GET", f"/hub/login/passkey-question?for={what}")).status in (400, 403)


@pytest.mark.parametrize(
    "credential", ["", "{}", "nonsense", '{"rawId": "AAAA"}', "x" * 40_000, '{"rawId":' + "[" * 15_000]
)
async def test_a_made_up_passkey_is_refused(site: Site, credential: str) -> None:
    browser = site.browser()
    fields = {"credential": credential, "state": "x"}
    answer = await browser.submit("/hub/login/passkey", fields, "/hub/login")
    assert answer.status == 403
    assert "kernelhub" not in browser.cookies
