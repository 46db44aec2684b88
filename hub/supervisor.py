"""The supervisor behind ``kernelhub serve``: starts spawner, hub and proxy, restarts what dies, stops all in order.

It is a small process that does nothing else, so that it is still there when they are not. The children get
its settings through the environment, and end when it ends. It owns the sockets on which proxies listen, so that
nobody is refused while there is none, or while one takes over from another (SIGHUP). Where it is root, hub and proxy
are started in a place from which the container engine cannot be reached (`hub.spawner.confine`); the spawner alone can.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

import hub
import proxy
from hub.config import Settings, bracketed
from hub.ending import ENDED_FOR_GOOD
from hub.errors import REFUSED_TO_START, EngineSilent
from hub.internal_token import read_or_make_internal_token
from hub.spawn.folders import Folders
from hub.spawn.protocol import Spawner
from hub.spawn.remote import SpawnerAway
from hub.spawn.select import remote_spawner, spawner_folder
from hub.spawner.confine import FOR_HUB, FOR_PROXY, TEMPORARY, Plan, engine_sockets
from hub.welcome import Welcome, ask_welcome, is_ready
from proxy.io.listening import listen

RESTART_PAUSE_SECONDS = 0.05
LONGEST_RESTART_PAUSE_SECONDS = 10.0
SETTLED_SECONDS = 30.0
"""A child that ran for this long starts again with the shortest pause."""
READY_SECONDS = 60.0
STOP_BY_SECONDS = {"proxy": 2.0, "hub": 4.0, "spawner": 4.8}
"""They end one after the other, each by then, counted from the wish to stop: who is quick leaves time to the next."""
LEAST_STOP_SECONDS = 0.8
STOP_WORKSPACES_SECONDS = 60.0
SPAWNER_PAUSE_SECONDS = 0.05
NEW_PROXY_SECONDS = 20.0
"""A new proxy listens after about a second; one that does not by then does not take over."""
RETIRING_SECONDS = 45.0
"""An old proxy answers what is under way for 30 s at most, and ends."""
SPAWNER_SECONDS = 20.0
"""A spawner is there after about half a second."""
CONFINED = {"hub": FOR_HUB, "proxy": FOR_PROXY}
"""The processes that face the network, and the capabilities that they keep."""


class Supervisor:
    """Owns the children from `run` to its end."""

    def __init__(self, settings: Settings, stop_workspaces: bool = False) -> None:
        self._settings = settings
        self._stop_workspaces = stop_workspaces
        self._port = settings.port
        self._listening: list[socket.socket] = []
        self._gate = os.pipe()
        """A hub begins when the writing end is closed: from then on the database is at this release's version."""
        self._hub_port = settings.hub_port or _free_port(settings.hub_host)
        self._metrics_port = settings.metrics_port or _free_port("127.0.0.1")
        self._spawner = settings.spawner
        self._stopping = asyncio.Event()
        self._renewing = asyncio.Event()
        self._retiring: set[asyncio.Task[None]] = set()
        self._stopping_since: float | None = None
        self._status = 0
        self._was_ready = False
        """From then on a refusal to start is an accident that passes, such as an engine that is away."""

    async def run(self) -> int:
        """Serve until SIGINT or SIGTERM; gives the exit status. At SIGHUP a new proxy takes over from the old one."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        # At a terminal the signal says that it was closed.
        loop.add_signal_handler(signal.SIGHUP, (self._stopping if os.isatty(0) else self._renewing).set)
        if (problem := self._listen()) is not None:
            click.echo(f"kernelhub does not start: {problem} Choose another with --port.", err=True)
            return REFUSED_TO_START
        hub_flags = ["--stop-workspaces"] if self._stop_workspaces else []
        async with asyncio.TaskGroup() as group:
            spawner = None
            if self._spawner != "process" and not self._settings.spawning.separate:
                spawner = group.create_task(self._keep("spawner"), name="spawner")
            upgrade = group.create_task(self._run_to_end("db", "upgrade"), name="upgrade")
            if not await self._found_engine(spawner):
                await asyncio.wait([upgrade])
                await _cancelled(spawner)
                return self._status
            # They load meanwhile; the hub touches no database before the gate is open.
            hub = group.create_task(self._keep("hub", *hub_flags, "--begin-fd", str(self._gate[0])), name="hub")
            proxy = group.create_task(self._keep("proxy", *self._handed_over()), name="proxy")
            if (status := await upgrade) != 0:
                for child in (proxy, hub, spawner):
                    await _cancelled(child)
                return status
            os.close(self._gate[1])
            greeter = group.create_task(self._greet(), name="greeter")
            await self._stopping.wait()
            greeter.cancel()
            proxy.cancel()
            for retiring in self._retiring:
                retiring.cancel()
            await asyncio.wait([proxy, *self._retiring])
            hub.cancel()
            await asyncio.wait([hub])
            await _cancelled(spawner)
        return self._status

    @property
    def address(self) -> str:
        """Where browsers find the hub."""
        return self._settings.public_url or f"http://{bracketed(self._settings.host)}:{self._port}"

    def _listen(self) -> str | None:
        """Open the sockets of the proxies; gives why nobody can listen there, as a sentence, or None."""
        host = self._settings.host
        try:
            self._listening = listen(host, self._port)
        except OSError as error:
            return f"it cannot listen on {bracketed(host)}:{self._port}: {error.strerror}."
        self._port = self._listening[0].getsockname()[1]
        return None

    def _handed_over(self) -> list[str]:
        return ["--listen-fds", ",".join(str(each.fileno()) for each in self._listening)]

    async def _found_engine(self, spawner: asyncio.Task[None] | None) -> bool:
        """Wait until the spawner is there, and settle what ``auto`` means from now on. False: it refused to start."""
        if self._spawner == "process":
            return True
        asked = remote_spawner(self._settings, Folders(self._settings.data_dir, None, None))
        deadline = asyncio.get_running_loop().time() + (0.0 if spawner is None else SPAWNER_SECONDS)
        while (silent := await _silence(asked)) is not None:
            if self._stopping.is_set():
                return False
            if not isinstance(silent, SpawnerAway) or asyncio.get_running_loop().time() >= deadline:
                break
            await asyncio.sleep(SPAWNER_PAUSE_SECONDS)
        if silent is not None and self._spawner == "auto":
            self._spawner = "process"
            await _cancelled(spawner)
        return True

    async def _keep(self, name: str, *flags: str) -> None:
        """Run one child, again and again, until cancelled; then stop it."""
        pause = RESTART_PAUSE_SECONDS
        while True:
            started = asyncio.get_running_loop().time()
            child = await self._spawn(name, *flags, "--supervised")
            try:
                while (status := await self._ended_or_renewed(child, name)) is None:
                    child = await self._renewed(child, *flags)
            except asyncio.CancelledError:
                await self._end(child, name)
                raise
            if status == REFUSED_TO_START and not self._was_ready:
                self._status = REFUSED_TO_START
                self._stopping.set()
                await asyncio.Event().wait()
            if status == ENDED_FOR_GOOD and name == "hub":
                self._stopping.set()
                await asyncio.Event().wait()
            ran = asyncio.get_running_loop().time() - started
            pause = RESTART_PAUSE_SECONDS if ran > SETTLED_SECONDS else pause
            click.echo(f"The {name} ended ({_how(status)}); it is started again.", err=True)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_RESTART_PAUSE_SECONDS)

    async def _ended_or_renewed(self, child: asyncio.subprocess.Process, name: str) -> int | None:
        """Wait for a child's end; gives its status, or None when it is a proxy and another shall take over."""
        if name != "proxy":
            return await child.wait()
        ended = asyncio.create_task(child.wait(), name="proxy.ended")
        renewing = asyncio.create_task(self._renewing.wait(), name="proxy.renewing")
        try:
            await asyncio.wait([ended, renewing], return_when=asyncio.FIRST_COMPLETED)
            return ended.result() if ended.done() else None
        finally:
            for task in (ended, renewing):
                task.cancel()

    async def _renewed(self, old: asyncio.subprocess.Process, *flags: str) -> asyncio.subprocess.Process:
        """Start a proxy beside `old`, which ends once the new one listens; gives the one that serves from now on."""
        self._renewing.clear()
        reading, writing = os.pipe()
        new = await self._spawn("proxy", *flags, "--ready-fd", str(writing), "--supervised", handed_over=[writing])
        os.close(writing)
        try:
            is_ready = await _says_ready(reading)
        except asyncio.CancelledError:
            await self._end(new, "proxy")
            raise
        if not is_ready:
            click.echo("The new proxy does not listen; the old one serves on.", err=True)
            await self._end(new, "proxy")
            return old
        click.echo("A new proxy has taken over.", err=True)
        retiring = asyncio.create_task(self._retire(old), name="proxy.retiring")
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)
        return new

    async def _retire(self, old: asyncio.subprocess.Process) -> None:
        """Ask a proxy to answer what is under way and to end; cancelled, or when it takes too long, end it."""
        try:
            with contextlib.suppress(ProcessLookupError):
                old.send_signal(signal.SIGQUIT)
            async with asyncio.timeout(RETIRING_SECONDS):
                await old.wait()
        except (TimeoutError, asyncio.CancelledError):
            await self._end(old, "proxy")

    def _patience(self, name: str) -> float:
        """How long a child may take from now on to end."""
        if not self._stopping.is_set():
            return STOP_BY_SECONDS[name]
        now = asyncio.get_running_loop().time()
        if self._stopping_since is None:
            self._stopping_since = now
        return max(self._stopping_since + STOP_BY_SECONDS[name] - now, LEAST_STOP_SECONDS)

    async def _end(self, child: asyncio.subprocess.Process, name: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        patience = STOP_WORKSPACES_SECONDS if self._stop_workspaces and name == "hub" else self._patience(name)
        try:
            async with asyncio.timeout(patience):
                await child.wait()
        except TimeoutError:
            click.echo(f"The {name} did not end within {patience:.1f} s and is killed.", err=True)
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()

    async def _spawn(self, *arguments: str, handed_over: Sequence[int] = ()) -> asyncio.subprocess.Process:
        if arguments[0] == "proxy":
            handed_over = [*handed_over, *(each.fileno() for each in self._listening)]
        if arguments[0] == "hub":
            handed_over = [*handed_over, self._gate[0]]
        # A session of its own keeps the terminal's Ctrl-C from reaching the children before we do.
        return await asyncio.create_subprocess_exec(
            *self._confinement(arguments[0]),
            *(sys.executable, "-m", "hub.cli", *arguments),
            env=self._environment(),
            start_new_session=True,
            pass_fds=handed_over,
        )

    def _confinement(self, name: str) -> list[str]:
        """The beginning of a command line that keeps a process of the network away from the engine, as root can."""
        settings = self._settings
        if name not in CONFINED or os.geteuid() != 0 or self._spawner == "process" or not settings.spawning.confine:
            return []
        engines = engine_sockets(settings.docker_url, os.environ.get("DOCKER_HOST"))
        data_dir, folder = settings.data_dir.resolve(), spawner_folder(settings).resolve()
        hidden = [] if name == "hub" else [str(folder)]  # a proxy asks the hub alone
        plan = Plan([*CONFINED[name]], [str(data_dir)], [str(folder), *program_folders()], engines, hidden)
        return [sys.executable, "-m", "hub.spawner.confine", plan.text()]

    async def _run_to_end(self, *arguments: str) -> int:
        child = await self._spawn(*arguments)
        return await child.wait()

    def _environment(self) -> Mapping[str, str]:
        settings = self._settings
        return {
            **os.environ,
            "KERNELHUB_DATA_DIR": str(settings.data_dir.resolve()),
            "KERNELHUB_HOST": settings.host,
            "KERNELHUB_PORT": str(self._port),
            "KERNELHUB_HUB_PORT": str(self._hub_port),
            "KERNELHUB_METRICS_PORT": str(self._metrics_port),
            "KERNELHUB_SPAWNER": self._spawner,
            **({"KERNELHUB_CONFIG": str(settings.config_file)} if settings.config_file else {}),
        }

    async def _greet(self) -> None:
        """Once proxy and hub are ready, say the one address and how to begin."""
        token = await asyncio.to_thread(read_or_make_internal_token, self._settings.data_dir)
        hub_url = f"http://{bracketed(self._settings.hub_host)}:{self._hub_port}"
        try:
            async with asyncio.timeout(READY_SECONDS):
                address = f"http://{bracketed(_reachable(self._settings.host))}:{self._port}"
                while not await is_ready(address):  # noqa: ASYNC110 - another process becomes ready
                    await asyncio.sleep(0.1)
                welcome = await ask_welcome(hub_url, token)
                self._was_ready = True
        except (TimeoutError, OSError) as error:
            click.echo(f"The hub was not ready within {READY_SECONDS:.0f} s: {error}", err=True)
            return
        click.echo(_greeting(self.address, welcome))


async def _silence(spawner: Spawner) -> EngineSilent | None:
    """Why no engine answers; None if one does."""
    try:
        await spawner.ping()
    except EngineSilent as error:
        return error
    return None


async def _cancelled(task: asyncio.Task[None] | None) -> None:
    """End a task, if there is one, and wait for its end."""
    if task is not None:
        task.cancel()
        await asyncio.wait([task])


def _greeting(address: str, welcome: Welcome) -> str:
    lines = ["", f"kernelhub is ready at {address}/"]
    if welcome.warning:
        lines += ["", f"WARNING: {welcome.warning}"]
    if welcome.setup_path:
        lines += [
            "",
            "There is no administrator yet. Open this link, which works once, to become the first:",
            f"  {address}{welcome.setup_path}",
        ]
    return "\n".join([*lines, "", "Ctrl-C stops it; users' kernels go on.", ""])


def program_folders() -> list[str]:
    """Where the program lies beneath folders for temporary files, which can be written to otherwise."""
    packages = (Path(file).parent for file in (hub.__file__, proxy.__file__) if file)
    folders = [folder.resolve() for folder in (Path(sys.prefix), *packages)]
    return [str(folder) for folder in folders if any(folder.is_relative_to(place) for place in TEMPORARY)]


async def _says_ready(descriptor: int) -> bool:
    """Whether somebody writes to the pipe in time, before its other end is closed. Closes it."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[bool] = loop.create_future()

    def look() -> None:
        loop.remove_reader(descriptor)
        told.set_result(bool(os.read(descriptor, 64)))

    loop.add_reader(descriptor, look)
    try:
        async with asyncio.timeout(NEW_PROXY_SECONDS):
            return await told
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - not bound here


def _how(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
