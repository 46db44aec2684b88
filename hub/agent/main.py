"""The agent's start, its wiring, and its end. Everything knows only what is handed to it here."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import site
import sys
from typing import Any, NamedTuple

import zmq

from hub.agent import bounds, policy, specs
from hub.agent.cgroup import Cgroup
from hub.agent.child import Reaper
from hub.agent.incarnation import Surroundings
from hub.agent.jobs import Jobs
from hub.agent.kernel import Kernel
from hub.agent.kernels import Kernels
from hub.agent.loop import Loop
from hub.agent.peers import RETRY_SECONDS
from hub.agent.places import child_environment
from hub.agent.server import Server
from hub.agent.service import Service
from hub.agent.terminals import Terminals

END_SECONDS = 5.0
"""How long the end may take; after it the agent leaves, and with PID 1 everything in the container."""

_KERNELS_NAME = r"(spare-[0-9a-f]{8}|k[0-9a-f]{6}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})"
_OURS = re.compile(rf"(agent\.sock|{_KERNELS_NAME}([-:][1-5]|\.json))\Z")


def make_user_site() -> None:
    """Make the folder of packages that ``pip install`` puts into the home, if Python has one here.

    Python looks there only if the folder exists when it starts; without it, what a first ``pip install`` brings
    could not be imported before the kernel's next start.
    """
    if sys.prefix != sys.base_prefix:
        return  # a virtual environment, which has none
    with contextlib.suppress(OSError):  # a full or read-only home: the kernel starts all the same
        os.makedirs(site.getusersitepackages(), exist_ok=True)


def main() -> int:
    """Run the agent until SIGTERM; return its exit status."""
    _forbid_tracing()
    run_folder = os.environ.get("KERNELHUB_RUN", "/run/kernelhub")
    home = os.environ.get("KERNELHUB_HOME") or os.environ.get("HOME") or "/"
    settings = Settings(
        spares=_number("SPARE_KERNELS", 1, bounds.MAX_SPARES, otherwise=0),
        journal_bytes=_journal_bytes(),
        restarts=policy.Restarts(
            _number("RESTARTS", policy.DEFAULT_RESTARTS.most, bounds.MOST_RESTARTS),
            float(_number("RESTARTS_WITHIN", int(policy.DEFAULT_RESTARTS.within_seconds), bounds.MOST_RESTARTS_WITHIN)),
        ),
    )
    remove_leftovers(run_folder)
    make_user_site()
    Agent(run_folder, home, settings).run()
    return 0


class Settings(NamedTuple):
    """What the environment asks for; see `hub.agent`."""

    spares: int
    journal_bytes: int = bounds.JOURNAL_BYTES
    restarts: policy.Restarts = policy.DEFAULT_RESTARTS


def _journal_bytes() -> int:
    asked = _number("JOURNAL_BYTES", bounds.JOURNAL_BYTES, bounds.MOST_JOURNAL_BYTES)
    return max(asked, bounds.LEAST_JOURNAL_BYTES) if asked else 0


def _number(name: str, default: int, highest: int, otherwise: int | None = None) -> int:
    """A whole number of the environment, brought within 0 to `highest`; what is none counts as `otherwise`."""
    try:
        return min(max(int(os.environ.get(f"KERNELHUB_{name}", default)), 0), highest)
    except ValueError:
        return default if otherwise is None else otherwise


class Agent:
    """The whole agent, wired."""

    def __init__(self, run_folder: str, home: str, settings: Settings) -> None:
        self._loop = loop = Loop()
        self._context: zmq.Context[Any] = zmq.Context()
        self._reaper = Reaper()
        self._ending = False
        self._dirty: dict[str, Kernel] = {}
        cgroup = Cgroup()
        environment = child_environment(dict(os.environ), home)
        self._server = Server(loop, self._context, run_folder)
        self._kernels = Kernels(
            Surroundings(loop, self._context, self._reaper, run_folder),
            home=home,
            environment=environment,
            folders=specs.jupyter_folders(environment, home),
            spares=settings.spares,
            cgroup=cgroup,
            announce=self._announce_soon,
            journal_bytes=settings.journal_bytes,
            restarts=settings.restarts,
        )
        self._terminals = Terminals(
            loop,
            self._reaper,
            home=home,
            environment=environment,
            output=self._server.peers.tell_output,
            ended=self._server.peers.tell_exit,
        )
        self._jobs = Jobs(loop, self._reaper, home=home, environment={**environment, "KERNELHUB_RUN": run_folder})
        service = Service(self._kernels, self._terminals, self._jobs, cgroup, in_container=os.getpid() == 1)
        self._server.perform = service.perform

    def run(self) -> None:
        """Serve until SIGTERM, then end everything in order."""
        self._take_signals()
        self._kernels.start_first_spare()
        self._loop.run()
        self._announce()
        self._server.close()
        self._context.destroy(linger=200)

    def _take_signals(self) -> None:
        """Have signals wake the loop. They get handlers, not SIG_IGN, which children would inherit."""
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, frame: None)

        def woken() -> None:
            numbers = os.read(reading, 4096)
            self._reaper.reap()
            if signal.SIGTERM in numbers:
                self._end()

        self._loop.watch(reading, woken)

    def _end(self) -> None:
        if self._ending:
            return
        self._ending = True
        self._loop.later(END_SECONDS, self._loop.stop)
        self._terminals.close()
        self._jobs.close(lambda: self._kernels.close(self._loop.stop))

    # ---- telling how kernels are: once per turn of the loop, however often they changed in it

    def _announce_soon(self, kernel: Kernel) -> None:
        if not self._dirty:
            self._loop.soon(self._announce)
        self._dirty[kernel.kernel_id] = kernel

    def _announce(self) -> None:
        dirty, self._dirty = self._dirty, {}
        for kernel in dirty.values():
            self._server.peers.tell_kernel(kernel.info())
        if self._server.peers.owed():
            self._loop.later(RETRY_SECONDS, self._announce_owed)

    def _announce_owed(self) -> None:
        owed = self._server.peers.owed()
        for kernel in self._kernels:
            if kernel.kernel_id in owed:
                self._announce_soon(kernel)


def remove_leftovers(run_folder: str) -> None:
    """Remove sockets and connection files of an earlier run from the folder; nothing else is touched.

    Journals are not: they hold what the hub may still want, which removes them.
    """
    for name in os.listdir(run_folder):
        if _OURS.match(name):
            with contextlib.suppress(OSError):
                os.unlink(f"{run_folder}/{name}")


def _forbid_tracing() -> None:
    """Make this process non-dumpable, so that a kernel of the same user can neither trace nor read it."""
    set_dumpable = 4  # PR_SET_DUMPABLE of <sys/prctl.h>
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(set_dumpable, 0, 0, 0, 0)
