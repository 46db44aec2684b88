"""People make accounts themselves, as far as the settings let them; and a gateway's word for who somebody is."""

from __future__ import annotations

from typing import Any

import pytest

from hub.config.sign_in import HeaderSignIn
from hub.domain.users import Role
from tests.unit.web.conftest import PASSWORD, Answer, Site, SiteMaker

GATEWAY = {"header": "X-Remote-User", "addresses": ["192.0.2.0/24"], "groups_header": "X-Remote-Groups"}


async def register(site: Site, name: str, **fields: str) -> Answer:
    typed = {"username": name, "password": PASSWORD, "again": PASSWORD, **fields}
    return await site.browser().submit("/hub/register", typed, "/hub/register")


async def test_it_is_closed_unless_the_settings_open_it(site: Site) -> None:
    assert (await site.browser().get("/hub/register")).status == 404
    assert "/hub/register" not in (await site.browser().get("/hub/login")).text


async def test_open_registration_signs_in_at_once(make_site: SiteMaker) -> None:
    site: Site = await make_site(registration="open")
    assert "/hub/register" in (await site.browser().get("/hub/login")).text
    assert (await register(site, "Ada")).location == "/user/ada/lab"
    assert (await site.auth.users.get("ada")).role == "user"
    assert (await register(site, "ada")).status == 409
    assert (await register(site, "eve", password="short", again="short")).status == 400
    assert (await register(site, "eve", again="another one altogether")).status == 400
    assert (await register(site, "../x")).status == 400


async def test_with_approval_nobody_gets_in_before_an_administrators_word(make_site: SiteMaker) -> None:
    site: Site = await make_site(registration="approval")
    admin = await site.signed_in("root1", Role.ADMIN)
    answer = await register(site, "ada", display_name="Ada <b>L</b>", message="I am <script>new</script>")
    assert "An administrator decides" in answer.text
    assert (await site.browser().sign_in("ada")).status == 403
    site.clock.advance(site.auth.sign_ins.longest / 10_000)
    page = await admin.get("/hub/admin/registrations")
    assert "Requests (1)" in page.text
    assert "&lt;script&gt;new" in page.text
    [wish] = await site.services.registrations.list()
    token = page.value_of("_xsrf")
    assert (await admin.post(f"/hub/admin/registrations/{wish.id}/approve", {"_xsrf": token})).status == 302
    assert (await site.browser().sign_in("ada")).status == 302
    assert (await admin.post(f"/hub/admin/registrations/{wish.id}/approve", {"_xsrf": token})).status == 404
    await register(site, "bob")
    [wish] = await site.services.registrations.list()
    await admin.post(f"/hub/admin/registrations/{wish.id}/refuse", {"_xsrf": token})
    assert (await site.browser().sign_in("bob")).status == 403
    assert await site.actions("registration.") == [
        "registration.refused",
        "registration.asked",
        "registration.approved",
        "registration.asked",
    ]


async def test_a_script_cannot_fill_the_list(make_site: SiteMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.auth.registrations.MOST_PER_ADDRESS", 3)
    site: Site = await make_site(registration="approval")
    assert [(await register(site, f"bot{n}")).status for n in range(5)] == [200, 200, 200, 429, 429]


async def test_a_gateways_header_signs_in_and_finds_only_its_own_people(make_site: SiteMaker) -> None:
    site: Site = await make_site(header_sign_in=HeaderSignIn.model_validate(GATEWAY))
    await site.add("ada", Role.ADMIN)
    browser = site.browser(headers={"X-Remote-User": "ada", "X-Remote-Groups": "physics, art"})
    answer = await browser.get("/hub/login?next=/hub/home")
    assert (answer.status, answer.location) == (302, "/hub/home")
    assert "ada2" in (await browser.get("/hub/home")).text
    ada2 = await site.auth.users.get("ada2")
    async with site.store.reading() as unit:
        assert [group.name for group in await unit.groups.list_for(ada2.id)] == ["art", "physics"]


async def test_somebody_else_at_the_gateway_is_somebody_else_here(make_site: SiteMaker) -> None:
    site: Site = await make_site(header_sign_in=HeaderSignIn.model_validate(GATEWAY))
    browser = site.browser(headers={"X-Remote-User": "ada"})
    await browser.get("/hub/login")
    assert "ada" in (await browser.get("/hub/home")).text
    browser.headers["X-Remote-User"] = "bob"
    assert (await browser.get("/hub/home")).location.startswith("/hub/login")
    await browser.get("/hub/login")
    assert "bob" in (await browser.get("/hub/home")).text


async def test_without_the_setting_the_header_is_nothing(site: Site) -> None:
    await site.add("ada")
    browser = site.browser(headers={"X-Remote-User": "ada"})
    assert (await browser.get("/hub/login")).status == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"header": "X-Remote-User"},
        {"addresses": ["10.0.0.1"]},
        {"header": "X-Remote-User", "addresses": ["0.0.0.0/0"]},
        {"header": "X-Remote-User", "addresses": ["nonsense"]},
        {"header": "Cookie", "addresses": ["10.0.0.1"]},
        {"header": "X-Kernelhub-Internal", "addresses": ["10.0.0.1"]},
        {"groups_header": "X-Groups"},
        {"header": "X-A", "addresses": ["10.0.0.1"], "trusted": True},
    ],
)
def test_a_gateway_that_would_let_in_anybody_is_no_setting(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"header|addresses|everybody|network|Extra|address"):
        HeaderSignIn.model_validate(wrong)


async def test_where_providers_do_it_for_all_there_is_no_password_form(make_site: SiteMaker) -> None:
    site: Site = await make_site(password_sign_in=False)
    await site.add("ada")
    page = await site.browser().get("/hub/login")
    assert 'name="password"' not in page.text
    assert "Nobody can sign in on this page" in page.text
