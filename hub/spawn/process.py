"""Workspaces as processes of this machine, for development: the same agent, no isolation at all.

An agent is a session of its own and outlives the hub, as a container does. What is known of it is in
``process.json`` in its run folder: pid and start time, which together are never reused. Everything that a
workspace started carries its id in the environment, so that nothing is left behind when it stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from hub.agent import install
from hub.agent.specs import jupyter_folders
from hub.domain.ids import WorkspaceId
from hub.errors import Conflict, StartFailed
from hub.spawn import proc
from hub.spawn import spec as specs
from hub.spawn.folders import Folders, clear_sockets, socket_path_too_long
from hub.spawn.protocol import Observation, Presence, WorkspaceSpec
from hub.spawn.reasons import exit_reason, last_sentence
from proxy.contract.agent import AGENT_SOCKET

RECORD = "process.json"
LOG = "agent.log"
SOCKET_POLL_SECONDS = 0.01
KILL_SECONDS = 5.0
NICENESS = 6
"""Beside a busy hub and proxy, a kernel that computes gets a quarter of their turns, as a container does."""
WORKSPACE_VARIABLE = "KERNELHUB_WORKSPACE"
_INHERITED = (
    "PATH",
    "LANG",
    "LC_",
    "TZ",
    "SHELL",
    "SSL_CERT_",
    "PIP_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)


class Record(msgspec.Struct, frozen=True):
    """What ``process.json`` holds. `reason` is set once the end of the process was seen."""

    pid: int
    started: int
    reason: str | None = None


class ProcessSpawner:
    """The Spawner for local processes. `start_seconds` bounds the wait for the agent's socket."""

    name = "process"
    can_pause = False

    def __init__(self, folders: Folders, *, start_seconds: float) -> None:
        self._folders = folders
        self._start_seconds = start_seconds
        self._starting: WeakValueDictionary[WorkspaceId, asyncio.Lock] = WeakValueDictionary()
        # Popen objects are kept: a dropped one would be reaped behind our back, and its exit code lost.
        self._children: dict[tuple[int, int], subprocess.Popen[bytes]] = {}

    async def start(self, spec: WorkspaceSpec) -> str:
        """Start the agent and wait until it listens; see Spawner.start. Raises StartFailed."""
        async with self._starting.setdefault(spec.workspace_id, asyncio.Lock()):
            seen = await self.state(spec.workspace_id)
            if seen.presence is Presence.RUNNING and seen.container_id is not None:
                return seen.container_id
            return await self._start(spec)

    async def _start(self, spec: WorkspaceSpec) -> str:
        if spec.scratch_folder is not None:
            raise StartFailed("Local processes cannot be given a view of a home.")
        if socket_path_too_long(spec.run_folder):
            raise StartFailed(f"The path {spec.run_folder} is too long for Unix sockets: choose a shorter data_dir.")
        try:
            record = await asyncio.to_thread(self._launch, spec)
        except (OSError, subprocess.SubprocessError) as error:
            raise StartFailed(f"The agent could not be started: {error}.") from error
        await self._wait_for_agent(spec, record)
        return _container_id(record)

    async def stop(self, workspace_id: WorkspaceId, grace_seconds: float = 10.0) -> None:
        """Ask the agent to end, kill it after the grace, then kill whatever it left behind."""
        folder = self._folders.run(workspace_id)
        record = _read(folder)
        if record is not None and proc.is_alive(record.pid, record.started):
            with (
                contextlib.suppress(ProcessLookupError),
                proc.pidfd(record.pid, record.started) as descriptor,
            ):
                signal.pidfd_send_signal(descriptor, signal.SIGTERM)
                if not await proc.ended(descriptor, grace_seconds):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    await proc.ended(descriptor, KILL_SECONDS)
        await self._kill_leftovers(workspace_id)
        if record is not None:
            self._reap(record)
            (folder / RECORD).unlink(missing_ok=True)

    async def pause(self, workspace_id: WorkspaceId) -> None:
        """Local processes are in no control group of their own, so nothing could freeze them all at once."""
        raise Conflict("Local processes cannot be paused; containers can.")

    async def thaw(self, workspace_id: WorkspaceId) -> None:
        """What was never paused goes on. Raises Conflict if it does not run."""
        if (await self.state(workspace_id)).presence is not Presence.RUNNING:
            raise Conflict("The workspace does not run.")

    async def reclaim(self, workspace_id: WorkspaceId) -> int:
        """Nothing is paused."""
        return 0

    async def state(self, workspace_id: WorkspaceId) -> Observation:
        """Whether the agent's process lives; why it ended, if this hub or the agent's log can tell."""
        folder = self._folders.run(workspace_id)
        record = _read(folder)
        if record is None:
            return Observation(workspace_id, Presence.ABSENT)
        code = self._reap(record)
        if code is None and self._lives(record):
            return Observation(workspace_id, Presence.RUNNING, _container_id(record))
        if record.reason is None:
            record = msgspec.structs.replace(record, reason=_reason(folder, code))
            _write(folder, record)
        return Observation(workspace_id, Presence.EXITED, _container_id(record), record.reason)

    async def inventory(self) -> list[Observation]:
        """All workspaces of the data folder that have a process, or had one that was not stopped."""
        records = self._folders.data_dir.glob(f"run/*/{RECORD}")
        return [await self.state(WorkspaceId(path.parent.name)) for path in records]

    async def image_id(self, image: str) -> str:
        """The hub's Python, and when kernels were last installed on this machine; `image` says nothing here."""
        return await asyncio.to_thread(_installed_kernels)

    async def image_names(self) -> list[str]:
        """Local processes have no images."""
        return []

    async def ping(self) -> None:
        """The operating system always answers."""

    async def close(self) -> None:
        """Nothing to release; the agents stay."""

    def _launch(self, spec: WorkspaceSpec) -> Record:
        clear_sockets(spec.run_folder)
        changes_uid = spec.uid != os.geteuid()
        with (spec.run_folder / LOG).open("wb") as output:
            child = subprocess.Popen(
                install.command(sys.executable, str(spec.agent_folder)),
                cwd=spec.home_folder,
                env=_variables(spec),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=spec.uid if changes_uid else None,
                group=spec.gid if changes_uid else None,
                extra_groups=[] if changes_uid else None,
            )
        with contextlib.suppress(OSError):  # it has ended, or the hub itself gives way to more
            os.setpriority(os.PRIO_PROCESS, child.pid, NICENESS)
        record = Record(child.pid, proc.start_time(child.pid) or 0)
        self._children[record.pid, record.started] = child
        _write(spec.run_folder, record)
        return record

    async def _wait_for_agent(self, spec: WorkspaceSpec, record: Record) -> None:
        socket = spec.run_folder / AGENT_SOCKET
        deadline = time.monotonic() + self._start_seconds
        while not socket.is_socket():
            await asyncio.sleep(SOCKET_POLL_SECONDS)
            seen = await self.state(spec.workspace_id)
            late = time.monotonic() > deadline
            if seen.presence is Presence.RUNNING and not late:
                continue
            await self.stop(spec.workspace_id, grace_seconds=0.0)
            why = f"did not answer within {self._start_seconds:.0f} s" if late else f"ended: {seen.reason}"
            raise StartFailed(f"The agent {why}.")

    async def _kill_leftovers(self, workspace_id: WorkspaceId) -> None:
        """Kill kernels and terminals that lost their agent; their environment says whose they are."""
        marker = f"{WORKSPACE_VARIABLE}={workspace_id}"
        for pid, started in await asyncio.to_thread(proc.with_variable, marker):
            with contextlib.suppress(ProcessLookupError), proc.pidfd(pid, started) as descriptor:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                await proc.ended(descriptor, KILL_SECONDS)

    def _lives(self, record: Record) -> bool:
        """Whether the process lives. A child of this hub's does until its exit code is there.

        The kernel calls a killed process of several threads a zombie before the last of them, and the code, is there.
        """
        return (record.pid, record.started) in self._children or proc.is_alive(record.pid, record.started)

    def _reap(self, record: Record) -> int | None:
        """The exit code of a child of this hub that has ended, else None."""
        child = self._children.get((record.pid, record.started))
        return None if child is None else child.poll()


def _installed_kernels() -> str:
    marks = [sys.executable]
    for folder in jupyter_folders(dict(os.environ), "/nonexistent"):
        with contextlib.suppress(OSError):
            marks.append(f"{folder}@{Path(folder).stat().st_mtime_ns}")
    return "process:" + hashlib.sha256("\n".join(marks).encode()).hexdigest()[:32]


def _reason(folder: Path, code: int | None) -> str:
    with contextlib.suppress(OSError):
        words = (folder / LOG).read_bytes()[-4096:].decode("utf-8", "replace")
        if code is not None:
            return exit_reason(code, words)
        return f"it ended while the hub was away ({last_sentence(words) or 'it said nothing'})"
    return "it ended while the hub was away" if code is None else exit_reason(code)


def _read(folder: Path) -> Record | None:
    try:
        return msgspec.json.decode((folder / RECORD).read_bytes(), type=Record)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _write(folder: Path, record: Record) -> None:
    draft = folder / f".{RECORD}"
    draft.write_bytes(msgspec.json.encode(record))
    draft.rename(folder / RECORD)


def _container_id(record: Record) -> str:
    return f"{record.pid}-{record.started}"


def _variables(spec: WorkspaceSpec) -> dict[str, str]:
    """The agent's environment: a little of the hub's, none of its settings; this Python's commands first."""
    inherited = {name: value for name, value in os.environ.items() if name.startswith(_INHERITED)}
    path = f"{Path(sys.executable).parent}:{inherited.get('PATH', specs.DEFAULT_PATH)}"
    here = replace(spec, home=str(spec.home_folder))
    own = {**specs.agent_variables(here, spec.run_folder), WORKSPACE_VARIABLE: spec.workspace_id}
    return {**inherited, **specs.environment(here, {"PATH": path}), **own}
