"""What a hub and a learning platform do besides launches: deep linking, rosters, scores, registration, settings."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from hub.auth.lti import scores as lti_scores
from hub.config.lti import Lti, LtiPlatform
from hub.contents.models import SaveRequest
from hub.contents.service import ContentsOfUsers
from hub.domain.lti import Context, Link
from hub.domain.users import Role
from hub.errors import BadRequest, Conflict, NotFound, PlatformSilent
from hub.spawn.folders import Folders
from hub.store.tables import lti_keys
from tests.harness.lti_platform import DEEP, MEMBERSHIP, Platform, lti_platform
from tests.unit.web.conftest import Browser, Site, SiteMaker
from tests.unit.web.lti_course import FRAME, Course, know_tool, make_course


@pytest.fixture
def platform() -> Iterator[Platform]:
    with lti_platform() as running:
        yield running


@pytest.fixture
async def course(make_site: SiteMaker, platform: Platform) -> AsyncIterator[Course]:
    site: Site = await make_site(lti=Lti(enabled=True))
    made = await make_course(site, platform)
    await know_tool(made)
    yield made
    await site.auth.lti.close()


async def context_of(course: Course) -> Context:
    async with course.site.store.reading() as unit:
        [context] = await unit.lti_courses.list(course.registered.id)
    return context


async def link_of(course: Course) -> Link:
    context = await context_of(course)
    async with course.site.store.reading() as unit:
        return (await unit.lti_courses.links(context.id))[0]


# -- rosters -----------------------------------------------------------------------------------------------------------


async def test_a_roster_adds_changes_and_removes_only_whom_the_platform_put_there(course: Course) -> None:
    site, platform = course.site, course.platform
    await course.launch(site.browser(), "sam", "link-1")
    local = await site.add("local")
    context = await context_of(course)
    async with site.store.unit() as unit:
        assert context.group_id is not None
        await unit.groups.add_member(context.group_id, local.id)
    rosters = site.auth.lti.rosters
    changes = await rosters.sync(course.registered, context, "test")
    assert changes.words == "2 added, 0 changed, 0 removed"
    assert await course.roles() == {"sub-sam": "member", "sub-sue": "member", "sub-tina": "owner"}
    platform.people["sam"].roles = [MEMBERSHIP + "Instructor"]
    platform.people["sue"].status = "Inactive"
    platform.add("una")
    changes = await rosters.sync(course.registered, context, "test")
    assert changes.words == "1 added, 1 changed, 1 removed"
    assert await course.roles() == {"sub-sam": "owner", "sub-una": "member", "sub-tina": "owner"}
    async with site.store.reading() as unit:
        assert "local" in {user.name for user in await unit.groups.members(context.group_id)}
    assert (await rosters.sync(course.registered, context, "test")).words == "0 added, 0 changed, 0 removed"


async def test_a_roster_that_breaks_off_removes_nobody(course: Course) -> None:
    await course.launch(course.site.browser(), "sam", "link-1")
    context = await context_of(course)
    rosters = course.site.auth.lti.rosters
    await rosters.sync(course.registered, context, "test")
    before = await course.roles()
    broken = replace(context, members_url=f"{course.platform.address}/nothing/here")
    with pytest.raises(PlatformSilent):
        await rosters.sync(course.registered, broken, "test")
    assert await course.roles() == before
    assert "404" in (await context_of(course)).roster_problem


async def test_rosters_are_fetched_once_a_day_by_themselves(course: Course) -> None:
    await course.launch(course.site.browser(), "sam", "link-1")
    lti = course.site.auth.lti
    assert [await lti.fetch_due_rosters(), await lti.fetch_due_rosters()] == [1, 0]
    course.site.clock.advance(timedelta(days=1))
    assert await lti.fetch_due_rosters() == 1


async def test_an_access_token_is_asked_for_once_an_hour_and_never_shown(course: Course) -> None:
    await course.launch(course.site.browser(), "sam", "link-1")
    context, lti = await context_of(course), course.site.auth.lti
    for _ in range(3):
        await lti.rosters.sync(course.registered, context, "test")
    assert course.platform.requests.count("POST /token") == 1
    course.site.clock.advance(timedelta(hours=1))
    await lti.rosters.sync(course.registered, context, "test")
    assert course.platform.requests.count("POST /token") == 2


async def test_a_launch_cannot_make_the_hub_ask_its_own_network(course: Course) -> None:
    await course.launch(course.site.browser(), "sam", "link-1")
    context, asked = await context_of(course), len(course.platform.requests)
    port = course.platform.address.rpartition(":")[2]
    for url in (f"http://127.0.0.2:{port}/x", f"http://localhost:{port}/x", "https://10.0.0.1/", "file:///etc/passwd"):
        with pytest.raises(PlatformSilent):
            await course.site.auth.lti.rosters.sync(course.registered, replace(context, members_url=url), "test")
    assert [r for r in course.platform.requests[asked:] if r != "POST /token"] == []


# -- scores ------------------------------------------------------------------------------------------------------------


async def test_a_score_reaches_the_gradebook_by_a_line_item_that_is_made_once(course: Course) -> None:
    await course.launch(course.site.browser(), "sam", "link-1")
    sam, link, scores = await course.site.auth.users.get("sam"), await link_of(course), course.site.auth.lti.scores
    await scores.send(sam, link, 7.5, 10, "Well done")
    assert await scores.send_due() == 1
    [sent] = course.platform.scores
    assert (sent["userId"], sent["scoreGiven"], sent["scoreMaximum"], sent["comment"]) == (
        "sub-sam",
        7.5,
        10,
        "Well done",
    )
    assert sent["path"] == "/lineitems/1/scores?type=test" and sent["gradingProgress"] == "FullyGraded"
    [item] = course.platform.line_items.values()
    assert item["resourceLinkId"] == "link-1" and item["label"] == "First steps"
    await scores.send(sam, await link_of(course), 9, 10)
    assert [await scores.send_due(), await scores.send_due()] == [1, 0]
    assert len(course.platform.line_items) == 1
    assert [r["resultScore"] for r in await scores.results(await link_of(course), sam)] == [7.5, 9]


async def test_a_score_is_tried_again_until_it_is_taken_and_a_newer_one_takes_its_place(course: Course) -> None:
    await course.launch(course.site.browser(), "sam", "link-1")
    sam, link, scores = await course.site.auth.users.get("sam"), await link_of(course), course.site.auth.lti.scores
    course.platform.fail_scores_with = 503
    await scores.send(sam, link, 1, 10)
    assert [await scores.send_due(), await scores.send_due()] == [1, 0]
    newer = await scores.send(sam, link, 2, 10)
    await scores.send_due()
    for delay in lti_scores.DELAYS[:3]:
        course.site.clock.advance(delay)
        await scores.send_due()
    course.platform.fail_scores_with = 0
    course.site.clock.advance(lti_scores.DELAYS[3])
    await scores.send_due()
    assert [s["scoreGiven"] for s in course.platform.scores] == [2]
    async with course.site.store.reading() as unit:
        found = await unit.lti_scores.find(newer.id)
    assert found is not None and found.state == "sent" and found.problem == ""


async def test_a_score_that_is_refused_for_good_or_too_often_is_given_up(course: Course) -> None:
    await course.launch(course.site.browser(), "sam", "link-1")
    sam, link, scores = await course.site.auth.users.get("sam"), await link_of(course), course.site.auth.lti.scores
    course.platform.fail_scores_with = 422
    made = await scores.send(sam, link, 1, 10)
    await scores.send_due()
    course.platform.fail_scores_with = 500
    later = await scores.send(await course.site.auth.users.get("sam"), link, 1, 10)
    for delay in (*lti_scores.DELAYS, timedelta(days=2)):
        await scores.send_due()
        course.site.clock.advance(delay)
    async with course.site.store.reading() as unit:
        assert await unit.lti_scores.find(made.id) is None, "the newer one took its place"
        found = await unit.lti_scores.find(later.id)
    assert found is not None and (found.state, found.attempts) == ("failed", len(lti_scores.DELAYS) + 1)


async def test_numbers_that_are_no_score_and_people_whom_the_platform_does_not_know_are_refused(course: Course) -> None:
    await course.launch(course.site.browser(), "sam", "link-1")
    sam, link, scores = await course.site.auth.users.get("sam"), await link_of(course), course.site.auth.lti.scores
    for score, most in ((-1, 10), (float("nan"), 10), (1, 0), (1, float("inf"))):
        with pytest.raises(BadRequest):
            await scores.send(sam, link, score, most)
    with pytest.raises(NotFound):
        await scores.send(await course.site.add("stranger"), link, 1, 10)


# -- deep linking ------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(course: Course, tmp_path: Any) -> Iterator[ContentsOfUsers]:
    """Real files in place of the fake ones."""
    folders = Folders(tmp_path, 200_000, 100)
    contents = ContentsOfUsers(folders, tmp_path / "contents", course.site.clock)
    server_services = course.site.services
    object.__setattr__(server_services, "contents", contents)
    yield contents


async def deep_link(course: Course, browser: Browser, user: str = "tina") -> Any:
    return await course.launch(browser, user, "deep", **FRAME)


async def test_a_teacher_chooses_a_notebook_and_pupils_get_a_copy_of_it(course: Course, files: ContentsOfUsers) -> None:
    site, teacher = course.site, course.site.browser()
    await course.launch(teacher, "tina", "link-1")
    await teacher_file(files, await site.auth.users.get("tina"), "week1/first.ipynb", "Hello")
    page = await deep_link(course, teacher)
    assert page.status == 200 and "week1" in page.text
    session = page.value_of("session")
    inner = await teacher.post("/hub/lti/choose", {"session": session, "open": "week1"})
    assert "first.ipynb" in inner.text
    chosen = {"session": session, "choose": "week1/first.ipynb", "title": "First", "graded": "yes", "points": "20"}
    done = await teacher.post("/hub/lti/choose", chosen)
    assert f"form-action {course.platform.address};" in done.headers["Content-Security-Policy"]
    claims = course.platform.verify_tool(done.value_of("JWT"), course.platform.address)
    [item] = claims[DEEP + "content_items"]
    assert item["title"] == "First" and item["lineItem"]["scoreMaximum"] == 20
    assert (await teacher.post("/hub/lti/choose", chosen)).status == 410, "a choice is made once"

    course.platform.link("First", custom=item["custom"])
    pupil = site.browser()
    answer = await course.launch(pupil, "sam", "link-2")
    assert answer.location == "/hub/user-redirect/lab/tree/week1/first.ipynb"
    sam = files.of(await site.auth.users.get("sam"))
    assert "Hello" in str((await sam.get("week1/first.ipynb", type="file")).content)
    await teacher_file(files, await site.auth.users.get("tina"), "week1/first.ipynb", "Changed")
    await course.launch(pupil, "sam", "link-2")
    assert "Hello" in str((await sam.get("week1/first.ipynb", type="file")).content), "a copy is never overwritten"


async def test_a_folder_is_copied_and_what_is_gone_is_said(course: Course, files: ContentsOfUsers) -> None:
    site, teacher = course.site, course.site.browser()
    await course.launch(teacher, "tina", "link-1")
    tina = await site.auth.users.get("tina")
    for path in ("lab/a.ipynb", "lab/deep/b.ipynb"):
        await teacher_file(files, tina, path, "x")
    session = (await deep_link(course, teacher)).value_of("session")
    done = await teacher.post("/hub/lti/choose", {"session": session, "choose": "lab"})
    [item] = course.platform.verify_tool(done.value_of("JWT"), course.platform.address)[DEEP + "content_items"]
    course.platform.link("Lab", custom=item["custom"])
    assert (await course.launch(site.browser(), "sam", "link-2")).location == "/hub/user-redirect/lab/tree/lab"
    assert await files.of(await site.auth.users.get("sam")).exists("lab/deep/b.ipynb")
    for path in ("lab/deep/b.ipynb", "lab/deep", "lab/a.ipynb", "lab"):
        await files.of(tina).delete(path)
    gone = await course.launch(site.browser(), "sue", "link-2")
    assert gone.status == 404 and "Tell your teacher" in gone.text


async def test_a_repository_is_chosen_and_a_wrong_one_shows_the_page_again(
    course: Course, files: ContentsOfUsers
) -> None:
    teacher = course.site.browser()
    session = (await deep_link(course, teacher)).value_of("session")
    wrong = await teacher.post("/hub/lti/choose", {"session": session, "git": "yes", "repo": "file:///etc"})
    assert wrong.status == 400 and wrong.value_of("session") == session
    good = {
        "session": session,
        "git": "yes",
        "repo": "https://github.com/example/course",
        "urlpath": "lab/tree/course/a.ipynb",
    }
    done = await teacher.post("/hub/lti/choose", good)
    [item] = course.platform.verify_tool(done.value_of("JWT"), course.platform.address)[DEEP + "content_items"]
    course.platform.link("Repository", custom=item["custom"])
    location = (await course.launch(course.site.browser(), "sam", "link-2")).location
    assert location.startswith("/hub/user-redirect/git-pull?repo=https%3A%2F%2Fgithub.com%2Fexample%2Fcourse")


async def test_pupils_choose_nothing_and_nobody_chooses_without_the_page(
    course: Course, files: ContentsOfUsers
) -> None:
    assert (await deep_link(course, course.site.browser(), "sam")).status == 403
    teacher = course.site.browser()
    page = await deep_link(course, teacher)
    session = page.value_of("session")
    evil = {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"}
    assert (await teacher.post("/hub/lti/choose", {"session": session, "cancel": "yes"}, **evil)).status == 403
    assert (await teacher.post("/hub/lti/choose", {"session": "x" * 43, "cancel": "yes"})).status == 410
    for path in ("../tina", "/etc/passwd", ".bashrc", "no/such", ""):
        answer = await teacher.post("/hub/lti/choose", {"session": session, "choose": path})
        assert answer.status in (400, 404), path
    done = await teacher.post("/hub/lti/choose", {"session": session, "cancel": "yes"})
    assert course.platform.verify_tool(done.value_of("JWT"), course.platform.address)[DEEP + "content_items"] == []


async def test_what_another_platforms_teacher_chose_is_nothing_here(course: Course, files: ContentsOfUsers) -> None:
    course.platform.link("Forged", custom={"kernelhub_target": "0" * 26})
    assert (await course.launch(course.site.browser(), "sam", "link-2")).location == "/hub/home"


async def teacher_file(files: ContentsOfUsers, teacher: Any, path: str, text: str) -> None:
    contents, parts = files.of(teacher), path.split("/")
    for depth in range(1, len(parts)):
        if not await contents.exists("/".join(parts[:depth])):
            await contents.save("/".join(parts[:depth]), SaveRequest(type="directory"))
    cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": text}
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    content = msgspec.Raw(json.dumps(notebook).encode())
    await contents.save(path, SaveRequest(type="notebook", format="json", content=content))


# -- registration and administrators' pages ----------------------------------------------------------------------------


async def test_a_platform_registers_itself_by_a_link_that_works_once(make_site: SiteMaker, platform: Platform) -> None:
    site: Site = await make_site(lti=Lti(enabled=True))
    platform.hub, platform.now = site.address, lambda: site.clock.now().timestamp()
    admin = await site.signed_in("root1", Role.ADMIN)
    page = await admin.submit(
        "/hub/admin/platforms/invite", {"name": "moodle", "host": "127.0.0.1"}, "/hub/admin/platforms"
    )
    path = page.value_of("link").removeprefix(site.address)
    where = {
        "openid_configuration": f"{platform.address}/.well-known/openid-configuration",
        "registration_token": "registration-token",
    }
    visitor = site.browser()
    asked = await visitor.get(f"{path}?{urlencode(where)}", **FRAME)
    assert asked.status == 200 and platform.registered == [], "opening the address does nothing"
    done = await visitor.post(path, where)
    assert done.status == 200 and "Registered" in done.text
    [sent] = platform.registered
    assert sent["initiate_login_uri"] == f"{site.address}/hub/lti/login" and sent["redirect_uris"]
    assert (await visitor.post(path, where)).status == 410
    [made] = await site.auth.lti.platforms.list()
    assert (made.name, made.client_id, made.deployments, made.source) == (
        "moodle",
        platform.client_id,
        ("1",),
        "registration",
    )
    platform.link("First steps")
    assert (await Course(site, platform, made).launch(site.browser(), "sam", "link-1")).status == 302
    await site.auth.lti.close()


async def test_a_registration_from_elsewhere_or_under_anothers_name_is_refused(course: Course) -> None:
    site, platform = course.site, course.platform
    secret = await site.auth.lti.registrations.invite("other", "moodle.example.edu", "test")
    where = {"openid_configuration": f"{platform.address}/.well-known/openid-configuration"}
    assert (await site.browser().post(f"/hub/lti/register/{secret}", where)).status == 400
    secret = await site.auth.lti.registrations.invite("other", "", "test")
    assert (await site.browser().post(f"/hub/lti/register/{secret}", where)).status == 503, "a private address"
    evil = {**where, "openid_configuration": "javascript:alert(1)"}
    assert (await site.browser().post(f"/hub/lti/register/{secret}", evil)).status == 400
    given = {**platform.settings(), "client_id": "second", "jwks_url": "https://evil.example/jwks"}
    with pytest.raises(Conflict):
        await site.auth.lti.platforms.add("evil", LtiPlatform(**given), "hub", "test")


async def test_an_administrator_adds_tries_and_deletes_a_platform(make_site: SiteMaker, platform: Platform) -> None:
    site: Site = await make_site(lti=Lti(enabled=True))
    platform.hub, platform.now = site.address, lambda: site.clock.now().timestamp()
    admin = await site.signed_in("root1", Role.ADMIN)
    fields = {**platform.settings(), "name": "school", "deployments": "1, 2", "groups": "yes"}
    wrong = await admin.submit("/hub/admin/platforms", {**fields, "jwks_url": "ftp://x"}, "/hub/admin/platforms")
    assert wrong.status == 400 and wrong.value_of("issuer") == platform.address
    added = await admin.submit("/hub/admin/platforms", fields, "/hub/admin/platforms")
    assert added.status == 302
    course = Course(site, platform, (await site.auth.lti.platforms.list())[0])
    await know_tool(course)
    platform.link("First steps")
    await course.launch(site.browser(), "sam", "link-1")
    here = added.location
    tried = await admin.submit(f"{here}/test", {}, here)
    assert tried.text.count("works") == 3, tried.text
    synced = await admin.submit(f"{here}/roster", {}, here)
    assert "Biology 101: 2 added" in synced.text
    link = await link_of(course)
    score = {"link": link.id, "user": "sam", "score": "3", "max": "4"}
    assert (await admin.submit(f"{here}/score", score, here)).status == 302
    assert platform.scores[0]["scoreGiven"] == 3
    shown = await admin.get(here)
    assert "3 of 4" in shown.text and "sent" in shown.text
    assert (await admin.submit(f"{here}/delete", {}, here)).status == 302
    assert await site.auth.lti.platforms.list() == []
    actions = await site.actions("platform.")
    assert actions == ["platform.deleted", "platform.added"]
    await site.auth.lti.close()


async def test_the_configurations_platforms_are_fixed_and_send_nobody_when_they_are_taken_out(
    make_site: SiteMaker, platform: Platform
) -> None:
    given = LtiPlatform(**platform.settings())
    site: Site = await make_site(lti=Lti(enabled=True, platforms={"school": given}))
    platforms = site.auth.lti.platforms
    await platforms.sync_configuration({"school": given})
    await platforms.sync_configuration({"school": given})
    [made] = await platforms.list()
    admin = await site.signed_in("root1", Role.ADMIN)
    here = f"/hub/admin/platforms/{made.id}"
    refused = await admin.submit(f"{here}/delete", {}, here)
    assert refused.status == 403 and "configuration file" in refused.text
    course = await _course_of(site, platform)
    assert (await course.announce(site.browser(), "sam", "link-1")).status == 302
    await platforms.sync_configuration({})
    assert (await course.announce(site.browser(), "sam", "link-1")).status == 403
    await site.auth.lti.close()


async def _course_of(site: Site, platform: Platform) -> Course:
    platform.hub, platform.now = site.address, lambda: site.clock.now().timestamp()
    platform.link("First steps")
    return Course(site, platform, (await site.auth.lti.platforms.list())[0])


async def test_keys_are_sealed_and_replaced_and_the_old_one_is_shown_for_a_while(course: Course) -> None:
    keys = course.site.auth.lti.keys
    [first] = (await keys.key_set())["keys"]
    assert "d" not in first and first["kty"] == "RSA"
    async with course.site.store.reading() as unit:
        row = await unit.lti_platforms._db.row(lti_keys.select())
    assert row is not None and "PRIVATE KEY" not in row.private
    course.site.clock.advance(timedelta(minutes=1))
    second = await keys.rotate("test")
    assert [key["kid"] for key in (await keys.key_set())["keys"]] == [second, first["kid"]]
    await know_tool(course)
    assert course.platform.verify_tool(await keys.sign({"iss": course.platform.client_id, "aud": "x"}), "x")
    course.site.clock.advance(timedelta(days=31))
    third = await keys.rotate("test")
    assert next(key["kid"] for key in (await keys.key_set())["keys"]) == third
    assert first["kid"] not in {key["kid"] for key in (await keys.key_set())["keys"]}


async def test_the_documents_that_platforms_read_name_this_hub(course: Course) -> None:
    visitor = course.site.browser()
    canvas = (await visitor.api("GET", "/hub/lti/canvas")).json()
    assert canvas["oidc_initiation_url"] == f"{course.site.address}/hub/lti/login"
    assert len(canvas["scopes"]) == 4
    keys = (await visitor.api("GET", "/hub/lti/keys")).json()
    assert keys["keys"][0]["alg"] == "RS256" and "d" not in keys["keys"][0]
