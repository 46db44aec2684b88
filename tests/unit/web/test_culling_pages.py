"""When idle things end, on pages and in the API: who may say what, what a warned user is told and can do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hub.cull.loop import Look
from hub.domain.culling import KernelSnapshot, Rule, Standing, WorkspaceSnapshot, decide
from hub.domain.culling_policy import CullingPolicy
from hub.domain.ids import KernelId, SessionId
from hub.domain.kernels import Kernel, KernelState, Session
from hub.domain.users import Role, User
from hub.domain.workspace import Workspace
from tests.unit.web.conftest import Browser, Site

HOUR = timedelta(hours=1)
K = KernelId("1b4e28ba-2fa1-41d2-883f-0016d3cca427")
POLICY = CullingPolicy(kernel_idle=4 * HOUR, workspace_empty=HOUR)


async def warned(site: Site, user: User, times: int = 0) -> Workspace:
    """The user's container with a kernel that ends in five minutes."""
    workspace = site.workspaces.run(user)
    now = site.clock.now()
    async with site.store.unit() as unit:
        await unit.workspaces.add(workspace)
        await unit.kernels.add(Kernel(K, workspace.id, user.id, "python3", KernelState.IDLE, now, now))
        await unit.sessions.add(Session(SessionId("s1"), user.id, K, "train.ipynb", "", "notebook", now))
    standing = Standing(Rule.KERNEL_IDLE, timedelta(minutes=5), times=times, put_off=times * HOUR)
    idle = 4 * HOUR - timedelta(minutes=5)
    kernel = KernelSnapshot(K, KernelState.IDLE, idle, 1, standing=standing)
    snapshot = WorkspaceSnapshot(workspace.id, (kernel,), 0, 1, timedelta(0))
    culler = site.services.culler
    seen = culler._memory.look(workspace.id, site.clock.monotonic(), HOUR).of(K)
    seen.warned_of, seen.warned_at = Rule.KERNEL_IDLE, site.clock.monotonic() - 300
    culler._looks[workspace.id] = Look(workspace, POLICY, snapshot, tuple(decide(POLICY, [snapshot])))
    culler._decided_at = now
    return workspace


async def test_a_warned_user_is_told_on_every_page_and_for_jupyterlab(site: Site) -> None:
    ada = await site.signed_in("ada")
    await warned(site, await site.auth.users.get("ada"))
    page = (await ada.get("/hub/token")).text
    assert "The kernel of train.ipynb ends at" in page and "Keep it for 60 min more" in page
    (notice,) = (await ada.api("GET", "/hub/home/notices")).json()["notices"]
    assert (notice["kind"], notice["tone"]) == ("end", "warning")
    assert notice["keep"] == f"/hub/home/keep/{K}" and notice["at_text"] in notice["text"]
    assert "idle kernels end after 4 h (the hub's settings). Variables in memory are lost then" in notice["text"]


async def test_the_button_puts_the_end_off_and_the_notice_goes(site: Site) -> None:
    ada = await site.signed_in("ada")
    await warned(site, await site.auth.users.get("ada"))
    answer = await ada.submit(f"/hub/home/keep/{K}", page="/hub/token")
    assert (answer.status, answer.headers["Location"]) == (302, "/hub/home?done=kept")
    assert (await ada.api("GET", "/hub/home/notices")).json()["notices"] == []
    assert (await ada.submit(f"/hub/home/keep/{K}", page="/hub/token")).status == 409


async def test_who_has_put_off_enough_is_told_so_and_has_no_button(site: Site) -> None:
    ada = await site.signed_in("ada")
    await warned(site, await site.auth.users.get("ada"), times=3)
    page = (await ada.get("/hub/token")).text
    assert "It was put off 3 times already" in page and "Keep it for" not in page


async def test_nobody_puts_off_or_sees_what_is_anothers(site: Site) -> None:
    await site.add("ada")
    await warned(site, await site.auth.users.get("ada"))
    bob = await site.signed_in("bob")
    assert (await bob.submit(f"/hub/home/keep/{K}", page="/hub/token")).status == 404
    assert (await bob.api("GET", "/hub/home/notices")).json()["notices"] == []


async def test_administrators_read_why_on_the_persons_page_and_say_otherwise_for_the_person(site: Site) -> None:
    await site.add("ada")
    ada = await site.auth.users.get("ada")
    await warned(site, ada)
    root = await site.signed_in("root1", Role.ADMIN)
    address = "/hub/admin/users/ada"
    page = (await root.get(address)).text
    assert "The kernel of train.ipynb ends in 5 min" in page and "and is warned" in page
    wrong = await root.submit(f"{address}/culling", {"culling_kernel_idle": "soon", "culling_max_age": "7d"}, address)
    assert wrong.status == 400 and "Nothing was saved: kernel idle: a span of time is" in wrong.text
    assert wrong.value_of("culling_kernel_idle") == "soon" and wrong.value_of("culling_max_age") == "7d"
    said = {"culling_kernel_idle": "never", "culling_quiet_hours": "mon-fri 8:00-18:00", "culling_time_zone": "Mars"}
    assert "no time zone" in (await root.submit(f"{address}/culling", said, address)).text
    said["culling_time_zone"] = "Europe/Berlin"
    assert (await root.submit(f"{address}/culling", said, address)).status == 302
    rules = await site.services.ruling.of_user(ada)
    assert (rules.kernel_idle, rules.time_zone, len(rules.quiet_hours or [])) == ("never", "Europe/Berlin", 1)
    assert (await root.get(address)).value_of("culling_kernel_idle") == "never"
    async with site.store.reading() as unit:
        (event,) = await unit.audit.list(10, action_prefix="culling.rules_changed")
    assert event.person == ada.id and event.details["kernel_idle to"] == "never"


@pytest.fixture
async def physics(site: Site) -> tuple[Site, Browser]:
    """A group with an owner, who is at a browser."""
    owner = await site.signed_in("olga")
    olga = await site.auth.users.get("olga")
    group = await site.auth.groups.create("physics", "test")
    await site.auth.groups.set_owner(group, olga, True, "test")
    await owner.prove_presence()
    return site, owner


async def test_a_groups_owner_shortens_and_lengthens_only_up_to_the_cap(physics: tuple[Site, Browser]) -> None:
    site, owner = physics
    address = "/hub/admin/groups/physics"

    async def say(span: str) -> int:
        return (await owner.submit(f"{address}/owner-culling", {"culling_kernel_idle": span}, address)).status

    assert [await say(span) for span in ("1h", "4h", "5h", "never")] == [302, 302, 403, 403]
    page = await owner.get(address)
    assert 'action="/hub/admin/groups/physics/culling"' not in page.text, "the administrators' form is not theirs"
    root = await site.signed_in("root1", Role.ADMIN)
    assert (await root.submit(f"{address}/culling", {"culling_owners_up_to": "12h"}, address)).status == 302
    assert [await say(span) for span in ("12h", "13h", "never")] == [302, 403, 403]
    refused = await owner.submit(f"{address}/culling", {"culling_kernel_idle": "never"}, address)
    assert refused.status == 403
    assert (await owner.submit(f"{address}/owner-culling", {"culling_kernel_idle": "x"}, address)).status == 400


async def test_a_profile_says_when_its_idle_things_end(site: Site) -> None:
    root = await site.signed_in("root1", Role.ADMIN)
    new = "/hub/admin/profiles/new"
    fields = {"name": "gpu", "image": "kernelhub/datascience:latest", "environment": "", "network": "none"}
    wrong = await root.submit(new, {**fields, "culling_kernel_idle": "x", "culling_busy_cpu": "-1"}, new)
    assert wrong.status == 400 and 'id="hint-culling_kernel_idle">a span of time' in wrong.text
    said = {"culling_kernel_idle": "30m", "culling_max_age": "12h", "culling_cull_connected": "keeps"}
    assert (await root.submit(new, {**fields, **said}, new)).status == 302
    rules = site.services.running.current.profiles["gpu"].culling
    assert (rules.kernel_idle, rules.max_age, rules.cull_connected) == (HOUR / 2, 12 * HOUR, False)
    assert (await root.get("/hub/admin/profiles/gpu")).value_of("culling_kernel_idle") == "30m"


async def test_the_settings_page_has_all_of_it(site: Site) -> None:
    root = await site.signed_in("root1", Role.ADMIN)
    page = "/hub/admin/settings"
    said = {
        "kernel_idle": "2h",
        "workspace_empty": "20m",
        "max_age": "7d",
        "kernel_stuck": "never",
        "pause_after": "1h",
    }
    said |= {"warning": "5m", "postpone": "30m", "postpone_times": "2", "postpone_total": "1h", "busy_cpu": "0,1"}
    said |= {"quiet_hours": "daily 22:00-06:00", "time_zone": "Europe/Paris"}
    assert (await root.submit(f"{page}/culling", said, page)).status == 302
    culling = site.services.running.current.culling
    assert (culling.kernel_idle, culling.kernel_stuck, culling.pause_after) == (2 * HOUR, None, HOUR)
    assert (culling.postpone_times, culling.busy_cpu, culling.cull_connected) == (2, 0.1, False)
    assert culling.quiet[0].zone == "Europe/Paris"
    wrong = await root.submit(f"{page}/culling", {**said, "quiet_hours": "at night"}, page)
    assert wrong.status == 400 and "is not like" in wrong.text and "at night" in wrong.text


async def test_the_api_answers_state_since_when_what_and_why(site: Site) -> None:
    ada = await site.signed_in("ada")
    workspace = await warned(site, await site.auth.users.get("ada"))
    program = replace(ada, cookies={}, headers={"Authorization": f"token {await site.token_of('ada')}"})
    kernel, container = (await program.api("GET", "/hub/api/users/ada/culling")).json()["decisions"]
    expected = {
        "kernel_id": K,
        "workspace_id": workspace.id,
        "state": "idle",
        "action": "keep",
        "rule": "kernel_idle",
        "reason": "idle for 3 h 55 min",
        "due_in_seconds": 300.0,
        "limit_seconds": 14400.0,
        "connections": 1,
        "warned": True,
        "warned_for_seconds": 300.0,
        "can_postpone_by_seconds": 3600.0,
    }
    assert expected.items() <= kernel.items()
    assert (container["kernel_id"], container["reason"], container["ends_at"]) == (None, "it holds 1 kernel", None)
    postpone = "/hub/api/users/ada/culling/postpone"
    for body, status in (({}, 400), ({"kernel_id": "x"}, 404), ({"kernel_id": K, "seconds": 10**6}, 400)):
        assert (await program.api("POST", postpone, body)).status == status
    assert (await program.api("POST", postpone, {"workspace_id": workspace.id})).status == 409
    answer = (await program.api("POST", postpone, {"kernel_id": K, "seconds": 60})).json()
    assert (answer["times_put_off"], answer["due_in_seconds"]) == (1, 360.0)
