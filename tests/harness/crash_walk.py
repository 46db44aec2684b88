"""Hubs that die at crash points, one after the other on the same data, and what each of them finds of the one before.

A lane is a data folder on which one user's kernel runs through it all, with a variable in it, while hub after hub is
driven to a label by what another user does, dies there, and is followed by the next. Each hub is a process of its own,
forked from one that has imported everything already (`multiprocessing`'s forkserver).
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import json
import multiprocessing
import os
import signal
import socket
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import psutil
import zmq
import zmq.asyncio
from jupyter_client.session import Session as Signing

from hub import crash_points
from hub.app import Hub
from hub.config import Profile, Settings
from hub.contents.models import SaveRequest
from hub.contents.service import Contents
from hub.crash_points import Point
from hub.domain.ids import KernelId, WorkspaceId, new_id
from hub.domain.users import Role, User
from hub.domain.workspace import Workspace, WorkspaceState
from hub.errors import Conflict
from hub.jupyter.frontends import FrontEnds
from hub.spawn import folders as folders_module
from hub.spawn.folders import Folders
from hub.spawn.process import ProcessSpawner
from hub.spawn.protocol import Observation, Presence
from hub.workspaces.differences import Patience
from hub.workspaces.probes import Probes
from hub.workspaces.reconcile import Patiences
from proxy.contract.agent import KERNEL_SOCKETS

REACHED_NOTHING = 7
"""The exit status of a hub that came to the end of its script alive."""
WENT_WRONG = 8
LIFE_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Step:
    """One death: at a label, there for the nth time."""

    point: Point
    time: int = 1

    @property
    def label(self) -> str:
        return f"{self.point}@{self.time}"


@dataclass
class Stage:
    """What a script has: the running hub, users, and `arm`, after which the hub dies at the label."""

    hub: Hub
    step: Step
    data_dir: Path

    def arm(self) -> None:
        crash_points._times = 0
        os.environ[crash_points.VARIABLE] = self.step.label

    async def user(self, name: str) -> User:
        """The user of this name, made where there is none."""
        async with self.hub.store.unit() as unit:
            found = await unit.users.find_by_name(name)
            return found or await unit.users.add(name, Role.USER, self.hub.services.clock.now())

    async def newcomer(self) -> User:
        return await self.user(f"eve-{new_id()[:8]}")

    def contents(self, user: User) -> Contents:
        return self.hub.contents.of(user)

    def note(self, **facts: Any) -> None:
        """Leave something for the hub that comes next."""
        (self.data_dir / "noted.json").write_text(json.dumps(facts))

    def noted(self) -> dict[str, Any]:
        with contextlib.suppress(FileNotFoundError):
            return dict(json.loads((self.data_dir / "noted.json").read_text()))
        return {}


Script = Callable[[Stage], Awaitable[None]]
Check = Callable[[Stage], Awaitable[None]]


@dataclass
class Way:
    """How a label is reached, and what must hold afterwards beside what must hold always."""

    script: Script
    check: Check | None = None


async def _start(stage: Stage) -> None:
    bob = await stage.user("bob")
    await stage.hub.workspaces.stop_all(bob, "for the next step")
    stage.arm()
    await stage.hub.workspaces.ensure(bob)


async def _start_first(stage: Stage) -> None:
    eve = await stage.newcomer()
    stage.arm()
    await stage.hub.workspaces.ensure(eve)


async def _stop(stage: Stage) -> None:
    workspace = await stage.hub.workspaces.ensure(await stage.user("bob"))
    stage.arm()
    await stage.hub.workspaces.stop(workspace.id, "its user asked for it")


async def _start_kernel(stage: Stage) -> None:
    bob = await stage.user("bob")
    await stage.hub.workspaces.ensure(bob)
    stage.arm()
    await stage.hub.services.kernels.start(bob, "python3")


async def _shut_kernel(stage: Stage) -> None:
    bob = await stage.user("bob")
    model = await stage.hub.services.kernels.start(bob, "python3")
    stage.arm()
    await stage.hub.services.kernels.shutdown(bob, model.kernel.id)


async def _restart_kernel(stage: Stage) -> None:
    bob = await stage.user("bob")
    model = await stage.hub.services.kernels.start(bob, "python3")
    stage.note(kernel=model.kernel.id)
    stage.arm()
    await stage.hub.services.kernels.restart(bob, model.kernel.id)


async def _kernel_is_there(stage: Stage) -> None:
    bob = await stage.user("bob")
    await stage.hub.services.kernels.get(bob, KernelId(stage.noted()["kernel"]))
    await stage.hub.workspaces.stop_all(bob, "for the next step")


async def _open_session(stage: Stage) -> None:
    bob = await stage.user("bob")
    stage.arm()
    await stage.hub.services.sessions.create(bob, f"{new_id()}.ipynb", "a", "notebook", "python3")


async def _rename_session(stage: Stage) -> None:
    bob, path = await stage.user("bob"), f"{new_id()}.ipynb"
    model = await stage.hub.services.sessions.create(bob, f"{new_id()}.ipynb", "a", "notebook", "python3")
    stage.note(session=model.session.id, path=path)
    stage.arm()
    await stage.hub.services.sessions.update(bob, model.session.id, path=path)


async def _session_is_renamed(stage: Stage) -> None:
    noted, bob = stage.noted(), await stage.user("bob")
    models = {model.session.id: model for model in await stage.hub.services.sessions.list(bob)}
    assert models[noted["session"]].session.path == noted["path"]
    await stage.hub.workspaces.stop_all(bob, "for the next step")


async def _save(stage: Stage) -> None:
    contents = stage.contents(await stage.user("bob"))
    old, new = new_id(), new_id()
    await contents.save("saved.txt", _text(old))
    stage.note(old=old, new=new, must_be_new=stage.step.point in (Point.DRAFT_RENAMED, Point.DRAFT_PUBLISHED))
    stage.arm()
    await contents.save("saved.txt", _text(new))


async def _file_is_old_or_new(stage: Stage) -> None:
    noted, bob = stage.noted(), await stage.user("bob")
    found = (stage.hub.contents_home(bob) / "saved.txt").read_text()  # type: ignore[attr-defined]
    allowed = [noted["new"]] if noted["must_be_new"] else [noted["old"]]
    assert found in allowed, (found, noted)
    await stage.contents(bob).save("saved.txt", _text("again"))


async def _save_pair(stage: Stage) -> None:
    contents = stage.contents(await stage.user("bob"))
    for number in (1, 2):
        if number == 2:
            stage.arm()
        await contents.save("pair.ipynb", SaveRequest(type="notebook", format="json", content=_raw(_paired(number))))


async def _pair_is_whole(stage: Stage) -> None:
    home = stage.hub.contents_home(await stage.user("bob"))  # type: ignore[attr-defined]
    notebook, text = json.loads((home / "pair.ipynb").read_text()), (home / "pair.py").read_text()
    assert notebook["cells"][0]["source"] in ("version = 1", ["version = 1"], "version = 2", ["version = 2"])
    assert "version = 1" in text or "version = 2" in text


async def _upload(stage: Stage) -> None:
    contents, name = stage.contents(await stage.user("bob")), f"{new_id()}.txt"
    stage.note(name=name, counted=stage.step.point is Point.CHUNK_COUNTED)
    await contents.save(name, _text("one ", chunk=1))
    stage.arm()
    await contents.save(name, _text("two ", chunk=2))


async def _upload_goes_on(stage: Stage) -> None:
    noted, bob = stage.noted(), await stage.user("bob")
    contents = stage.contents(bob)
    try:
        await contents.save(noted["name"], _text("two ", chunk=2))
    except Conflict:
        assert noted["counted"], "a chunk that was not counted can be sent again"
    await contents.save(noted["name"], _text("three", chunk=-1))
    assert (stage.hub.contents_home(bob) / noted["name"]).read_text() == "one two three"  # type: ignore[attr-defined]


async def _rename(stage: Stage) -> None:
    contents, name = stage.contents(await stage.user("bob")), new_id()
    await contents.save(f"{name}.txt", _text("moved"))
    stage.note(name=name)
    stage.arm()
    await contents.rename(f"{name}.txt", f"{name}-new.txt")


async def _delete(stage: Stage) -> None:
    contents, name = stage.contents(await stage.user("bob")), new_id()
    await contents.save(f"{name}.txt", _text("moved"))
    stage.note(name=name)
    stage.arm()
    await contents.delete(f"{name}.txt")


async def _file_is_somewhere(stage: Stage) -> None:
    home = stage.hub.contents_home(await stage.user("bob"))  # type: ignore[attr-defined]
    found = [file for file in home.rglob(f"{stage.noted()['name']}*.txt") if ".ipynb_checkpoints" not in file.parts]
    assert [file.read_text() for file in found] == ["moved"]


async def _delete_user(stage: Stage) -> None:
    eve = await stage.newcomer()
    await stage.hub.workspaces.ensure(eve)
    await stage.contents(eve).save("mine.txt", _text("mine"))
    marked = await stage.hub.departures.mark(eve, "hub")
    stage.note(eve=eve.id)
    stage.arm()
    await stage.hub.departures.finish(marked)


async def _user_is_gone(stage: Stage) -> None:
    eve = stage.noted()["eve"]
    async with stage.hub.store.reading() as unit:
        user = await unit.users.find(eve)
    stage.hub.departures._rules = type(stage.hub.departures.rules)(timedelta(0), stage.hub.departures.rules.archived)
    await stage.hub.departures.finish_due()
    async with stage.hub.store.reading() as unit:
        assert await unit.users.find(eve) is None, user
    assert not (stage.data_dir / "homes" / eve).exists()
    assert (stage.data_dir / "archives" / f"{eve}.tar.gz").is_file()


async def _notice_a_death(stage: Stage) -> None:
    workspace = await stage.hub.workspaces.ensure(await stage.user("bob"))
    for process in _processes(stage.data_dir).get(workspace.id, []):
        with contextlib.suppress(psutil.Error):
            process.kill()
            process.wait(5)
    await stage.hub.agents.drop(workspace.id)
    stage.arm()
    await stage.hub.reconciler.run_once()


async def _clear_leftovers(stage: Stage) -> None:
    bob = await stage.user("bob")
    workspace = await stage.hub.workspaces.ensure(bob)
    await stage.hub.workspaces.stop(workspace.id, "for the next step")
    _folders(stage).prepare_run(bob, workspace.id)
    stage.arm()
    for _ in range(2):
        await stage.hub.reconciler.run_once()


async def _forget_a_kernel(stage: Stage) -> None:
    bob = await stage.user("bob")
    model = await stage.hub.services.kernels.start(bob, "python3")
    await stage.hub.agents.client(model.kernel.workspace_id).shutdown_kernel(model.kernel.id)
    stage.hub.agents.forget_status(model.kernel.workspace_id)
    stage.arm()
    for _ in range(2):
        await stage.hub.reconciler.run_once()


async def _pause(stage: Stage, *, is_armed: bool = True) -> WorkspaceId:
    ada = await stage.hub.workspaces.find(await stage.user("ada"))
    assert ada is not None
    if is_armed:
        stage.arm()
    async with asyncio.timeout(10):
        while True:
            stage.hub.freezer._asked_at.clear()  # as if some time had passed since the variable was asked for
            if await stage.hub.freezer.pause(ada.id, timedelta(0)):
                return ada.id
            await asyncio.sleep(0.1)  # something was still being asked


async def _pause_and_die(stage: Stage) -> None:
    await _pause(stage)


async def _thaw(stage: Stage) -> None:
    workspace_id = await _pause(stage, is_armed=False)
    stage.arm()
    await stage.hub.freezer.thaw(workspace_id, "message")


WAYS: dict[Point, Way] = {
    Point.COMMIT_BEFORE: Way(_start),
    Point.COMMIT_AFTER: Way(_start),
    Point.WORKSPACE_ADD_BEFORE: Way(_start_first),
    Point.WORKSPACE_ADD_AFTER: Way(_start_first),
    Point.WORKSPACE_STATE_BEFORE: Way(_start),
    Point.WORKSPACE_STATE_AFTER: Way(_start),
    Point.RUN_FOLDER_DRAFT: Way(_start_first),
    Point.RUN_FOLDER_MADE: Way(_start_first),
    Point.RUN_FOLDER_REMOVE_BEFORE: Way(_stop),
    Point.RUN_FOLDER_REMOVE_HALF: Way(_stop),
    Point.RUN_FOLDER_REMOVE_AFTER: Way(_stop),
    Point.CONTAINER_START_BEFORE: Way(_start),
    Point.CONTAINER_START_AFTER: Way(_start),
    Point.CONTAINER_GREETED: Way(_start),
    Point.CONTAINER_STOP_BEFORE: Way(_stop),
    Point.CONTAINER_STOP_AFTER: Way(_stop),
    Point.JOURNALS_TAKEN: Way(_stop),
    Point.PAUSE_LISTED: Way(_pause_and_die),
    Point.PAUSE_HELD: Way(_pause_and_die),
    Point.PAUSE_FREEZE_BEFORE: Way(_pause_and_die),
    Point.PAUSE_FREEZE_AFTER: Way(_pause_and_die),
    Point.THAW_BEFORE: Way(_thaw),
    Point.THAW_AFTER: Way(_thaw),
    Point.THAW_WRITTEN: Way(_thaw),
    Point.KERNEL_ADD_BEFORE: Way(_start_kernel),
    Point.KERNEL_ADD_AFTER: Way(_start_kernel),
    Point.KERNEL_START_AFTER: Way(_start_kernel),
    Point.KERNEL_SHUT_BEFORE: Way(_shut_kernel),
    Point.KERNEL_SHUT_AFTER: Way(_shut_kernel),
    Point.KERNEL_FORGET_AFTER: Way(_shut_kernel),
    Point.KERNEL_RESTART_AFTER: Way(_restart_kernel, _kernel_is_there),
    Point.SESSION_ADD_BEFORE: Way(_open_session),
    Point.SESSION_ADD_AFTER: Way(_open_session),
    Point.SESSION_CHANGE_AFTER: Way(_rename_session, _session_is_renamed),
    Point.DRAFT_MADE: Way(_save, _file_is_old_or_new),
    Point.DRAFT_WRITTEN: Way(_save, _file_is_old_or_new),
    Point.DRAFT_SYNCED: Way(_save, _file_is_old_or_new),
    Point.DRAFT_RENAMED: Way(_save, _file_is_old_or_new),
    Point.DRAFT_PUBLISHED: Way(_save, _file_is_old_or_new),
    Point.PAIR_HALF: Way(_save_pair, _pair_is_whole),
    Point.CHUNK_WRITTEN: Way(_upload, _upload_goes_on),
    Point.CHUNK_COUNTED: Way(_upload, _upload_goes_on),
    Point.MOVED: Way(_rename, _file_is_somewhere),
    Point.TRASH_NOTED: Way(_delete, _file_is_somewhere),
    Point.TRASH_MOVED: Way(_delete, _file_is_somewhere),
    Point.USER_STOPPED: Way(_delete_user, _user_is_gone),
    Point.USER_DELETED: Way(_delete_user, _user_is_gone),
    Point.USER_FOLDERS_GONE: Way(_delete_user, _user_is_gone),
    Point.RECONCILED_NEWS: Way(_notice_a_death),
    Point.RECONCILE_END_BEFORE: Way(_clear_leftovers),
    Point.RECONCILE_END_AFTER: Way(_clear_leftovers),
    Point.RECONCILE_KERNEL_AFTER: Way(_forget_a_kernel),
}
"""Every label, and the way to it."""

MORE = [
    Step(Point.WORKSPACE_STATE_BEFORE, 2),  # what was started is not recorded yet
    Step(Point.WORKSPACE_STATE_AFTER, 2),
    Step(Point.RUN_FOLDER_DRAFT, 2),  # the first one is the home's
    Step(Point.RUN_FOLDER_MADE, 2),
]
"""Labels that mean something else the second time."""


@dataclass
class Lane:
    """One data folder and its series of hubs. `run` gives what went wrong, in words; empty when nothing did."""

    data_dir: Path
    problems: list[str] = field(default_factory=list)
    reached: set[Point] = field(default_factory=set)
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, steps: list[Step]) -> None:
        """Walk the labels one after the other; then look once more."""
        before: Step | None = None
        for step in [*steps, None]:
            began = time.monotonic()
            status, said = _live(self.data_dir, before, step)
            self.seconds[step.label if step else "the end"] = time.monotonic() - began
            where = f"after {before.label if before else 'nothing'}, on the way to {step.label if step else 'the end'}"
            if status == -signal.SIGKILL and step is not None:
                self.reached.add(step.point)
            elif status == REACHED_NOTHING and step is not None:
                self.problems.append(f"{where}: the label was not reached")
            elif status != 0 or step is not None:
                self.problems.append(f"{where}: {said or f'the hub ended with {status}'}")
            before = step if status == -signal.SIGKILL else None

    def end_processes(self) -> None:
        """Leave nothing running."""
        for processes in _processes(self.data_dir).values():
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    process.kill()


def _live(data_dir: Path, before: Step | None, step: Step | None) -> tuple[int, str]:
    """One hub's life: it looks after what is left of the step before, and goes on to its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hub.app", "jupyter_client.session", "psutil"])
    said = data_dir / "said"
    said.unlink(missing_ok=True)
    process = context.Process(target=_hub, args=(data_dir, before, step))
    process.start()
    process.join(LIFE_SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
        return WENT_WRONG, "it took too long"
    return process.exitcode, said.read_text() if said.exists() else ""


def _hub(data_dir: Path, before: Step | None, step: Step | None) -> None:
    log = os.open(data_dir / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.dump_traceback_later(LIFE_SECONDS - 2)
    try:
        asyncio.run(_within_time(data_dir, before, step))
    except BaseException:
        (data_dir / "said").write_text(traceback.format_exc())
        os._exit(WENT_WRONG)
    os._exit(REACHED_NOTHING if step is not None else 0)


async def _within_time(data_dir: Path, before: Step | None, step: Step | None) -> None:
    life = asyncio.create_task(_live_inside(data_dir, before, step))
    await asyncio.wait([life], timeout=LIFE_SECONDS - 10)
    if not life.done():
        for task in asyncio.all_tasks():
            task.print_stack(limit=6)
        raise TimeoutError("the hub did not come to the end of its script")
    life.result()


async def _live_inside(data_dir: Path, before: Step | None, step: Step | None) -> None:
    FrontEnds.start = lambda self: None  # type: ignore[method-assign] # JupyterLab's catalogue takes seconds
    Probes.run = _nothing  # type: ignore[method-assign]
    stop_instead_of_pausing(data_dir)
    hub = Hub(_settings(data_dir))
    await hub.start()
    hub.contents_home = lambda user: data_dir / "homes" / user.id  # type: ignore[attr-defined]
    at_once = Patience(2, 0.0)
    hub.reconciler.patiences = Patiences(at_once, at_once, at_once, at_once)
    folders_module.DRAFT_SECONDS = 0.0
    stage = Stage(hub, step or Step(Point.COMMIT_AFTER), data_dir)
    if not (data_dir / "kernel").exists():
        await _begin(stage)
    else:
        await _check(stage)
        if before is not None and (check := WAYS[before.point].check) is not None:
            await check(stage)
    if step is not None:
        await WAYS[step.point].script(stage)
        return
    bob = await stage.user("bob")
    await hub.workspaces.ensure(bob)  # whatever happened, people can go on
    for user in (bob, await stage.user("ada")):
        await hub.workspaces.stop_all(user, "the end")
    await hub.close()


def stop_instead_of_pausing(data_dir: Path) -> None:
    """Local processes cannot be paused. They can be stopped one by one, which is as good where nobody watches."""
    state, stop = ProcessSpawner.state, ProcessSpawner.stop

    def processes_of(workspace_id: WorkspaceId) -> list[psutil.Process]:
        return _processes(data_dir).get(workspace_id, [])

    async def pause(_: ProcessSpawner, workspace_id: WorkspaceId) -> None:
        for process in processes_of(workspace_id):
            process.suspend()

    async def thaw(_: ProcessSpawner, workspace_id: WorkspaceId) -> None:
        for process in processes_of(workspace_id):
            process.resume()

    async def with_stopped(self: ProcessSpawner, workspace_id: WorkspaceId) -> Observation:
        stopped = [each.status() == psutil.STATUS_STOPPED for each in processes_of(workspace_id)]
        return replace(await state(self, workspace_id), is_paused=any(stopped))

    async def stop_all(self: ProcessSpawner, workspace_id: WorkspaceId, grace_seconds: float = 10.0) -> None:
        await thaw(self, workspace_id)
        await stop(self, workspace_id, grace_seconds)

    for name, method in {"pause": pause, "thaw": thaw, "state": with_stopped, "stop": stop_all}.items():
        setattr(ProcessSpawner, name, method)
    ProcessSpawner.can_pause = True


async def _nothing(_: object) -> None:
    """In place of what has nothing to do with this and takes its time."""


async def _begin(stage: Stage) -> None:
    """A kernel of ada's with a variable, for the whole lane."""
    ada, secret = await stage.user("ada"), new_id()
    model = await stage.hub.services.kernels.start(ada, "python3")
    await _value(stage, model.kernel.workspace_id, model.kernel.id, f"globals().__setitem__('x', '{secret}')")
    workspace = await stage.hub.workspaces.find(ada)
    assert workspace is not None
    facts = {"kernel": model.kernel.id, "workspace": workspace.id, "container": workspace.container_id, "x": secret}
    (stage.data_dir / "kernel").write_text(json.dumps(facts))


async def _check(stage: Stage) -> None:
    """N2 and N4 of the faults' criteria: what ran still runs, and nothing is there that nobody owns."""
    hub = stage.hub
    for _ in range(4):
        await hub.reconciler.run_once()
    facts = json.loads((stage.data_dir / "kernel").read_text())
    ada = await hub.workspaces.find(await stage.user("ada"))
    assert ada is not None and ada.state is WorkspaceState.RUNNING, ada
    assert ada.container_id == facts["container"], "another container"
    seen = await hub.spawner.state(ada.id)
    assert seen.is_paused is (ada.paused_at is not None) is hub.agents.is_held(ada.id), (seen, ada)
    x = await _value(stage, WorkspaceId(facts["workspace"]), KernelId(facts["kernel"]), "x")
    assert x == repr(facts["x"]), "the variable is gone"

    async with hub.store.reading() as unit:
        workspaces: list[Workspace] = await unit.workspaces.list()
        rows = await unit.kernels.list()
    assert all(each.state in (WorkspaceState.RUNNING, WorkspaceState.STOPPED) for each in workspaces), workspaces
    running = {each.id for each in workspaces if each.state is WorkspaceState.RUNNING}
    inventory = await hub.spawner.inventory()
    assert {seen.workspace_id for seen in inventory if seen.presence is Presence.RUNNING} == running, inventory
    assert {seen.workspace_id for seen in inventory} == running, "ended containers were left"
    assert set(_folders(stage).list_runs()) == running, "run folders were left"
    assert not list(stage.data_dir.glob("*/.new-*")), "drafts of folders were left"
    assert set(_processes(stage.data_dir)) == running, "processes were left"
    for workspace_id in running:
        live = await hub.agents.status(workspace_id, 0.0)
        assert set(live.kernels) == {row.id for row in rows if row.workspace_id == workspace_id}, "kernels differ"


async def _value(stage: Stage, workspace_id: WorkspaceId, kernel_id: KernelId, expression: str) -> str:
    """The value of an expression in a kernel, asked over its own sockets."""
    attachment = await stage.hub.agents.client(workspace_id).attach_kernel(kernel_id)
    signing = Signing(key=attachment.key.encode())
    context = zmq.asyncio.Context.instance()
    with context.socket(zmq.DEALER) as shell:
        shell.linger = 0
        shell.connect(f"ipc://{_folders(stage).run(workspace_id)}/{kernel_id}-{KERNEL_SOCKETS['shell']}")
        content = {"code": "", "silent": True, "store_history": False, "user_expressions": {"v": expression}}
        message = signing.msg("execute_request", content)
        await shell.send_multipart(signing.serialize(message))
        async with asyncio.timeout(20):
            while True:
                _, frames = signing.feed_identities(await shell.recv_multipart())
                reply = signing.deserialize(frames)
                if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                    return str(reply["content"]["user_expressions"]["v"]["data"]["text/plain"])


def _processes(data_dir: Path) -> dict[WorkspaceId, list[psutil.Process]]:
    """The processes of all workspaces of a data folder, agents and what they started."""
    found: dict[WorkspaceId, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environment = process.environ()
            if environment.get("KERNELHUB_RUN", "").startswith(f"{data_dir}/run/"):
                found.setdefault(WorkspaceId(Path(environment["KERNELHUB_RUN"]).name), []).append(process)
    return found


def _folders(stage: Stage) -> Folders:
    return Folders(stage.data_dir, None, None)


def _settings(data_dir: Path) -> Settings:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    profile = Profile(spare_kernels=0, kernels=["python3"])
    return Settings(data_dir=data_dir, spawner="process", hub_port=port, profiles={"datascience": profile})


def _paired(number: int) -> dict[str, Any]:
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": f"version = {number}", "outputs": []}
    metadata = {
        "jupytext": {"formats": "ipynb,py:percent"},
        "language_info": {"name": "python", "file_extension": ".py"},
    }
    return {"cells": [{**cell, "execution_count": None}], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _text(content: str, **more: Any) -> SaveRequest:
    return SaveRequest(type="file", format="text", content=_raw(content), **more)


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
