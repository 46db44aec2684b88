"""Launches from a learning platform: whom they sign in, and the many that are not believed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import resource
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from joserfc.jwk import RSAKey
from sqlalchemy import func, select

from hub.auth.lti.launches import Launches
from hub.config.lti import Lti
from hub.domain.lti import PlatformId
from hub.domain.users import Role
from hub.errors import LaunchRefused
from hub.store.tables import audit_events, lti_contexts, memberships, provider_identities, used_once, users
from tests.harness.lti_platform import LTI, MEMBERSHIP, Platform, lti_platform
from tests.unit.web.conftest import Site, SiteMaker
from tests.unit.web.lti_course import FRAME, Course, make_course


@pytest.fixture
def platform() -> Iterator[Platform]:
    with lti_platform() as running:
        yield running


@pytest.fixture
async def course(make_site: SiteMaker, platform: Platform) -> AsyncIterator[Course]:
    site: Site = await make_site(lti=Lti(enabled=True))
    yield await make_course(site, platform)
    await site.auth.lti.close()


# -- whom it signs in --------------------------------------------------------------------------------------------------


async def test_a_launch_signs_a_new_user_in_and_makes_the_course_a_group(course: Course) -> None:
    browser = course.site.browser()
    answer = await course.launch(browser, "sam", "link-1")
    assert (answer.status, answer.location) == (302, "/hub/home")
    me = (await browser.get("/hub/api/user")).json()
    assert me["name"] == "sam" and me["groups"] == ["school-bio-101"]
    await course.launch(course.site.browser(), "tina", "link-1")
    assert await course.roles() == {"sub-sam": "member", "sub-tina": "owner"}


async def test_a_whole_class_may_come_at_the_same_moment_to_a_course_that_is_new(course: Course) -> None:
    for number in range(8):
        course.platform.add(f"pupil{number}")
    launches = (course.launch(course.site.browser(), f"pupil{number}", "link-1") for number in range(8))
    assert {answer.status for answer in await asyncio.gather(*launches)} == {302}
    assert len(await course.roles()) == 8
    assert await count(course, lti_contexts) == 1


async def test_a_second_launch_finds_the_same_user_whatever_they_are_called_by_now(course: Course) -> None:
    first = course.site.browser()
    await course.launch(first, "sam", "link-1")
    course.platform.people["samantha"] = course.platform.people["sam"]
    course.platform.people["sam"].username = "samantha"
    second = course.site.browser()
    await course.launch(second, "samantha", "link-1")
    ids = {(await browser.get("/hub/api/user")).json()["name"] for browser in (first, second)}
    assert ids == {"sam"}


async def test_a_platform_becomes_no_local_account_and_no_administrator(course: Course) -> None:
    await course.site.add("root1", Role.ADMIN)
    course.platform.add("root1", "Administrator")
    course.platform.people["root1"].roles.append("http://purl.imsglobal.org/vocab/lis/v2/system/person#Administrator")
    browser = course.site.browser()
    await course.launch(browser, "root1", "link-1")
    me = (await browser.get("/hub/api/user")).json()
    assert me["name"] == "root12" and not me["admin"]


async def test_in_a_frame_the_launch_goes_on_in_a_tab_of_its_own_by_a_code_that_works_once(course: Course) -> None:
    frame, tab = course.site.browser(), course.site.browser()
    answer = await course.launch(frame, "sam", "link-1", **FRAME)
    assert answer.status == 200 and "kernelhub" not in frame.cookies
    assert f"frame-ancestors {course.platform.address};" in answer.headers["Content-Security-Policy"] + ";"
    code = answer.value_of("code")
    foreign = await tab.post(
        "/hub/lti/continue", {"code": code}, Origin="https://evil.example", Sec_Fetch_Site="cross-site"
    )
    assert foreign.status == 403
    assert (await tab.post("/hub/lti/continue", {"code": code}, Sec_Fetch_Site="same-site")).status == 403
    assert (await tab.post("/hub/lti/continue", {"code": code}, Sec_Fetch_Site=None, Origin=None)).status == 403
    assert (await tab.post("/hub/lti/continue", {"code": code})).location == "/hub/home"
    assert (await tab.get("/hub/api/user")).json()["name"] == "sam"
    assert (await course.site.browser().post("/hub/lti/continue", {"code": code})).status == 410


async def test_a_code_expires(course: Course) -> None:
    answer = await course.launch(course.site.browser(), "sam", "link-1", **FRAME)
    course.site.clock.advance(timedelta(minutes=6))
    code = answer.value_of("code")
    assert (await course.site.browser().post("/hub/lti/continue", {"code": code})).status == 410


async def test_a_frame_that_keeps_no_cookies_leads_to_a_tab_that_begins_anew(course: Course) -> None:
    browser = course.site.browser()
    asked = await course.asked(browser, "sam", "link-1")
    browser.cookies.clear()
    token = course.platform.sign(course.platform.claims("sam", "link-1", asked.nonce))
    answer = await course.answer(browser, token, asked.state, **FRAME)
    assert answer.status == 200 and "login_hint=sam&amp;" in answer.text
    assert (await course.answer(browser, token, asked.state)).status == 403


async def test_with_https_the_cookie_comes_back_from_frames_and_is_kept_apart_by_site(
    make_site: SiteMaker, platform: Platform
) -> None:
    site: Site = await make_site(lti=Lti(enabled=True), public_url="https://hub.example.edu")
    course = await make_course(site, platform)
    platform.hub = "https://hub.example.edu"
    answer = await course.announce(site.browser(), "sam", "link-1")
    [cookie] = [line for line in answer.cookies if "lti" in line]
    assert cookie.startswith("__Host-kernelhub-lti=")
    assert {"Path=/", "HttpOnly", "Secure", "SameSite=None", "Partitioned"} <= set(cookie.split("; "))
    await site.auth.lti.close()


async def test_a_launch_by_post_and_two_at_once_in_one_browser_work(course: Course) -> None:
    browser = course.site.browser()
    course.platform.link("Second steps")
    one = await course.asked(browser, "sam", "link-1")
    two = await course.asked(browser, "sam", "link-2")
    for asked, hint in ((one, "link-1"), (two, "link-2")):
        token = course.platform.sign(course.platform.claims("sam", hint, asked.nonce))
        assert (await course.answer(browser, token, asked.state)).status == 302
    fields = course.platform.announcement("sam", "link-1")
    posted = await browser.post("/hub/lti/login", fields, Origin=course.platform.address, Sec_Fetch_Site="cross-site")
    assert posted.status == 302 and posted.location.startswith(f"{course.platform.address}/auth?")


ROLES = [
    ([MEMBERSHIP + "Instructor"], "owner"),
    (["Instructor"], "owner"),
    (["http://purl.imsglobal.org/vocab/lis/v2/membership/Instructor#TeachingAssistant"], "owner"),
    ([MEMBERSHIP + "Learner"], "member"),
    ([MEMBERSHIP + "Learner", MEMBERSHIP + "Instructor"], "owner"),
    ([MEMBERSHIP + "Mentor"], None),
    (["http://purl.imsglobal.org/vocab/lis/v2/institution/person#Instructor"], None),
    (["http://purl.imsglobal.org/vocab/lis/v2/system/person#Administrator"], None),
    (["https://evil.example/#Instructor", "membership#Instructor", ""], None),
    ([], None),
]


async def test_only_roles_in_the_course_make_somebody_member_or_owner(course: Course) -> None:
    await course.launch(course.site.browser(), "sam", "link-1")
    for roles, expected in ROLES:
        course.platform.people["sam"].roles = roles
        assert (await course.launch(course.site.browser(), "sam", "link-1")).status == 302
        assert (await course.roles()).get("sub-sam") == expected, roles


async def test_a_course_never_takes_over_a_group_that_is_there(course: Course) -> None:
    await course.site.auth.groups.create("school-bio-101", "test")
    browser = course.site.browser()
    await course.launch(browser, "tina", "link-1")
    assert (await browser.get("/hub/api/user")).json()["groups"] == ["school-bio-101-2"]


# -- what is not believed ----------------------------------------------------------------------------------------------

HOSTILE: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example"},
    "another audience": {"aud": "somebody-else"},
    "no audience": {"aud": None},
    "several audiences without azp": {"aud": ["$client", "other"]},
    "several audiences with another azp": {"aud": ["$client", "other"], "azp": "other"},
    "one audience with another azp": {"azp": "other"},
    "expired": {"exp": -120},
    "made in the future": {"iat": 120},
    "made long ago": {"iat": -3600},
    "not valid yet": {"nbf": 3600},
    "exp is text": {"exp": "soon"},
    "exp is true": {"exp": True},
    "another nonce": {"nonce": "x" * 43},
    "no nonce": {"nonce": None},
    "an anonymous launch": {"sub": ""},
    "a subject that is no text": {"sub": ["sub-tina"]},
    "another deployment": {LTI + "deployment_id": "2"},
    "a deployment that is no text": {LTI + "deployment_id": 1},
    "no deployment": {LTI + "deployment_id": None},
    "another version": {LTI + "version": "1.1"},
    "another message": {LTI + "message_type": "LtiSubmissionReviewRequest"},
    "no resource link": {LTI + "resource_link": {}},
}


async def test_a_signed_launch_that_is_not_for_us_is_refused_and_audited_once(course: Course) -> None:
    now = int(course.site.clock.now().timestamp())
    for number, (what, hostile) in enumerate(HOSTILE.items(), 1):
        change = {
            name: now + value if name in ("exp", "iat", "nbf") and type(value) is int else value
            for name, value in hostile.items()
        }
        change = json.loads(json.dumps(change).replace("$client", course.platform.client_id))
        answer = await course.attack(change)
        assert answer.status == 403, f"{what}: {answer.text}"
        assert await course.site.actions("sign_in") == ["sign_in.refused"] * number, what
    assert await count(course, users) == 0


async def test_several_audiences_with_our_azp_are_good(course: Course) -> None:
    client = course.platform.client_id
    assert (await course.attack({"aud": [client, "other"], "azp": client})).status == 302


def part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forged(course: Course, claims: dict[str, Any]) -> dict[str, str]:
    """Tokens that nobody of the platform signed."""
    platform = course.platform
    stranger = RSAKey.generate_key(2048, {"kid": "platform-1", "use": "sig"}, private=True)
    good = platform.sign(claims)
    header, payload, signature = good.split(".")
    public = platform.key.as_pem(private=False)

    def hs256(head: dict[str, Any], key: bytes) -> str:
        signed = f"{part(head)}.{part(claims)}"
        made = base64.urlsafe_b64encode(hmac.new(key, signed.encode(), hashlib.sha256).digest()).rstrip(b"=")
        return f"{signed}.{made.decode()}"

    changed = part({**claims, "sub": "sub-tina"})
    return {
        "alg none": f"{part({'alg': 'none'})}.{payload}.",
        "alg none with a signature": f"{part({'alg': 'none'})}.{payload}.{signature}",
        "HS256 with the public key": hs256({"alg": "HS256", "kid": "platform-1"}, public),
        "another key of that kid": platform.sign(claims, stranger),
        "an unknown kid": platform.sign(claims, kid="platform-2"),
        "a kid that is a path": platform.sign(claims, kid="../../etc/passwd"),
        "its key in the header": platform.sign(claims, stranger, jwk=stranger.as_dict(private=False)),
        "its keys' address in the header": platform.sign(claims, stranger, jku="https://evil.example/jwks"),
        "crit": f"{part({'alg': 'RS256', 'crit': ['x'], 'x': 1})}.{payload}.{signature}",
        "RS512": f"{part({'alg': 'RS512', 'kid': 'platform-1'})}.{payload}.{signature}",
        "other claims": f"{header}.{changed}.{signature}",
        "no signature": f"{header}.{payload}.",
        "two parts": f"{header}.{payload}",
        "four parts": f"{good}.{signature}",
        "five parts (encrypted)": "a.b.c.d.e",
        "no token": "",
        "not ASCII": "ä" * 20,
        "100 kB": "a" * 100_000,
    }


async def test_forged_tokens_are_refused_and_leave_nothing_behind(course: Course) -> None:
    browser = course.site.browser()
    asked = await course.asked(browser, "sam", "link-1")
    claims = course.platform.claims("sam", "link-1", asked.nonce)
    before = await rows(course)
    for what, token in forged(course, claims).items():
        answer = await course.answer(browser, token, asked.state)
        assert answer.status == 403, f"{what}: {answer.status}"
    assert await rows(course) == before
    good = course.platform.sign(claims)
    assert (await course.answer(browser, good, asked.state)).status == 302, "the state was still good"


async def test_a_bad_state_or_another_browser_is_refused(course: Course) -> None:
    browser, other = course.site.browser(), course.site.browser()
    asked = await course.asked(browser, "sam", "link-1")
    token = course.platform.sign(course.platform.claims("sam", "link-1", asked.nonce))
    for state in ("", "x", "x" * 43, asked.state[:-1], asked.nonce, "x" * 5000, "\0"):
        assert (await course.answer(browser, token, state)).status == 403
    assert (await course.answer(other, token, asked.state)).status == 403
    await course.asked(other, "sue", "link-1")
    assert (await course.answer(other, token, asked.state)).status == 403, "login CSRF: another browser's cookie"
    course.site.clock.advance(timedelta(minutes=11))
    assert (await course.answer(browser, token, asked.state)).status == 403


async def test_a_replay_is_refused_at_once_after_a_restart_and_on_a_second_hub(
    course: Course, make_site: SiteMaker
) -> None:
    browser = course.site.browser()
    asked = await course.asked(browser, "sam", "link-1")
    cookie = dict(browser.cookies)
    token = course.platform.sign(course.platform.claims("sam", "link-1", asked.nonce))
    other_hub: Site = await make_site(lti=Lti(enabled=True))
    assert (await course.answer(browser, token, asked.state)).status == 302
    for site in (course.site, other_hub):
        replay = Course(site, course.platform, course.registered)
        again = site.browser(cookies=dict(cookie))
        assert (await replay.answer(again, token, asked.state)).status == 403
    await other_hub.auth.lti.close()


async def test_the_database_refuses_a_nonce_that_was_used_even_if_its_state_is_there(course: Course) -> None:
    """Two hubs that read the state at the same moment: the table's key decides."""
    browser = course.site.browser()
    asked = await course.asked(browser, "sam", "link-1")
    token = course.platform.sign(course.platform.claims("sam", "link-1", asked.nonce))
    launches, cookie = course.site.auth.lti.launches, browser.cookies["kernelhub-lti"]
    attempt = await launches._attempt(asked.state)
    await launches.believe(asked.state, token, cookie)
    launches._attempt = lambda _: _answer(attempt)  # type: ignore[method-assign,assignment]
    with pytest.raises(Exception, match="used already"):
        await launches.believe(asked.state, token, cookie)


async def _answer(value: Any) -> Any:
    return value


async def test_a_launch_begun_at_one_hub_may_end_at_another(course: Course, make_site: SiteMaker) -> None:
    other_hub: Site = await make_site(lti=Lti(enabled=True))
    browser = course.site.browser()
    asked = await course.asked(browser, "sam", "link-1")
    token = course.platform.sign(course.platform.claims("sam", "link-1", asked.nonce))
    there = other_hub.browser(cookies=dict(browser.cookies))
    answer = await Course(other_hub, course.platform, course.registered).answer(there, token, asked.state)
    assert answer.status == 302
    await other_hub.auth.lti.close()


async def test_while_the_key_set_is_down_known_keys_count_and_unknown_ones_do_not(
    course: Course, make_site: SiteMaker
) -> None:
    course.platform.jwks_down = True
    assert (await course.launch(course.site.browser(), "sam", "link-1")).status == 503
    course.platform.jwks_down = False
    course.site.clock.advance(timedelta(minutes=1))
    assert (await course.launch(course.site.browser(), "sam", "link-1")).status == 302
    course.platform.jwks_down = True
    course.site.clock.advance(timedelta(hours=5))
    assert (await course.launch(course.site.browser(), "sam", "link-1")).status == 302
    restarted: Site = await make_site(lti=Lti(enabled=True))
    course.platform.hub = restarted.address
    again = Course(restarted, course.platform, course.registered)
    assert (await again.launch(restarted.browser(), "sam", "link-1")).status == 302
    course.site.clock.advance(timedelta(days=3))
    assert (await again.launch(restarted.browser(), "sam", "link-1")).status == 503
    await restarted.auth.lti.close()


async def test_a_new_key_of_the_platform_is_fetched_when_a_token_names_it(course: Course) -> None:
    await course.launch(course.site.browser(), "sam", "link-1")
    course.platform.key = RSAKey.generate_key(2048, {"kid": "platform-2", "use": "sig"}, private=True)
    course.site.clock.advance(timedelta(minutes=1))
    assert (await course.launch(course.site.browser(), "sam", "link-1")).status == 302


async def test_two_thousand_launches_with_bad_signatures_cost_no_row_and_no_memory(course: Course) -> None:
    browser = course.site.browser()
    asked = await course.asked(browser, "sam", "link-1")
    token = course.platform.sign(course.platform.claims("sam", "link-1", asked.nonce))
    bad = [f"{token[:-40]}{number:040d}" for number in range(2000)]
    launches, cookie = course.site.auth.lti.launches, browser.cookies["kernelhub-lti"]
    for each in bad[:200]:
        await refused(launches, asked.state, each, cookie)
    before, memory = await rows(course), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fetched = len(course.platform.requests)
    for each in bad[200:]:
        await refused(launches, asked.state, each, cookie)
    assert (await course.answer(browser, bad[0], asked.state)).status == 403
    assert await rows(course) == before
    assert len(course.platform.requests) - fetched <= 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 5 * 1024


async def refused(launches: Launches, state: str, token: str, cookie: str) -> None:
    with pytest.raises(LaunchRefused):
        await launches.believe(state, token, cookie)


FOREIGN = [
    "//evil.example",
    "https://evil.example/",
    "javascript:alert(1)",
    "data:text/html,x",
    "$hub@evil.example",
    "$hub//evil.example",
    "$hub/\\evil.example",
    "$hub/%2f/evil.example",
    "$hub/%09/evil.example",
    "$hub/hub/../..//evil.example",
    "$hub/hub/logout",
    "$hub/hub/admin/people",
    "$hub/hub/lti/register/x",
    "$hub.evil.example/hub/home",
    "$hub/hub/home\r\nSet-Cookie: a=b",
    "$hub/hub/" + "a" * 8000,
]


async def test_a_target_outside_of_this_hub_is_refused_before_and_ignored_after(course: Course) -> None:
    for foreign in FOREIGN:
        target = foreign.replace("$hub", course.site.address)
        answer = await course.announce(course.site.browser(), "sam", "link-1", target_link_uri=target)
        assert answer.status in (403, 400), target
        launched = await course.attack({LTI + "target_link_uri": target})
        assert launched.status == 302 and launched.location == "/hub/home", target


async def test_a_target_within_this_hub_is_where_the_launch_ends(course: Course) -> None:
    course.platform.link("Week 2", url=f"{course.site.address}/hub/user-redirect/lab/tree/week2.ipynb")
    answer = await course.launch(course.site.browser(), "sam", "link-2")
    assert answer.location == "/hub/user-redirect/lab/tree/week2.ipynb"


async def test_an_unknown_or_ambiguous_or_disabled_platform_begins_nothing(course: Course) -> None:
    browser = course.site.browser()
    for change in (
        {"iss": "https://evil.example"},
        {"client_id": "other"},
        {"login_hint": ""},
        {"login_hint": "x" * 5000},
    ):
        assert (await course.announce(browser, "sam", "link-1", **change)).status == 403
    assert (await course.announce(browser, "sam", "link-1", client_id="")).status == 302, "one platform has this issuer"
    async with course.site.store.unit() as unit:
        await unit.lti_platforms.delete(PlatformId(course.registered.id))
    assert (await course.announce(browser, "sam", "link-1")).status == 403


async def test_a_deployment_waits_until_an_administrator_accepts_it(course: Course) -> None:
    course.platform.deployment = "77"
    assert (await course.launch(course.site.browser(), "sam", "link-1")).status == 403
    admin = await course.site.signed_in("root1", Role.ADMIN)
    page = await admin.get(f"/hub/admin/platforms/{course.registered.id}")
    assert "77" in page.value_of("deployments")
    path = f"/hub/admin/platforms/{course.registered.id}/deployments"
    await admin.submit(path, {"deployments": "1, 77"}, f"/hub/admin/platforms/{course.registered.id}")
    assert (await course.launch(course.site.browser(), "sam", "link-1")).status == 302


async def test_a_disabled_user_does_not_enter_by_a_platform(course: Course) -> None:
    await course.launch(course.site.browser(), "sam", "link-1")
    await course.site.auth.users.disable(await course.site.auth.users.get("sam"), "test")
    answer = await course.launch(course.site.browser(), "sam", "link-1")
    assert answer.status == 403 and "disabled" in answer.text


async def test_strangers_get_no_account_where_the_settings_say_so(make_site: SiteMaker, platform: Platform) -> None:
    site: Site = await make_site(lti=Lti(enabled=True, new_people=False))
    course = await make_course(site, platform)
    assert (await course.launch(site.browser(), "sam", "link-1")).status == 403
    assert await count(course, users) == 0
    await site.auth.lti.close()


async def test_nothing_is_here_while_platforms_are_not_enabled(site: Site) -> None:
    for path in ("/hub/lti/login", "/hub/lti/keys", "/hub/lti/config", "/hub/lti/register/secret"):
        assert (await site.browser().get(path)).status == 404
    assert (await site.browser().send("POST", "/hub/lti/launch", b"")).status == 404


async def test_secrets_are_in_no_audit_line(course: Course) -> None:
    browser = course.site.browser()
    asked = await course.asked(browser, "sam", "link-1")
    token = course.platform.sign(course.platform.claims("sam", "link-1", asked.nonce))
    await course.answer(browser, token, asked.state)
    await course.answer(browser, token, asked.state)
    text = await course.site.audit_text()
    assert not any(secret in text for secret in (asked.state, asked.nonce, token, browser.cookies["kernelhub-lti"]))


async def count(course: Course, table: Any) -> int:
    async with course.site.store.reading() as unit:
        row = await unit.lti_platforms._db.row(select(func.count()).select_from(table))
    return int(row[0]) if row else 0


async def rows(course: Course) -> dict[str, int]:
    tables = (users, used_once, audit_events, memberships, provider_identities, lti_contexts)
    return {table.name: await count(course, table) for table in tables}
