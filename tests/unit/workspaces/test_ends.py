"""What the hub answers a proxy that lost an agent: which kernels ended, and why. Nothing else has to be on for it."""

from __future__ import annotations

import asyncio

import pytest

from hub.domain.ids import KernelId
from hub.domain.kernels import Kernel, KernelState
from hub.domain.users import User
from hub.domain.workspace import Workspace
from hub.errors import EngineSilent
from hub.store.engine import Store
from hub.workspaces import ends
from hub.workspaces.ends import Ends
from hub.workspaces.service import Workspaces
from proxy.contract.ends import EndsAnswer, EndsQuestion, KernelEnd
from proxy.kit.clock import ManualClock
from tests.unit.workspaces.test_workspaces_service import World, ada, workspaces, world

__all__ = ["ada", "workspaces", "world"]

K = KernelId("kkkkkkkk-0000-0000-0000-000000000001")
OTHERS = KernelId("kkkkkkkk-0000-0000-0000-000000000002")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "PAUSES", (0.0,))


@pytest.fixture
async def workspace(workspaces: Workspaces, store: Store, clock: ManualClock, ada: User) -> Workspace:
    """Ada's container, with a kernel. There is no culler, and no agent that could be asked."""
    running = await workspaces.ensure(ada)
    async with store.unit() as unit:
        await unit.kernels.add(Kernel(K, running.id, ada.id, "python3", KernelState.BUSY, clock.now(), clock.now()))
    return running


def question(workspace: Workspace) -> EndsQuestion:
    return EndsQuestion(workspace.id, [K, OTHERS])


async def test_the_engine_is_asked_and_its_reason_is_told(
    workspaces: Workspaces, world: World, store: Store, clock: ManualClock, workspace: Workspace
) -> None:
    answers = Ends(store, workspaces, clock)
    assert await answers.answer(question(workspace)) == EndsAnswer([]), "it runs"
    world.running.clear()
    assert await answers.answer(question(workspace)) == EndsAnswer(
        [KernelEnd(K, "out of memory (limit 1.0 GiB)", by_user=False)]
    )


async def test_an_engine_that_is_silent_ends_nobody(
    workspaces: Workspaces, world: World, store: Store, clock: ManualClock, workspace: Workspace
) -> None:
    world.running.clear()
    world.error = EngineSilent("the engine did not answer")
    assert await Ends(store, workspaces, clock).answer(question(workspace)) == EndsAnswer([])


@pytest.mark.parametrize("who", ["ada", "somebody"])
async def test_a_container_that_is_being_stopped_is_told_with_who_wanted_it(
    workspaces: Workspaces, world: World, store: Store, clock: ManualClock, workspace: Workspace, who: str
) -> None:
    world.gate.clear()
    actor = workspace.user_id if who == "ada" else "u-root"
    stopping = asyncio.create_task(workspaces.stop(workspace.id, "stopped by an administrator", actor=actor))
    while not world.stops:
        await asyncio.sleep(0)
    told = await Ends(store, workspaces, clock).answer(question(workspace))
    assert told == EndsAnswer([KernelEnd(K, "stopped by an administrator", by_user=who == "ada")])
    world.gate.set()
    await stopping


async def test_of_another_workspace_nothing_is_told(
    workspaces: Workspaces, world: World, store: Store, clock: ManualClock, workspace: Workspace
) -> None:
    world.running.clear()
    await workspaces.look(workspace.id)
    asked = EndsQuestion("w" * 26, [K])
    assert await Ends(store, workspaces, clock).answer(asked) == EndsAnswer([])
