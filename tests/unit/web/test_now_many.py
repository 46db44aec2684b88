"""The page Now with 1,000 running containers: it shows a page of them. How long it takes: tests/bench/many_users.py."""

from __future__ import annotations

from hub.domain.ids import KernelId, SessionId, WorkspaceId, new_id, new_uuid
from hub.domain.kernels import Kernel, KernelState, Session
from hub.domain.users import Role
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.live.use import Sample, Use
from tests.unit.web.conftest import Site

CONTAINERS = 1000


async def test_of_a_thousand_containers_one_page_is_shown_and_all_are_counted(site: Site) -> None:
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
    page = await admin.get("/hub/admin?order=cpu")
    assert page.status == 200 and "1000 containers" in page.text and page.text.count("data-row=") == 50
    again = await admin.api("GET", "/hub/admin/now/events?once=1")
    assert again.status == 200
