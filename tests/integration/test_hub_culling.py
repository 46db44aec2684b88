"""Culling in a whole hub: idle kernels are shut, then the empty container is stopped, each with its reason in words."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from hub.domain.audit import AuditEvent
from tests.harness.accounts import Account, add_account, audit
from tests.harness.client import HubClient, Message, eventually, text_of
from tests.harness.course import published
from tests.harness.plain_http import Answer, ask
from tests.harness.running import RunningHub, running_hub

T = TypeVar("T")
KERNEL_IDLE = 2
WORKSPACE_EMPTY = 1
LIMITS = {
    "KERNELHUB_CULLING__KERNEL_IDLE": str(KERNEL_IDLE),
    "KERNELHUB_CULLING__WORKSPACE_EMPTY": str(WORKSPACE_EMPTY),
    "KERNELHUB_CULLING__INTERVAL": "0.3",
    "KERNELHUB_CULLING__POSTPONE_TIMES": "2",
}


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process", LIMITS) as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


@pytest.fixture
async def client(hub: RunningHub, ada: Account) -> AsyncIterator[HubClient]:
    async with HubClient(hub.address, ada.name, ada.token) as client:
        yield client


async def test_an_idle_kernel_is_shut_and_then_the_empty_workspace_stopped_with_reasons_in_words(
    hub: RunningHub, client: HubClient, ada: Account
) -> None:
    session = await client.start_session("idle.ipynb")
    kernel_id = session["kernel"]["id"]
    async with client.kernel(kernel_id) as kernel:
        await kernel.execute("1")
    began = time.monotonic()

    async def culled() -> list[AuditEvent]:
        return await audit(hub, "kernel.culled", kernel_id)

    (event,) = await eventually(culled)
    assert time.monotonic() - began > KERNEL_IDLE - 0.5, "not before its time"
    assert re.fullmatch(r"idle for \d+ s, the limit is 2 s", str(event.details["reason"])), event
    assert event.actor == "hub" and event.details["user"] == ada.id
    (warned,) = await audit(hub, "culling.warned", kernel_id)
    (decided,) = await audit(hub, "culling.decided", kernel_id)
    assert (event.at - warned.at).total_seconds() >= KERNEL_IDLE / 2, "the warning stood for its whole time"
    assert isinstance(decided.details["spent_seconds"], float) and decided.details["spent_seconds"] >= KERNEL_IDLE
    assert decided.details["limit_seconds"] == KERNEL_IDLE and decided.details["rule"] == "kernel_idle"
    assert isinstance(decided.details["warned_for_seconds"], float)
    assert decided.details["warned_for_seconds"] >= KERNEL_IDLE / 2
    assert await client.request("GET", "api/kernels") == (200, [])
    assert await client.request("GET", "api/sessions") == (200, [])

    async def stopped() -> list[AuditEvent]:
        return await audit(hub, "workspace.stopped")

    event = (await eventually(stopped))[0]
    assert re.fullmatch(r"empty for \d+ s, the limit is 1 s", str(event.details["reason"])), event


async def test_a_running_cell_is_never_culled_however_long_it_runs(hub: RunningHub, client: HubClient) -> None:
    kernel_id = (await client.start_session("busy.ipynb"))["kernel"]["id"]
    async with client.kernel(kernel_id) as kernel:
        code = (
            "import time\nbegan = time.monotonic()\nwhile time.monotonic() - began < 5: time.sleep(0.1)\nprint('done')"
        )
        assert text_of(await kernel.execute(code)) == "done\n", "it ran for longer than any limit here"
    assert not await audit(hub, "kernel.culled", kernel_id)


async def test_the_api_says_in_words_what_will_end_when(hub: RunningHub, client: HubClient, ada: Account) -> None:
    kernel_id = (await client.start_session("shown.ipynb"))["kernel"]["id"]
    target = f"/hub/api/users/{ada.name}/culling"

    async def decision(state: str) -> Message | None:
        answer = await asyncio.to_thread(ask, hub.address, target, token=ada.token)
        assert answer.status == 200, answer
        found = answer.json()
        assert found["decided_at"]
        for one in found["decisions"]:
            if one["kernel_id"] == kernel_id and state in one["reason"]:
                result: Message = one
                return result
        return None

    async with client.kernel(kernel_id) as kernel:
        await kernel.execute("1")
        idle = await eventually(lambda: decision("idle for"))
        assert idle is not None
        assert idle["action"] in ("keep", "warn") and 0 < idle["due_in_seconds"] <= KERNEL_IDLE
        assert (idle["state"], idle["rule"], idle["limit_seconds"]) == ("idle", "kernel_idle", KERNEL_IDLE)
        assert idle["limit_source"] == "the hub's settings" and idle["since"] < idle["ends_at"]
        cell = asyncio.create_task(kernel.execute("import time; time.sleep(30)"))
        busy = await eventually(lambda: decision("a cell is running"))
        assert busy is not None
        assert busy["action"] == "keep" and busy["due_in_seconds"] is None
        assert (await client.request("POST", f"api/kernels/{kernel_id}/interrupt"))[0] == 204
        await cell


async def test_a_warning_is_told_and_its_end_can_be_put_off_so_often(
    hub: RunningHub, client: HubClient, ada: Account
) -> None:
    kernel_id = (await client.start_session("kept.ipynb"))["kernel"]["id"]
    target = f"/hub/api/users/{ada.name}/culling"

    async def warned() -> Message | None:
        answer = await asyncio.to_thread(ask, hub.address, target, token=ada.token)
        found: list[Message] = [one for one in answer.json()["decisions"] if one["kernel_id"] == kernel_id]
        return found[0] if found and found[0]["warned"] else None

    async def postpone(seconds: float) -> Answer:
        body = {"kernel_id": kernel_id, "seconds": seconds}
        return await asyncio.to_thread(ask, hub.address, f"{target}/postpone", "POST", token=ada.token, body=body)

    async with client.kernel(kernel_id) as kernel:
        await kernel.execute("1")
    for number in (1, 2):
        decision = await eventually(warned)
        assert decision is not None
        assert decision["due_in_seconds"] <= KERNEL_IDLE / 2 and decision["postponements_left"] == 3 - number
        answer = await postpone(3)
        assert answer.status == 200 and not answer.json()["warned"], answer
        assert answer.json()["times_put_off"] == number and answer.json()["due_in_seconds"] >= 3
    put_off_at = time.monotonic()
    decision = await eventually(warned)
    assert decision is not None
    assert (decision["can_postpone_by_seconds"], decision["postponements_left"]) == (None, 0)
    refused = await postpone(3)
    assert refused.status == 409 and "2 times already" in refused.json()["message"]

    async def culled() -> list[AuditEvent]:
        return await audit(hub, "kernel.culled", kernel_id)

    await eventually(culled)
    assert time.monotonic() - put_off_at > 2.5, "not before the time that was promised"


async def test_a_hub_that_is_killed_while_a_warning_stands_warns_anew_before_it_ends_anything(
    hub: RunningHub, client: HubClient, ada: Account
) -> None:
    root = add_account(hub, "root2", admin=True)
    rules, target = f"/hub/api/users/{ada.name}/culling/rules", f"/hub/api/users/{ada.name}/culling"

    async def set_idle(seconds: int | None) -> None:
        body = {} if seconds is None else {"kernel_idle": seconds}
        answer = await asyncio.to_thread(ask, hub.address, rules, "PUT", token=root.token, body=body)
        assert answer.status == 200, answer

    async def warned() -> bool:
        answer = await asyncio.to_thread(ask, hub.address, target, token=ada.token)
        decisions = answer.json()["decisions"] if answer.status == 200 else []
        return any(one["kernel_id"] == kernel_id and one["warned"] for one in decisions)

    async def decided() -> list[AuditEvent]:
        return await audit(hub, "culling.decided", kernel_id)

    await set_idle(6)
    kernel_id = (await client.start_session("warned.ipynb"))["kernel"]["id"]
    await eventually(warned)
    killed_at = datetime.now(UTC)
    await asyncio.to_thread(hub.kill, "hub")
    await eventually(warned)
    (event,) = await eventually(decided)
    await set_idle(None)
    warning = event.details["warning_seconds"]
    assert warning == 3 and event.details["warned_for_seconds"] >= warning, event
    assert event.at - killed_at >= timedelta(seconds=warning), "the whole warning, by a hub that lives"


async def test_a_background_thread_that_prints_is_use(hub: RunningHub, client: HubClient) -> None:
    kernel_id = (await client.start_session("thread.ipynb"))["kernel"]["id"]
    code = """
import threading, time
def work():
    for n in range(20):
        print(n)
        time.sleep(0.25)
thread = threading.Thread(target=work)
thread.start()
"""
    async with client.kernel(kernel_id) as kernel:
        await kernel.execute(code)
        await asyncio.sleep(KERNEL_IDLE * 2)  # no cell has run for twice as long as a kernel may be idle
        assert not await audit(hub, "kernel.culled", kernel_id)
        assert text_of(await kernel.execute("print('here')")).endswith("here\n")


async def test_what_will_end_when_is_told_to_the_user_and_to_administrators_only(hub: RunningHub, ada: Account) -> None:
    root, bob = add_account(hub, "root1", admin=True), add_account(hub, "bob")
    target = f"/hub/api/users/{ada.name}/culling"
    assert (await asyncio.to_thread(ask, hub.address, target, token=root.token)).status == 200
    assert (await asyncio.to_thread(ask, hub.address, target, token=bob.token)).status in (403, 404)
    assert (await asyncio.to_thread(ask, hub.address, target)).status == 403


async def test_a_terminal_in_use_keeps_the_workspace_and_a_forgotten_one_does_not(
    hub: RunningHub, client: HubClient, ada: Account
) -> None:
    for kernel in (await client.request("GET", "api/kernels"))[1]:
        await client.request("DELETE", f"api/kernels/{kernel['id']}")
    status, _ = await client.request("POST", "api/terminals")
    assert status == 200
    before = len(await audit(hub, "workspace.stopped"))

    async def decided() -> bool:
        answer = await asyncio.to_thread(ask, hub.address, f"/hub/api/users/{ada.name}/culling", token=ada.token)
        return "it holds 1 terminal" in [decision["reason"] for decision in answer.json()["decisions"]]

    await eventually(decided)
    assert len(await audit(hub, "workspace.stopped")) == before

    async def stopped() -> bool:
        return len(await audit(hub, "workspace.stopped")) > before

    await eventually(stopped)


async def test_what_was_stopped_starts_again_when_it_is_needed(client: HubClient) -> None:
    session = await client.start_session("again.ipynb")
    async with client.kernel(session["kernel"]["id"]) as kernel:
        assert text_of(await kernel.execute("print('here again')")) == "here again\n"


async def test_a_program_that_runs_keeps_the_workspace_until_it_ends(
    hub: RunningHub, client: HubClient, ada: Account, tmp_path: Path
) -> None:
    for kernel in (await client.request("GET", "api/kernels"))[1]:
        await client.request("DELETE", f"api/kernels/{kernel['id']}")
    target = f"/hub/api/users/{ada.name}/culling"

    async def reasons() -> list[str]:
        answer = await asyncio.to_thread(ask, hub.address, target, token=ada.token)
        return [decision["reason"] for decision in answer.json()["decisions"]]

    async def decided() -> bool:
        return "a program is running: git-pull" in await reasons()

    async def ended() -> bool:
        return (ada.home / "course/lesson.txt").exists() and not await decided()

    with published(tmp_path) as course:
        course.gate.clear()
        async with client.http.post(
            f"{client.base}/git-pull", data={"repo": course.url}, allow_redirects=False
        ) as begun:
            assert begun.status == 303, await begun.text()
        await eventually(decided)
        before = len(await audit(hub, "workspace.stopped"))
        await asyncio.sleep(WORKSPACE_EMPTY * 3)  # far longer than an empty container would have
        assert await decided() and len(await audit(hub, "workspace.stopped")) == before
        course.gate.set()
        await eventually(ended)
