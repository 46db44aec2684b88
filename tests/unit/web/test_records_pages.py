"""History, audit, settings and profiles as pages: who may see them, what they say, and what they change."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from html import unescape
from typing import Any

import msgspec
import pytest

from hub.config import Culling, Profile
from hub.config.limits import DefaultLimits
from hub.domain.audit import AuditEvent
from hub.domain.history import Begin, End, Outcome, Run
from hub.domain.ids import GroupId, WorkspaceId, new_id
from hub.domain.users import Group, MemberRole, Role, User
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.errors import ImageMissing
from hub.workspaces.image_kernelspecs import KernelspecList
from proxy.contract.agent import Kernelspec
from tests.unit.web.conftest import Site, SiteMaker

PAGES = ("/hub/admin/history", "/hub/admin/audit", "/hub/admin/settings", "/hub/admin/profiles")
CANARY = "canary-sEcReT-0815"


async def live_through(site: Site, user: User, *, fails: str = "", hours: float = 2.0) -> None:
    """A life of a container of the user: a start that fails, or one that ran for some hours."""
    workspace = Workspace(
        WorkspaceId(f"w-{user.name}"), user.id, "datascience", WorkspaceState.STOPPED, "image", Limits(None, None, None)
    )
    at = site.clock.now() - timedelta(hours=hours + 1)
    async with site.store.unit() as unit:
        await unit.lives.record(workspace, workspace, Begin(), user.id, at)
        if fails:
            await unit.lives.record(workspace, workspace, End(Outcome.FAILED, fails, "x.failed"), "hub", at)
            return
        started = at + timedelta(seconds=2)
        await unit.lives.record(workspace, workspace, Run({"created": 900}), "hub", started)
        ended = started + timedelta(hours=hours)
        await unit.lives.record(workspace, workspace, End(Outcome.ENDED, "idle"), "hub", ended)


@pytest.mark.parametrize("path", PAGES)
async def test_members_may_not_see_the_administrators_records(site: Site, path: str) -> None:
    browser = await site.signed_in("bob")
    assert (await browser.get(path)).status == 403
    admin = await site.signed_in("root", Role.ADMIN)
    assert (await admin.get(path)).status == 200


async def test_history_tells_starts_failures_hours_and_people(site: Site) -> None:
    admin = await site.signed_in("root", Role.ADMIN)
    ada, bob = await site.add("ada"), await site.add("bob")
    await live_through(site, ada, hours=3.0)
    await live_through(site, bob, fails="The image <b>nowhere</b> is missing.")
    page = (await admin.get("/hub/admin/history?days=7")).text
    assert "The image &lt;b&gt;nowhere&lt;/b&gt; is missing." in page
    assert '<a href="/hub/admin/users/ada">ada</a>' in page
    assert "3.0" in page
    assert "data-chart" in page


async def test_who_is_deleted_leaves_hours_and_no_name(site: Site) -> None:
    admin = await site.signed_in("root", Role.ADMIN)
    gone = await site.add("gonzalez")
    await live_through(site, gone)
    async with site.store.unit() as unit:
        await unit.users.delete(gone.id)
    page = (await admin.get("/hub/admin/history")).text
    assert "gonzalez" not in page
    assert "a deleted user" in page


async def test_group_owners_see_their_members_and_nobody_else(site: Site) -> None:
    teacher, ada, eve = await site.add("teacher"), await site.add("ada"), await site.add("eve")
    await owning(site, teacher, "physics", ada)
    for each in (ada, eve):
        await live_through(site, each)
    browser = site.browser()
    assert (await browser.sign_in("teacher")).status == 302
    await proven(site, browser)
    page = (await browser.get("/hub/admin/history")).text
    assert "ada" in page
    assert "eve" not in page
    text = (await browser.get("/hub/admin/history/starts.csv")).text
    assert "ada" in text
    assert "eve" not in text
    assert (await browser.get("/hub/admin/audit")).status == 403


@pytest.mark.parametrize("what", ["starts", "days", "weeks", "failures", "people", "groups"])
async def test_every_file_of_the_history_is_csv_with_a_heading(site: Site, what: str) -> None:
    admin = await site.signed_in("root", Role.ADMIN)
    ada = await site.add("ada")
    await live_through(site, ada)
    await live_through(site, ada, fails="=cmd|' /C calc'!A0")
    answer = await admin.get(f"/hub/admin/history/{what}.csv?days=7")
    assert answer.status == 200
    assert "attachment" in answer.headers["Content-Disposition"]
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert {len(row) for row in rows} == {len(rows[0])}
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row)


async def test_the_audit_page_finds_by_person_action_address_text_and_time(site: Site) -> None:
    admin = await site.signed_in("root", Role.ADMIN)
    ada = await site.add("ada")
    at = site.clock.now() - timedelta(days=3)
    async with site.store.unit() as unit:
        await unit.audit.add(
            AuditEvent(at, "kernel.died", "hub", "k1", "", {"user": ada.id, "reason": "out of memory"})
        )
        await unit.audit.add(AuditEvent(at, "kernel.culled", "hub", "k2", "198.51.100.7", {"reason": "idle"}))
    day = f"{at:%Y-%m-%d}"
    for query, there, absent in [
        ("person=ada", "out of memory", "no. 999"),
        ("action=kernel.", "saw a kernel die", "signed in"),
        ("action=kernel.culled", "ended an idle kernel", "out of memory"),
        ("address=198.51.*", "from 198.51.100.7", "out of memory"),
        ("text=OUT OF MEM".replace(" ", "+"), "out of memory", "198.51.100.7"),
        (f"since={day}&until={day}", "out of memory", "signed in</p>"),
        ("subject=k2", "198.51.100.7", "out of memory"),
    ]:
        page = (await admin.get(f"/hub/admin/audit?{query}")).text
        assert there in page, query
        assert absent not in page.partition('aria-label="What was found"')[2], query


async def test_the_audit_log_is_turned_over_page_by_page(site: Site) -> None:
    admin = await site.signed_in("root", Role.ADMIN)
    async with site.store.unit() as unit:
        for number in range(120):
            await unit.audit.add(AuditEvent(site.clock.now(), "note.made", "hub", f"note-{number}."))
    seen: list[int] = []
    path = "/hub/admin/audit?action=note.made"
    while path:
        page = (await admin.get(path)).text
        seen += [number for number in reversed(range(120)) if f"note-{number}." in page]
        following = re.search(r'href="([^"]+)" rel="next"', page)
        path = unescape(following[1]) if following else ""
    assert seen == list(reversed(range(120)))


async def test_the_audit_log_goes_into_files(site: Site) -> None:
    admin = await site.signed_in("root", Role.ADMIN)
    async with site.store.unit() as unit:
        await unit.audit.add(AuditEvent(site.clock.now(), "note.made", "hub", "=1+1", "", {"x": 1}))
    rows = list(csv.reader(io.StringIO((await admin.get("/hub/admin/audit.csv?action=note.made")).text)))
    assert rows[1][5] == "'=1+1"
    lines = (await admin.get("/hub/admin/audit.jsonl?action=note.made")).text.splitlines()
    assert [msgspec.json.decode(line)["subject"] for line in lines] == ["=1+1"]


async def test_an_announcement_is_seen_by_whom_it_concerns_while_it_lasts(site: Site) -> None:
    admin = await site.signed_in("root", Role.ADMIN)
    member = await site.signed_in("bob")
    fields = {"text": "Closing <at> six", "kind": "warning", "since": "", "until": "", "group": ""}
    answer = await admin.submit("/hub/admin/settings/announcement", fields, "/hub/admin/settings")
    assert answer.location.startswith("/hub/admin/settings?saved=announcement")
    assert "Closing &lt;at&gt; six" in (await member.get("/hub/home")).text
    await admin.submit("/hub/admin/settings/announcement", {**fields, "group": "physics"}, "/hub/admin/settings")
    assert "Closing" not in (await member.get("/hub/home")).text
    later = (site.clock.now() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M")
    await admin.submit("/hub/admin/settings/announcement", {**fields, "since": later}, "/hub/admin/settings")
    assert "Closing" not in (await member.get("/hub/home")).text
    site.clock.advance(timedelta(seconds=3700))
    assert "Closing" in (await member.get("/hub/home")).text


async def test_a_wrong_time_is_told_at_its_field_and_nothing_is_saved(site: Site) -> None:
    admin = await site.signed_in("root", Role.ADMIN)
    fields = {"kernel_idle": "soon", "workspace_empty": "15m", "cull_connected": "yes"}
    answer = await admin.submit("/hub/admin/settings/culling", fields, "/hub/admin/settings")
    assert answer.status == 400
    assert 'id="wrong-kernel_idle"' in answer.text
    assert 'value="soon"' in answer.text
    assert site.services.running.current.culling == Culling()


async def test_everybodys_limits_are_set_and_taken_away(site: Site) -> None:
    admin = await site.signed_in("root", Role.ADMIN)
    page = "/hub/admin/settings"
    fields = {"kernels": "3", "hours_per_week": "12,5", "disk_bytes": "10"}
    answer = await admin.submit(f"{page}/limits", fields, page)
    assert answer.location == f"{page}?saved=limits#limits"
    limits = site.services.running.current.limits
    assert (limits.containers, limits.kernels, limits.hours_per_week) == (None, 3, 12.5)
    assert limits.disk_bytes == 10 * 1024**3
    assert (await admin.get(page)).value_of("disk_bytes") == "10 GB"
    for wrong in ({"kernels": "-1"}, {"hours_per_week": "many"}, {"disk_bytes": "much"}):
        assert (await admin.submit(f"{page}/limits", wrong, page)).status == 400
    await admin.submit(f"{page}/limits", {}, page)
    assert site.services.running.current.limits == DefaultLimits()


async def test_culling_times_change_without_a_restart_and_the_change_is_recorded(site: Site) -> None:
    admin = await site.signed_in("root", Role.ADMIN)
    fields = {"kernel_idle": "never", "workspace_empty": "2h"}
    answer = await admin.submit("/hub/admin/settings/culling", fields, "/hub/admin/settings")
    assert answer.status == 302
    now = site.services.running.current.culling
    assert (now.kernel_idle, now.workspace_empty, now.cull_connected) == (None, timedelta(hours=2), False)
    async with site.store.reading() as unit:
        [event] = await unit.audit.list(action_prefix="settings.")
    assert event.subject == "culling"
    assert event.details["workspace_empty from"] == "PT15M"
    assert event.details["workspace_empty to"] == "PT2H"


async def test_what_the_configuration_fixes_is_shown_so_and_refused(make_site: SiteMaker) -> None:
    site = await make_site(culling=Culling(kernel_idle=timedelta(hours=1)), registration="approval")
    admin = await site.signed_in("root", Role.ADMIN)
    page = (await admin.get("/hub/admin/settings")).text
    assert page.count("Fixed by") == 2
    answer = await admin.submit("/hub/admin/settings/registration", {"mode": "open"}, "/hub/admin/settings")
    assert answer.status == 409
    assert site.services.running.current.registration == "approval"
    fields = {"kernel_idle": "9h", "workspace_empty": "1h"}
    assert (await admin.submit("/hub/admin/settings/culling", fields, "/hub/admin/settings")).status == 302
    assert site.services.running.current.culling.kernel_idle == timedelta(hours=1)
    assert site.services.running.current.culling.workspace_empty == timedelta(hours=1)


async def test_a_profile_is_added_changed_turned_off_and_deleted(site: Site) -> None:
    admin = await site.signed_in("root", Role.ADMIN)
    fields = profile_form(name="stats", image="kernelhub/r:latest", environment=f"KEY={CANARY}", groups="")
    answer = await admin.submit("/hub/admin/profiles/new", fields, "/hub/admin/profiles/new")
    assert answer.location == "/hub/admin/profiles?done=saved", answer.text
    made = site.services.running.profiles["stats"]
    assert (made.image, made.memory_bytes, made.environment) == ("kernelhub/r:latest", 1024**3, {"KEY": CANARY})
    changed = profile_form(image="kernelhub/r:2", environment="", groups="physics")
    await admin.submit("/hub/admin/profiles/stats", changed, "/hub/admin/profiles/stats")
    assert site.services.running.profiles["stats"].groups == ["physics"]
    await admin.submit("/hub/admin/profiles/stats/disable", {}, "/hub/admin/profiles/stats")
    assert "stats" not in site.services.running.profiles
    await admin.submit("/hub/admin/profiles/stats/enable", {}, "/hub/admin/profiles/stats")
    assert "stats" in site.services.running.profiles
    await admin.submit("/hub/admin/profiles/stats/delete", {}, "/hub/admin/profiles/stats")
    assert (await admin.get("/hub/admin/profiles/stats")).status == 404
    expected = ["profile.deleted", "profile.changed", "profile.changed", "profile.changed", "profile.added"]
    assert await site.actions("profile.") == expected
    assert CANARY not in await site.audit_text()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("memory_bytes", "lots"),
        ("memory_bytes", "1 MiB"),
        ("cpus", "-1"),
        ("pids", "3"),
        ("network", "host"),
        ("environment", "not a variable"),
        ("image", ""),
        ("image", "--privileged"),
        ("spare_kernels", "99"),
        ("restarts", "-1"),
        ("restarts", "1001"),
        ("restarts", "often"),
        ("restarts_within", "0s"),
        ("restarts_within", "2d"),
        ("restarts_within", "soon"),
        ("journal_bytes", "257 MB"),
        ("journal_bytes", "-1"),
    ],
)
async def test_a_wrong_field_of_a_profile_is_told_and_nothing_is_saved(site: Site, field: str, value: str) -> None:
    admin = await site.signed_in("root", Role.ADMIN)
    fields = profile_form(name="stats", **{field: value})
    answer = await admin.submit("/hub/admin/profiles/new", fields, "/hub/admin/profiles/new")
    assert answer.status == 400
    assert "stats" not in site.services.running.profiles


async def test_what_becomes_of_dead_kernels_is_set_in_the_form(site: Site) -> None:
    admin = await site.signed_in("root", Role.ADMIN)
    new, page = "/hub/admin/profiles/new", "/hub/admin/profiles/stats"
    rules = {"restarts": "5", "restarts_within": "10m", "journal_bytes": "16 MB"}
    assert (await admin.submit(new, profile_form(name="stats", **rules), new)).status == 302

    def kept() -> tuple[int, timedelta, int]:
        made = site.services.running.profiles["stats"]
        return made.restarts, made.restarts_within, made.journal_bytes

    assert kept() == (5, timedelta(minutes=10), 16 * 1024**2)
    shown = (await admin.get(page)).text
    assert all(f'name="{name}" value="{value}"' in shown for name, value in rules.items())
    await admin.submit(page, profile_form(), page)
    assert kept() == (5, timedelta(minutes=10), 16 * 1024**2), "a form without them leaves them"
    await admin.submit(page, profile_form(restarts="0", restarts_within="", journal_bytes="0"), page)
    assert kept() == (0, timedelta(minutes=1), 0)
    wrong = await admin.submit(page, profile_form(restarts_within="2d"), page)
    assert "a time from 1s to 1d, such as 90s, 5m or 1h" in wrong.text


async def test_the_default_profile_can_neither_be_turned_off_nor_kept_to_a_group(site: Site) -> None:
    admin = await site.signed_in("root", Role.ADMIN)
    page = "/hub/admin/profiles/datascience"
    assert (await admin.submit(f"{page}/disable", {}, page)).status == 409
    assert (await admin.submit(f"{page}/delete", {}, page)).status == 409
    assert (await admin.submit(page, profile_form(groups="physics"), page)).status == 409


async def test_a_profile_is_tried_out_before_it_is_saved(site: Site) -> None:
    admin = await site.signed_in("root", Role.ADMIN)
    specs: Any = site.services.kernelspecs

    async def works(profile: Profile) -> KernelspecList:
        return KernelspecList("ir", [Kernelspec("ir", {"display_name": "R 4.4"}, [], "")])

    async def fails(profile: Profile) -> KernelspecList:
        raise ImageMissing("The image is not there.")

    specs.try_out = works
    fields = {**profile_form(name="stats"), "try": "yes"}
    answer = await admin.submit("/hub/admin/profiles/new", fields, "/hub/admin/profiles/new")
    assert "It works" in answer.text
    assert "R 4.4" in answer.text
    specs.try_out = fails
    answer = await admin.submit("/hub/admin/profiles/new", fields, "/hub/admin/profiles/new")
    assert "The image is not there." in answer.text
    assert "stats" not in site.services.running.profiles


def profile_form(**changes: str) -> dict[str, str]:
    fields = {
        "display_name": "Statistics",
        "image": "kernelhub/r:latest",
        "memory_bytes": "1 GiB",
        "cpus": "1.5",
        "pids": "256",
        "tmp_bytes": "256 MiB",
        "network": "none",
        "environment": "",
        "spare_kernels": "1",
        "kernels": "",
        "groups": "",
        "roles": "",
    }
    return {**fields, **changes}


async def owning(site: Site, teacher: User, name: str, *members: User) -> None:
    group = Group(GroupId(new_id()), name, site.clock.now())
    async with site.store.unit() as unit:
        await unit.groups.add(group)
        await unit.groups.add_member(group.id, teacher.id, MemberRole.OWNER)
        for member in members:
            await unit.groups.add_member(group.id, member.id, MemberRole.MEMBER)


async def proven(site: Site, browser: Any) -> None:
    await browser.prove_presence()
