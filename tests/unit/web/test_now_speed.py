"""The page Now with 1,000 running containers: the server's own time for it."""

from __future__ import annotations

import time

from hub.domain.ids import KernelId, SessionId, WorkspaceId, new_id, new_uuid
from hub.domain.kernels import Kernel, KernelState, Session
from hub.domain.users import Role
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.live.use import Sample, Use
from tests.unit.web.conftest import Site

CONTAINERS = 1000
MOST_SECONDS = 1.0
"""Far more than it takes on a quiet machine (0.1 s): a guard against work that grows with what is not shown."""


async def test_a_thousand_containers_are_shown_in_a_moment(site: Site) -> None:
    admin = await site.signed_in("root1", Role.ADMIN)
    moment, state = site.clock.now(), WorkspaceState.RUNNING
    uses = site.services.live._sampler.uses
    async with site.store.unit() as unit:
        for number in range(CONTAINERS):
            user = await unit.users.add(f"student{number:04}", Role.USER, moment)
            workspace_id = WorkspaceId(new_id())
            await unit.workspaces.add(
                Workspace(workspace_id, user.id, "small", state, "image", Limits(10**9, 2.0, 100), "c", moment)
            )
            kernel = Kernel(KernelId(new_uuid()), workspace_id, user.id, "python3", KernelState.IDLE, moment, moment)
            await unit.kernels.add(kernel)
            await unit.sessions.add(
                Session(SessionId(new_uuid()), user.id, kernel.id, "a.ipynb", "a.ipynb", "notebook", moment)
            )
            uses[workspace_id] = use = Use()
            for at in range(180):
                use.add(Sample(at * 10.0, at * 1.0, 10**8 + at, None, {kernel.id: (at * 1.0, 10**8)}))
    await admin.get("/hub/admin")
    site.services.live.forget()
    began = time.perf_counter()
    page = await admin.get("/hub/admin?order=cpu")
    seconds = time.perf_counter() - began
    assert page.status == 200 and "1000 containers" in page.text and page.text.count("data-row=") == 50
    print(f"{1000 * seconds:.0f} ms, {len(page.text)} characters")
    began = time.perf_counter()
    again = await admin.api("GET", "/hub/admin/now/events?once=1")
    print(f"a tick with a picture that is fresh: {1000 * (time.perf_counter() - began):.0f} ms")
    assert again.status == 200 and seconds < MOST_SECONDS
