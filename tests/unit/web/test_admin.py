"""What people in charge see of what runs now, and what they do to it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from hub.domain.ids import GroupId, KernelId, new_id, new_uuid
from hub.domain.kernels import Kernel, KernelState
from hub.domain.users import Group, MemberRole, Role, User
from hub.domain.workspace import Workspace
from hub.web import live_stream
from tests.unit.web.conftest import INTERNAL_TOKEN, Browser, Site

NOW = "/hub/admin"
EVENTS = "/hub/admin/now/events"


@pytest.fixture
async def admin(site: Site) -> Browser:
    return await site.signed_in("root1", Role.ADMIN)


async def run(site: Site, user: User, state: KernelState = KernelState.BUSY) -> tuple[Workspace, Kernel]:
    """A container of the user with a kernel, in the database and among the fakes."""
    workspace = site.workspaces.run(user)
    moment = site.clock.now()
    kernel = Kernel(KernelId(new_uuid()), workspace.id, user.id, "python3", state, moment, moment)
    async with site.store.unit() as unit:
        await unit.workspaces.add(workspace)
        await unit.kernels.add(kernel)
    site.services.live.forget()
    return workspace, kernel


async def parts(browser: Browser) -> Any:
    answer = await browser.api("GET", f"{EVENTS}?once=1")
    assert answer.status == 200, answer.text
    return answer.json()


async def test_only_people_in_charge_see_what_runs(site: Site) -> None:
    alice = await site.signed_in("alice")
    for path in (NOW, EVENTS, "/hub/admin/now/lines/machine", "/hub/admin/users/alice/message"):
        assert (await alice.get(path)).status == 403
    assert NOW not in (await alice.get("/hub/home")).text


async def test_the_page_shows_containers_with_kernels_in_words(site: Site, admin: Browser) -> None:
    assert "No container is running." in (await admin.get(NOW)).text
    workspace, _ = await run(site, await site.add("bob"))
    page = (await admin.get(NOW)).text
    for words in (
        "bob",
        "1 busy, 0 idle",
        "busy",
        workspace.image.removesuffix(":latest"),
        "since",
        "Waiting to start",
    ):
        assert words in page
    assert "Nothing fits." in (await admin.get(f"{NOW}?search=zoe&shown=all")).text


async def test_old_addresses_lead_on(site: Site, admin: Browser) -> None:
    assert (await admin.get("/hub/admin/containers")).location == NOW
    for old in ("search=a", "offset=50&search=a"):
        assert (await admin.get(f"{NOW}?{old}")).location == "/hub/admin/people?search=a"


async def test_a_container_is_stopped_by_a_form_and_by_script(site: Site, admin: Browser) -> None:
    workspace, _ = await run(site, await site.add("bob"))
    path = f"/hub/admin/containers/{workspace.id}/stop"
    assert (await admin.submit(path, page=NOW)).location == f"{NOW}?done=stopped"
    root = await site.auth.users.get("root1")
    assert site.workspaces.stopped == [(workspace.id, root.id)]
    answer = await admin.submit(path, {"back": "//evil.example"}, NOW)
    assert answer.location == f"{NOW}?done=stopped"
    token = await admin.form_token(NOW)
    told = await admin.post(path, {"_xsrf": token}, Accept="application/json")
    assert told.json() == {"done": "The container was stopped."}
    missing = await admin.post("/hub/admin/containers/0123/stop", {"_xsrf": token}, Accept="application/json")
    assert missing.status == 404 and "no such container" in missing.json()["message"]


async def test_the_stream_says_what_changed_and_nothing_else(
    site: Site, admin: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_stream, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(live_stream, "BEAT_SECONDS", 0.04)
    heard: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
    reading = asyncio.ensure_future(read(site, admin, heard))
    name, first = await heard.get()
    assert name == "all" and "containers" in first["parts"] and first.get("rows") is None
    assert (await heard.get())[0] == "beat"
    workspace, _ = await run(site, await site.add("bob"))
    name, change = await next_change(heard)
    assert name == "change" and change["order"] == [workspace.id] and "bob" in change["rows"][workspace.id]["owner"]
    assert "waiting" not in change["parts"] and "kernels" in change["parts"]
    user = await site.auth.users.get("root1")
    await site.auth.sign_ins.revoke_all(user.id, user.id)
    name, end = await next_change(heard)
    assert name == "end" and end["reason"]
    await reading
    assert len(site.services.live.viewers) == 0


async def next_change(heard: asyncio.Queue[tuple[str, Any]]) -> tuple[str, Any]:
    while True:
        name, data = await asyncio.wait_for(heard.get(), 5)
        if name != "beat":
            return name, data


async def read(site: Site, browser: Browser, heard: asyncio.Queue[tuple[str, Any]]) -> None:
    """Read the stream as live.js does, with the token of the page."""
    text = ""

    def take(chunk: bytes) -> None:
        nonlocal text
        text += chunk.decode()
        while "\n\n" in text:
            event, _, text = text.partition("\n\n")
            lines = dict(line.split(": ", 1) for line in event.splitlines())
            if "event" in lines:
                heard.put_nowait((lines["event"], msgspec.json.decode(lines["data"])))
            else:
                heard.put_nowait(("beat", None))

    headers = {
        "X-Kernelhub-Internal": INTERNAL_TOKEN,
        "Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items()),
        "X-XSRFToken": await browser.form_token(NOW),
        "Sec-Fetch-Site": "same-origin",
    }
    request = HTTPRequest(site.address + EVENTS, headers=headers, streaming_callback=take, request_timeout=30)
    await AsyncHTTPClient().fetch(request)


async def test_a_sign_in_alone_does_not_open_the_stream(site: Site, admin: Browser) -> None:
    answer = await admin.api("GET", EVENTS, X_XSRFToken=None)
    assert answer.status == 403


async def test_streams_are_bounded(site: Site, admin: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.live.viewers.MAX_OF_PRINCIPAL", 0)
    assert (await admin.api("GET", EVENTS)).status == 429
    assert "tile" in (await parts(admin))["parts"]["kernels"]


async def test_a_group_owner_sees_and_stops_only_theirs(site: Site) -> None:
    teacher = await site.signed_in("teacher", Role.ADMIN)
    user = await site.auth.users.get("teacher")
    bob, zoe = await site.add("bob"), await site.add("zoe42")
    async with site.store.unit() as unit:
        group = Group(id=GroupId(new_id()), name="physics", created_at=site.clock.now())
        await unit.groups.add(group)
        await unit.groups.add_member(group.id, user.id, MemberRole.OWNER)
        await unit.groups.add_member(group.id, bob.id)
        row = await unit.users.find(user.id)
        assert row is not None
        await unit.users.save(replace(row, role=Role.USER))
    mine, _ = await run(site, bob)
    other, _ = await run(site, zoe)
    site.clock.advance(timedelta(seconds=3))
    told = await parts(teacher)
    assert list(told["rows"]) == [mine.id] and "people" not in told["parts"]
    assert "zoe42" not in (await teacher.get(NOW)).text
    token = await teacher.form_token(NOW)
    refused = await teacher.post(f"/hub/admin/containers/{other.id}/stop", {"_xsrf": token}, Accept="application/json")
    assert refused.status == 403
    done = await teacher.post(f"/hub/admin/containers/{mine.id}/stop", {"_xsrf": token}, Accept="application/json")
    assert done.status == 200
    assert site.workspaces.reasons == ["stopped by an owner of your group"]


async def test_a_message_is_shown_until_it_is_dismissed(site: Site, admin: Browser) -> None:
    bob = await site.signed_in("bob")
    form = "/hub/admin/users/bob/message"
    sent = await admin.submit(form, {"text": " Class is over.\r\n<b>Save</b> ", "lasts": "1h"}, form)
    assert sent.location == f"{form}?done=message-sent"
    home = (await bob.get("/hub/home")).text
    assert "Class is over.\n&lt;b&gt;Save&lt;/b&gt;" in home and "root1" in home
    [notice] = (await bob.api("GET", "/hub/home/notices")).json()["notices"]
    assert (notice["kind"], notice["from"]) == ("message", "root1")
    other = await site.signed_in("eve")
    assert (await other.api("GET", "/hub/home/notices")).json()["notices"] == []
    assert (await other.submit(notice["dismiss"])).status == 404
    assert (await bob.submit(notice["dismiss"])).location == "/hub/home"
    assert "Class is over." not in (await bob.get("/hub/home")).text
    assert "message.sent" in await site.actions()


@pytest.mark.parametrize("fields", [{"text": "  "}, {"text": "x" * 1001}, {"text": "x", "lasts": "99y"}])
async def test_a_message_that_says_nothing_or_too_much_is_refused(
    site: Site, admin: Browser, fields: dict[str, str]
) -> None:
    await site.add("bob")
    form = "/hub/admin/users/bob/message"
    answer = await admin.submit(form, {"lasts": "1d", **fields}, form)
    assert answer.status == 400 and "characters" in answer.text


async def test_a_message_expires(site: Site, admin: Browser) -> None:
    bob = await site.signed_in("bob")
    form = "/hub/admin/users/bob/message"
    await admin.submit(form, {"text": "soon gone", "lasts": "1h"}, form)
    site.clock.advance(timedelta(hours=1, seconds=1))
    assert "soon gone" not in (await bob.get("/hub/home")).text


async def test_whose_container_was_stopped_is_told_where_they_work(site: Site, admin: Browser) -> None:
    bob = await site.add("bob")
    workspace = site.workspaces.run(bob)
    async with site.store.unit() as unit:
        await unit.workspaces.add(workspace)
    await admin.submit(f"/hub/admin/containers/{workspace.id}/stop", page="/hub/admin")
    async with site.store.reading() as unit:
        [message] = await unit.messages.list_open(bob.id, site.clock.now())
    assert message.text.startswith("Your container was stopped by an administrator.")
