"""A user's own pages: container, sign-ins, password, tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hub.config import Profile
from hub.domain.ids import KernelId, SessionId, UserId
from hub.domain.kernels import KernelState, Session
from hub.domain.users import Role, User
from hub.errors import AgentSilent
from hub.web.account.my_containers import use_of
from hub.workspaces.image_kernelspecs import KernelspecList
from proxy.contract.agent import Kernelspec
from tests.unit.web.conftest import OTHER_PASSWORD, PASSWORD, Site, SiteMaker

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def test_the_start_page_leads_home_or_to_the_sign_in_page(site: Site) -> None:
    browser = await site.signed_in("alice")
    for path in ("/", "/hub", "/hub/"):
        assert (await browser.get(path)).location == "/hub/home"
        assert (await site.browser().get(path)).location == "/hub/login"
    assert (await browser.get("/hub/login")).location == "/hub/home"


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/hub/user-redirect/lab/tree/a%20b.ipynb?x=1&y=%2F", "/user/alice/lab/tree/a%20b.ipynb?x=1&y=%2F"),
        ("/hub/user-redirect/", "/user/alice/lab"),
        ("/hub/user-redirect/git-pull?repo=https%3A%2F%2Fx", "/user/alice/git-pull?repo=https%3A%2F%2Fx"),
        ("/hub/spawn/alice", "/hub/home"),
    ],
)
async def test_links_for_everybody_lead_to_ones_own_address(site: Site, path: str, target: str) -> None:
    assert (await (await site.signed_in("alice")).get(path)).location == target


@pytest.mark.parametrize("path", ["/evil.example", "%2fevil.example", "..%2f..//evil.example", "%5cevil", "../x"])
async def test_links_for_everybody_lead_nowhere_else(site: Site, path: str) -> None:
    answer = await (await site.signed_in("alice")).get("/hub/user-redirect/" + path)
    assert answer.status in (404, 302)
    assert answer.status == 404 or answer.location.startswith("/user/alice/")


async def test_the_home_page_shows_container_and_kernels_in_words(site: Site) -> None:
    browser = await site.signed_in("alice")
    empty = await browser.get("/hub/home")
    assert "It starts by itself when you open a notebook." in empty.text
    workspace = site.workspaces.run(await site.auth.users.get("alice"))
    site.kernels.run(workspace, KernelState.BUSY, connections=2)
    site.kernels.run(workspace, KernelState.DEAD, reason="It used more memory than it may.")
    page = (await browser.get("/hub/home")).text
    for words in ("A cell is running.", "2 tabs connected", "It used more memory than it may.", "12 minutes ago"):
        assert words in page
    assert 'id="workspace"' in (await browser.get("/hub/home/workspace")).text


async def test_a_container_that_does_not_answer_is_said_and_the_page_works(site: Site) -> None:
    browser = await site.signed_in("alice")
    site.kernels.refusal = AgentSilent("Your container did not answer in time.")
    answer = await browser.get("/hub/home")
    assert answer.status == 200
    assert "Your container did not answer in time." in answer.text


async def test_ones_container_is_stopped_and_nobody_elses(site: Site) -> None:
    browser = await site.signed_in("alice")
    mine = site.workspaces.run(await site.auth.users.get("alice"))
    site.workspaces.run(await site.add("bob"))
    answer = await browser.submit("/hub/home/stop")
    assert answer.location == "/hub/home?done=stopped"
    assert [stopped for stopped, _ in site.workspaces.stopped] == [mine.id]
    assert "stopped by its user" in (await browser.get(answer.location)).text


async def test_every_container_is_shown_with_its_kernels_and_what_they_are_for(make_site: SiteMaker) -> None:
    profiles = {"datascience": Profile(), "statistics": Profile(display_name="Statistics & more")}
    site = await make_site(profiles=profiles)
    browser = await site.signed_in("alice")
    alice = await site.auth.users.get("alice")
    base, other = site.workspaces.run(alice), site.workspaces.run(alice, "statistics")
    site.kernels.run(base, KernelState.IDLE)
    site.kernels.run(other, KernelState.IDLE)
    site.services.kernelspecs.listed = KernelspecList("", [Kernelspec("python3", {"display_name": "Py <3>"}, [])])
    site.services.kernelspecs.said = {"gpu": "The image gpu is not on this machine."}
    kernel = site.kernels.models[1].kernel
    async with site.store.unit() as unit:
        await unit.workspaces.add(other)
        await unit.kernels.add(kernel)
        await unit.sessions.add(Session(SessionId("s"), alice.id, kernel.id, "a b/x.ipynb", "x", "notebook", NOW))
    page = (await browser.get("/hub/home")).text
    assert '<a href="/user/alice/lab/tree/a%20b/x.ipynb">a b/x.ipynb</a>' in page
    assert page.count("Py &lt;3&gt;") >= 2 and "no notebook" in page
    assert "My containers" in page and "Stop the container Statistics &amp; more" in page
    assert "Kernels of gpu cannot be started: The image gpu is not on this machine." in page


@pytest.mark.parametrize("path", ["../../hub/logout", "/etc/passwd", "a//b.ipynb", "."])
def test_a_notebook_whose_path_leads_elsewhere_is_no_link(path: str) -> None:
    user = User(UserId("u"), 1, "alice", Role.USER, NOW)
    use = use_of(Session(SessionId("s"), user.id, KernelId("k"), path, "n", "notebook", NOW), user)
    assert (use.name, use.url) == (path, "")
    console = use_of(Session(SessionId("s"), user.id, KernelId("k"), "x-uuid", "Console 1", "console", NOW), user)
    assert (console.name, console.url) == ("Console 1", "")


async def test_one_of_several_containers_can_be_stopped_and_only_ones_own(make_site: SiteMaker) -> None:
    site = await make_site(profiles={"datascience": Profile(), "statistics": Profile()})
    browser = await site.signed_in("alice")
    alice = await site.auth.users.get("alice")
    base, other = site.workspaces.run(alice), site.workspaces.run(alice, "statistics")
    bobs = site.workspaces.run(await site.add("bob"))
    answer = await browser.submit("/hub/home/stop", {"workspace": other.id})
    assert answer.location == "/hub/home?done=stopped-one"
    assert (await browser.submit("/hub/home/stop", {"workspace": bobs.id})).status == 404
    assert [stopped for stopped, _ in site.workspaces.stopped] == [other.id]
    await browser.submit("/hub/home/stop")
    assert [stopped for stopped, _ in site.workspaces.stopped] == [other.id, base.id]


async def test_an_engine_that_is_away_is_a_page_that_says_so(site: Site) -> None:
    browser = await site.signed_in("alice")
    site.workspaces.run(await site.auth.users.get("alice"))
    site.workspaces.engine_silent = True
    answer = await browser.submit("/hub/home/stop")
    assert answer.status == 503
    assert "The container engine does not answer." in answer.text


async def test_another_browser_can_be_signed_out(site: Site) -> None:
    browser = await site.signed_in("alice")
    other = site.browser(user_agent="Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Safari/604.1")
    await other.sign_in("alice")
    page = (await browser.get("/hub/home")).text
    assert "Safari on iPhone" in page
    action = page.partition('action="/hub/home/sign-ins/')[2].partition('"')[0]
    assert (await browser.submit(f"/hub/home/sign-ins/{action}")).location == "/hub/home?done=signed-out"
    assert (await other.get("/hub/home")).status == 302
    assert (await browser.get("/hub/home")).status == 200


async def test_another_users_sign_in_or_token_cannot_be_ended(site: Site) -> None:
    browser = await site.signed_in("alice")
    bob = await site.signed_in("bob")
    user = await site.auth.users.get("bob")
    [sign_in] = await site.auth.sign_ins.list(user)
    token, _ = await site.auth.tokens.create(user, "t", timedelta(days=1), "test")
    assert (await browser.submit(f"/hub/home/sign-ins/{sign_in.id}/end")).status == 404
    assert (await browser.submit(f"/hub/token/{token.id}/revoke")).status == 404
    assert (await bob.get("/hub/home")).status == 200
    assert len(await site.auth.tokens.list(user)) == 1


async def test_signing_out_everywhere_ends_this_browser_too(site: Site) -> None:
    browsers = [await site.signed_in("alice"), site.browser(), site.browser()]
    for browser in browsers[1:]:
        await browser.sign_in("alice")
    assert (await browsers[0].submit("/hub/home/sign-out-everywhere")).location == "/hub/login?signed_out=1"
    assert [(await browser.get("/hub/home")).status for browser in browsers] == [302, 302, 302]


async def test_a_new_password_ends_every_other_sign_in_and_renews_this_one(site: Site) -> None:
    browser, other = await site.signed_in("alice"), site.browser()
    await other.sign_in("alice")
    before = browser.cookies["kernelhub"]
    fields = {"current": PASSWORD, "password": OTHER_PASSWORD, "again": OTHER_PASSWORD}
    assert (await browser.submit("/hub/home/password", fields)).location == "/hub/home?done=password"
    assert browser.cookies["kernelhub"] != before
    assert (await browser.get("/hub/home")).status == 200
    assert (await other.get("/hub/home")).status == 302
    assert (await site.browser(cookies={"kernelhub": before}).get("/hub/home")).status == 302
    assert (await other.sign_in("alice")).status == 403
    assert (await other.sign_in("alice", OTHER_PASSWORD)).status == 302


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        (
            {"current": "wrong", "password": OTHER_PASSWORD, "again": OTHER_PASSWORD},
            403,
            "The current password is wrong",
        ),
        ({"current": PASSWORD, "password": OTHER_PASSWORD, "again": "x"}, 400, "not the same"),
        ({"current": PASSWORD, "password": "short", "again": "short"}, 400, "at least 12 characters"),
    ],
)
async def test_a_mistake_in_the_password_form_changes_nothing(
    site: Site, fields: dict[str, str], status: int, says: str
) -> None:
    browser = await site.signed_in("alice")
    answer = await browser.submit("/hub/home/password", fields)
    assert answer.status == status
    assert says in answer.text
    assert (await browser.get("/hub/home")).status == 200
    assert (await site.browser().sign_in("alice")).status == 302


async def test_a_token_is_shown_once_works_and_is_revoked(site: Site) -> None:
    browser = await site.signed_in("alice")
    answer = await browser.submit("/hub/token", {"name": "<b>VS Code</b>", "expires": "7d"}, "/hub/token")
    value = answer.value_of("token-value")
    assert "<b>VS Code</b>" not in answer.text
    program = site.browser(headers={"Authorization": f"token {value}"})
    assert (await program.get("/hub/api/user")).json()["name"] == "alice"
    page = (await browser.get("/hub/token")).text
    assert value not in page
    action = page.partition('action="/hub/token/')[2].partition('"')[0]
    assert (await browser.submit(f"/hub/token/{action}", page="/hub/token")).location == "/hub/token?done=revoked"
    assert (await program.get("/hub/api/user")).status == 403


@pytest.mark.parametrize("fields", [{"name": "", "expires": "7d"}, {"name": "x", "expires": "365d"}, {"name": "x"}])
async def test_a_token_form_with_a_mistake_makes_none(site: Site, fields: dict[str, str]) -> None:
    browser = await site.signed_in("alice")
    assert (await browser.submit("/hub/token", fields, "/hub/token")).status == 400
    assert await site.auth.tokens.list(await site.auth.users.get("alice")) == []


async def test_a_token_in_an_address_signs_nobody_in(site: Site) -> None:
    await site.add("alice")
    value = await site.token_of("alice")
    assert (await site.browser().get(f"/hub/home?token={value}")).status == 302
    assert (await site.browser().get(f"/hub/api/user?token={value}")).status == 403


async def test_a_warning_stands_on_every_page(make_site: SiteMaker) -> None:
    site: Site = await make_site(warning="Kernels run <here> without isolation.")
    browser = await site.signed_in("alice")
    for page in ("/hub/home", "/hub/token", "/nowhere", "/hub/logout"):
        assert "Kernels run &lt;here&gt; without isolation." in (await browser.get(page)).text
    assert "Kernels run" in (await site.browser().get("/hub/login")).text


async def test_what_is_typed_or_linked_is_never_markup(site: Site) -> None:
    browser = await site.signed_in("alice")
    hostile = "\"'><img src=x onerror=alert(1)>"
    for path in ("/hub/login?next=", "/hub/home?done=", "/hub/token?done=", "/hub/logout?x=", "/nowhere?x="):
        for visitor in (browser, site.browser()):
            answer = await visitor.get(path + "%22%27%3E%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E")
            assert "<img" not in answer.text
    answer = await site.browser().sign_in(hostile)
    assert "<img" not in answer.text
    assert answer.value_of("username") == hostile
