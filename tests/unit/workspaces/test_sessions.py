"""Sessions of users: what updates change, and what they leave."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from hub.domain.ids import KernelId, SessionId, WorkspaceId
from hub.domain.kernels import Kernel, KernelState, Session
from hub.domain.users import Role, User
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.errors import Conflict, NotFound
from hub.store.engine import Store
from hub.workspaces.kernels import KernelModel
from hub.workspaces.sessions import Sessions
from proxy.kit.clock import ManualClock


class SomeKernels:
    """One kernel; those that are started are counted, and not made."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.started: list[tuple[str | None, str, KernelId | None]] = []

    async def get(self, user: User, kernel_id: KernelId) -> KernelModel:
        if kernel_id != self._kernel.id:
            raise NotFound("There is no such kernel.")
        return KernelModel(self._kernel, 0)

    async def start(self, user: User, spec_name: str | None, path: str, kernel_id: KernelId | None) -> KernelModel:
        self.started.append((spec_name, path, kernel_id))
        raise Conflict("Enough of them.")


@pytest.fixture
async def ada(store: Store, clock: ManualClock) -> User:
    async with store.unit() as unit:
        return await unit.users.add("ada", Role.USER, clock.now())


@pytest.fixture
async def sessions(store: Store, clock: ManualClock, ada: User) -> Sessions:
    workspace = Workspace(WorkspaceId("w"), ada.id, "p", WorkspaceState.RUNNING, "i", Limits(None, None, None))
    kernel = Kernel(KernelId("k"), workspace.id, ada.id, "python3", KernelState.IDLE, clock.now(), clock.now())
    session = Session(SessionId("s"), ada.id, kernel.id, "old.ipynb", "old.ipynb", "notebook", clock.now())
    async with store.unit() as unit:
        await unit.workspaces.add(workspace)
        await unit.kernels.add(kernel)
        await unit.sessions.add(session)
    return Sessions(store, cast(Any, SomeKernels(kernel)), clock)


async def test_a_new_path_and_a_new_name_sent_at_once_both_hold(sessions: Sessions, ada: User) -> None:
    by_path, by_name = await asyncio.gather(
        sessions.update(ada, SessionId("s"), path="new.ipynb"), sessions.update(ada, SessionId("s"), name="new.ipynb")
    )
    assert by_path.session.path == "new.ipynb" and by_name.session.name == "new.ipynb"
    now = (await sessions.get(ada, SessionId("s"))).session
    assert (now.path, now.name) == ("new.ipynb", "new.ipynb")


async def test_a_kernel_that_the_client_names_is_taken_or_started_under_that_id(sessions: Sessions, ada: User) -> None:
    taken = await sessions.create(ada, "b.ipynb", "", "notebook", "python3", KernelId("k"))
    assert taken.kernel.kernel.id == "k"
    with pytest.raises(Conflict):
        await sessions.create(ada, "c.ipynb", "", "notebook", "python3", KernelId("chosen"))
    kernels = cast(Any, sessions)._kernels
    assert kernels.started == [("python3", "c.ipynb", "chosen")]
    assert (await sessions.create(ada, "b.ipynb", "", "notebook", None, KernelId("other"))).kernel.kernel.id == "k"
