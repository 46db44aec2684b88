"""When outputs are written: a whole service over real files and a real database, at a clock that is turned by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from hub.contents.models import SaveRequest
from hub.contents.service import ContentsOfUsers
from hub.domain.ids import KernelId, SessionId, UserId, WorkspaceId, new_id
from hub.domain.kernels import Kernel, KernelState, Session
from hub.domain.users import Role, User
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.errors import AgentSilent, NoSpace
from hub.results.service import Results
from hub.spawn.folders import Folders
from hub.store.engine import Store
from hub.workspaces.agents import Live, LiveKernel
from hub.workspaces.connections import Connections
from proxy.contract.activity import ActivityReport, EndedSession, OpenConnection, OpenSession
from proxy.contract.agent import ContainerInfo
from proxy.kit.clock import ManualClock
from proxy.kit.journal import identity_of
from tests.unit.results.conftest import KERNEL, Scribe, notebook

S = "front-end"


class NoAgents:
    """Agents that nobody is connected to, or (`answers`) that know of no kernel."""

    answers = False

    def is_held(self, workspace_id: WorkspaceId) -> bool:
        return False

    def connected(self, workspace_id: WorkspaceId) -> bool:
        return self.answers

    def client(self, workspace_id: WorkspaceId) -> Any:
        raise AgentSilent("It does not answer.")

    async def status(self, workspace_id: WorkspaceId, max_age: float = 2.0) -> Any:
        return Live(0.0, {}, [], ContainerInfo())


@dataclass
class World:
    """Ada with a notebook ``a.ipynb``, a kernel of it, and a front end `S` whose connection the tests end."""

    store: Store
    clock: ManualClock
    folders: Folders
    contents: ContentsOfUsers
    connections: Connections
    ada: User
    workspace: Workspace
    kernel: Scribe
    results: Results = field(init=False)
    agents: NoAgents = field(default_factory=NoAgents)
    announced: list[str] = field(default_factory=list)

    def restart(self) -> None:
        """Another hub takes its place."""
        self.results = Results(
            *(self.store, self.folders, cast(Any, self.agents), self.connections, self.contents, self.clock),
            announce=lambda _user, path: self.announced.append(path),
        )

    @property
    def file(self) -> Path:
        return self.folders.home(self.ada.id) / "a.ipynb"

    @property
    def run_folder(self) -> Path:
        return self.folders.run(self.workspace.id)

    def outputs(self, number: int = 0) -> str:
        cell = json.loads(self.file.read_bytes())["cells"][number]
        return "".join("".join(output.get("text", output.get("evalue", ""))) for output in cell["outputs"])

    def connect(self, *names: str) -> None:
        """What a proxy reports."""
        connections = [OpenConnection("p", self.workspace.id, KERNEL, len(names))] if names else []
        sessions = [OpenSession(self.workspace.id, KERNEL, name) for name in names]
        self.connections.report(ActivityReport("proxy", connections, sessions))

    async def leave(self, how: Any = "closed", seen: str = "", *, others: tuple[str, ...] = ()) -> None:
        """`S` is gone."""
        self.connect(*others)
        await self.results.note_ended([EndedSession(self.workspace.id, KERNEL, S, how, seen, 0.0)])

    async def wait(self, seconds: float) -> None:
        """Time goes by, with rounds."""
        for _ in range(int(seconds * 2)):
            self.clock.advance(timedelta(seconds=0.5))
            self.connect(*self.connections.sessions_of(KernelId(KERNEL)))
            await self.results.run_once()

    async def save(self, document: Any) -> None:
        """A front end saves."""
        content = json.dumps(document).encode()
        await self.contents.of(self.ada).save("a.ipynb", SaveRequest(type="notebook", content=msgspec.Raw(content)))
        await self.results.saved(self.ada, "a.ipynb")

    async def opened(self) -> Any:
        """A front end opens the notebook."""
        async with self.results.opening(self.ada, "a.ipynb") as amend:
            model, _ = await self.contents.of(self.ada).stream("a.ipynb", amend=amend)
        return json.loads(bytes(cast(Any, model.content)))

    def go_on(self) -> None:
        """What the kernel has said by now is in its journal."""
        self.kernel.write(self.run_folder)

    async def forget_kernel(self) -> None:
        async with self.store.unit() as unit:
            await unit.sessions.delete_for_kernel(KernelId(KERNEL))
            await unit.kernels.delete(KernelId(KERNEL))


@pytest.fixture
async def world(store: Store, clock: ManualClock, data_dir: Path) -> AsyncIterator[World]:
    folders = Folders(data_dir, None, None)
    kernel_id, now = KernelId(KERNEL), clock.now()
    async with store.unit() as unit:
        ada = await unit.users.add("ada", Role.USER, now)
        workspace = Workspace(
            WorkspaceId(new_id()), ada.id, "datascience", WorkspaceState.RUNNING, "image", Limits(None, None, None)
        )
        await unit.workspaces.add(workspace)
        await unit.kernels.add(Kernel(kernel_id, workspace.id, ada.id, "python3", KernelState.IDLE, now, now))
    contents = ContentsOfUsers(folders, data_dir / "contents", clock, impersonate=False)
    kernel = Scribe(now.timestamp() - 100)
    world = World(store, clock, folders, contents, Connections(clock), ada, workspace, kernel)
    world.restart()
    await world.save(notebook("one", "two"))
    session = Session(SessionId("s"), ada.id, kernel_id, "a.ipynb", "a.ipynb", "notebook", now)
    async with store.unit() as unit:
        await unit.sessions.add(session)
    await world.results.paired(session, workspace.id)
    world.connect(S)
    world.go_on()
    yield world
    await contents.close()


def idle() -> LiveKernel:
    return LiveKernel(KernelId(KERNEL), "x", KernelState.IDLE, 0, timedelta(0), 0.0, 0, 0.0, None, 1)


async def test_the_file_is_left_alone_while_somebody_has_it_open_and_written_when_they_are_gone(world: World) -> None:
    world.kernel.run("r1", "one", "1\n", "cell-0")
    world.go_on()
    world.results.heard(world.workspace.id, idle())
    await world.wait(30)
    assert world.outputs() == ""
    await world.leave()
    await world.wait(2)
    assert world.outputs() == ""
    await world.wait(1.5)
    assert world.outputs() == "1\n" and world.announced == ["a.ipynb"]


@pytest.mark.parametrize(("how", "seconds"), [("closed", 3), ("dropped", 45), ("silent", 600)])
async def test_how_long_a_notebook_counts_as_open(world: World, how: str, seconds: int) -> None:
    world.kernel.run("r1", "one", "1\n", "cell-0")
    world.go_on()
    await world.leave(how)
    await world.wait(seconds - 1)
    assert world.outputs() == ""
    await world.wait(2)
    assert world.outputs() == "1\n"


async def test_another_front_end_keeps_it_open(world: World) -> None:
    world.kernel.run("r1", "one", "1\n", "cell-0")
    world.go_on()
    await world.leave(others=("second",))
    await world.wait(60)
    assert world.outputs() == ""
    assert (await world.opened())["cells"][0]["outputs"][0]["text"] == "1\n"
    assert world.outputs() == ""


async def test_what_runs_is_written_every_few_seconds(world: World) -> None:
    world.kernel.begin("r1", "one", "cell-0")
    world.kernel.print("r1", "1\n")
    world.go_on()
    await world.leave()
    await world.wait(4)
    assert world.outputs() == "1\n"
    world.kernel.print("r1", "2\n")
    world.go_on()
    await world.wait(6)
    assert world.outputs() == "1\n2\n"
    world.kernel.end("r1")
    world.go_on()
    world.results.heard(world.workspace.id, idle())
    await world.wait(1)
    changed_at = world.file.stat().st_mtime_ns
    await world.wait(30)
    assert world.file.stat().st_mtime_ns == changed_at


async def test_who_opens_it_gets_it_written_first(world: World) -> None:
    world.kernel.begin("r1", "one", "cell-0")
    world.kernel.print("r1", "1\n")
    world.go_on()
    await world.leave()
    world.clock.advance(timedelta(seconds=4))
    assert (await world.opened())["cells"][0]["outputs"][0]["text"] == "1\n"
    assert world.outputs() == "1\n"
    world.kernel.print("r1", "2\n")
    world.go_on()
    await world.wait(8)
    assert world.outputs() == "1\n"  # they are about to connect


async def test_what_was_seen_and_saved_is_not_put_back(world: World) -> None:
    world.kernel.run("r1", "one", "1\n", "cell-0")
    world.go_on()
    await world.save(notebook("one", "two"))  # its outputs were cleared
    last = identity_of(world.kernel.records[-1].parts[0]).hex()
    await world.leave(seen=last)
    await world.wait(10)
    assert world.outputs() == ""


async def test_what_was_saved_without_having_been_seen_is_put_there(world: World) -> None:
    first = world.kernel.say("r1", "status", {"execution_state": "busy"})
    world.kernel.run("r1", "one", "1\n", "cell-0")
    world.go_on()
    await world.save(notebook("one", "two"))
    await world.leave(seen=identity_of(first.parts[0]).hex())
    await world.wait(10)
    assert world.outputs() == "1\n"


async def test_a_full_disk_loses_nothing_and_is_said(world: World) -> None:
    async def refuse(user: User, slack: float) -> None:
        raise NoSpace("Your disk is full.")

    grow, world.contents.check_growth = world.contents.check_growth, refuse
    world.kernel.run("r1", "one", "1\n", "cell-0")
    world.go_on()
    await world.leave()
    await world.wait(10)
    assert [each.trouble for each in world.results.waiting(world.ada)] == ["Your disk is full."]
    assert (await world.opened())["cells"][0]["outputs"][0]["text"] == "1\n"
    world.contents.check_growth = grow
    await world.wait(400)
    assert world.outputs() == "1\n" and world.results.waiting(world.ada) == []


async def test_another_hub_goes_on_where_one_was_killed(world: World) -> None:
    world.kernel.run("r1", "one", "1\n", "cell-0")
    world.kernel.begin("r2", "two", "cell-1")
    world.go_on()
    await world.leave()
    await world.wait(4)
    assert world.outputs() == "1\n"
    changed = json.loads(world.file.read_bytes())
    changed["cells"][0]["outputs"] = []
    world.file.write_text(json.dumps(changed))  # by a kernel, or git
    world.restart()
    await world.results.load()
    world.kernel.print("r2", "2\n")
    world.kernel.end("r2")
    world.go_on()
    await world.wait(20)
    assert (world.outputs(0), world.outputs(1)) == ("", "2\n")


async def test_what_is_left_of_a_stopped_container_is_taken_and_written(world: World) -> None:
    world.kernel.begin("r1", "one", "cell-0")
    world.kernel.print("r1", "1\n")
    world.go_on()
    await world.results.take(world.workspace.id)
    await world.results.take(world.workspace.id)
    assert not list(world.run_folder.glob("journal-*"))
    await world.forget_kernel()
    await world.leave()
    world.restart()
    await world.results.load()
    await world.wait(20)
    assert world.outputs() == "1\nThe kernel ended before this cell did."
    assert not list(world.folders.results(world.ada.id).rglob("journal-*"))
    async with world.store.reading() as unit:
        assert await unit.kernel_results.list() == []


async def test_what_has_no_place_is_kept_once_and_can_be_had_as_a_notebook(world: World) -> None:
    world.kernel.run("r1", "gone()", "1\n", "cell-of-long-ago")
    world.kernel.run("r2", "silent()", "", "cell-too")
    world.go_on()
    await world.leave()
    await world.wait(10)
    world.restart()
    await world.results.load()
    await world.wait(30)
    (missed,) = await world.results.missed.list(world.ada)
    assert (missed.path, missed.code, missed.request_id) == ("a.ipynb", "gone()", "r1")
    _, data = await world.results.missed.notebook(world.ada, missed.id)
    assert json.loads(data)["cells"][0]["outputs"][0]["text"] == ["1\n"]
    await world.results.missed.delete(world.ada, missed.id)
    assert not list(world.folders.results(world.ada.id).rglob("*.ipynb"))


async def test_results_of_a_notebook_that_is_gone_are_kept(world: World) -> None:
    world.kernel.run("r1", "one", "1\n", "cell-0")
    world.go_on()
    world.file.unlink()
    await world.leave()
    await world.wait(10)
    (missed,) = await world.results.missed.list(world.ada)
    assert missed.reason == "a.ipynb is not among your files here."


async def test_nothing_is_kept_that_its_front_end_has_seen(world: World) -> None:
    world.kernel.run("r1", "gone()", "1\n", "cell-of-long-ago")
    world.go_on()
    await world.leave(seen=identity_of(world.kernel.records[-1].parts[0]).hex())
    await world.wait(10)
    assert await world.results.missed.list(world.ada) == []


async def test_somebody_elses_results_cannot_be_had(world: World) -> None:
    world.kernel.run("r1", "gone()", "1\n", "cell-of-long-ago")
    world.go_on()
    await world.leave()
    await world.wait(10)
    (missed,) = await world.results.missed.list(world.ada)
    async with world.store.unit() as unit:
        bob = await unit.users.add("bob", Role.USER, world.clock.now())
    with pytest.raises(Exception, match="no such result"):
        await world.results.missed.notebook(bob, missed.id)
    with pytest.raises(Exception, match="no such result"):
        await world.results.missed.delete(bob, missed.id)


async def test_a_forged_journal_does_no_harm(world: World) -> None:
    world.kernel.run("r1", "one", "1\n", "cell-0")
    world.go_on()
    segment = next(world.run_folder.glob("journal-*"))
    segment.write_bytes(segment.read_bytes() + b"\xff" * 1000)
    await world.leave()
    await world.wait(10)
    assert world.outputs() == "1\n"


async def test_links_in_place_of_journals_are_not_followed(world: World, data_dir: Path) -> None:
    world.kernel.run("r1", "one", "1\n", "cell-0")
    world.kernel.write(data_dir / "elsewhere")
    segment = next((data_dir / "elsewhere").glob("journal-*"))
    for old in world.run_folder.glob("journal-*"):
        old.unlink()
    (world.run_folder / segment.name).symlink_to(segment)
    await world.leave()
    await world.wait(10)
    assert world.outputs() == ""
    await world.results.take(world.workspace.id)
    assert segment.exists()


async def test_sessions_of_others_than_notebooks_are_no_matter(world: World) -> None:
    console = Session(SessionId("c"), UserId("x"), KernelId(new_id()), "c", "c", "console", world.clock.now())
    await world.results.paired(console, world.workspace.id)
    async with world.store.reading() as unit:
        assert [record.kernel_id for record in await unit.kernel_results.list()] == [KERNEL]


PAIRED = {"jupytext": {"formats": "ipynb,py:percent"}}


async def test_a_paired_notebook_gets_its_outputs_and_its_text_stays(world: World) -> None:
    document = {
        **notebook("one", "two"),
        "metadata": {**PAIRED, "kernelspec": {"name": "python3", "display_name": "P"}},
    }
    await world.save(document)
    text = world.file.with_suffix(".py")
    before = text.read_bytes()
    world.kernel.run("r1", "one", "1\n", "cell-0")
    world.go_on()
    await world.leave()
    await world.wait(5)
    assert world.outputs() == "1\n" and text.read_bytes() == before
    opened = await world.opened()
    assert opened["cells"][0]["outputs"][0]["text"] == "1\n"
    await world.save(opened)  # nobody is told that the pair was changed by somebody else


async def test_a_paired_notebook_whose_text_was_changed_is_shown_but_not_written(world: World) -> None:
    document = {
        **notebook("one", "two"),
        "metadata": {**PAIRED, "kernelspec": {"name": "python3", "display_name": "P"}},
    }
    await world.save(document)
    text = world.file.with_suffix(".py")
    text.write_text(text.read_text().replace("two", "three"))
    world.kernel.run("r1", "one", "1\n", "cell-0")
    world.go_on()
    await world.leave()
    await world.wait(5)
    assert world.outputs() == "" and "a.py was changed" in world.results.waiting(world.ada)[0].trouble
    opened = await world.opened()
    assert [cell["source"] for cell in opened["cells"]] == ["one", "three"]
    assert opened["cells"][0]["outputs"][0]["text"] == "1\n"
    await world.save(opened)
    assert world.outputs() == "1\n"
    await world.wait(30)
    assert world.results.waiting(world.ada) == []


async def test_journals_of_kernels_that_are_gone_and_had_no_notebook_are_removed(world: World) -> None:
    console = "0123abcd-0000-4000-8000-00000000c0de"
    world.kernel.run("r1", "one", "1\n", "cell-0")
    world.go_on()
    world.kernel.write(world.run_folder, console)
    world.agents.answers = True
    await world.wait(310)
    assert {path.name[8:44] for path in world.run_folder.glob("journal-*")} == {KERNEL}
