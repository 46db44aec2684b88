"""What ``kernelhub attach`` does: local sockets, a connection file, an `Attachment`, and the programs beside it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import sys
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hub.errors import BadRequest
from hub.remote.attachment import Attachment, Ending
from hub.remote.connection import RemoteHub
from hub.remote.connection_file import LocalEnds, new_ends, read_ends, runtime_folder, write_ends
from hub.remote.kernels import RunningKernel, start_kernel
from hub.remote.local_sockets import LocalSockets

PARENT_SECONDS = 1.0
"""How often a kernel of a local program looks whether that program still lives."""
LAST_WORDS_SECONDS = 0.5
"""How long a console's last request may be under way when the console has ended: it may ask for the kernel's end."""

Say = Callable[[str], None]


async def attach(hub: RemoteHub, kernel: RunningKernel, transport: str, say: Say, *, console: bool) -> Ending | None:
    """Lead local clients to `kernel` until it is gone; None: it goes on, Ctrl-C or the end of the `console` came."""
    stem = f"kernel-hub-{kernel.id[:8]}-{uuid.uuid4().hex[:4]}"
    file = runtime_folder() / f"{stem}.json"
    with _bound(new_ends(transport, stem)) as sockets, _written(file, sockets.ends, kernel.name):
        attachment = Attachment(hub, kernel.id, sockets, say, owns_kernel=False)
        if console:
            return await _beside_console(attachment, file)
        stop = asyncio.Event()
        with _on_signals(stop.set, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            say(_explanation(kernel, file))
            return await _run(attachment, stop.wait())


async def be_kernel(hub: RemoteHub, name: str | None, file: Path, say: Say) -> Ending | None:
    """Be the kernel of a connection file that another program made: start one on the hub, and end it in the end.

    SIGINT interrupts the kernel; SIGTERM and the end of the program that started this process end it.
    """
    parent = os.getppid()
    stop, wish = asyncio.Event(), asyncio.Event()
    with (
        _on_signals(wish.set, signal.SIGINT),
        _on_signals(stop.set, signal.SIGTERM, signal.SIGHUP),
        _bound(read_ends(file)) as sockets,
    ):
        kernel = await start_kernel(hub, name)
        attachment = Attachment(hub, kernel.id, sockets, say, owns_kernel=True)
        interrupting = asyncio.create_task(_interrupt(attachment, wish), name="attach.interrupt")
        watching = asyncio.create_task(_watch(parent, stop), name="attach.parent")
        try:
            return await _run(attachment, stop.wait())
        finally:
            interrupting.cancel()
            watching.cancel()
            await attachment.shut_down()


def console_command() -> list[str]:
    """How to start ``jupyter console`` here. Raises BadRequest where it is not installed."""
    if importlib.util.find_spec("jupyter_console") is not None:
        return [sys.executable, "-m", "jupyter_console"]
    if found := shutil.which("jupyter-console"):
        return [found]
    raise BadRequest("jupyter console is not installed here; `pip install jupyter-console` installs it.")


async def _beside_console(attachment: Attachment, file: Path) -> Ending | None:
    """Run ``jupyter console``. Ctrl-C reaches both processes: it cannot interrupt kernels of others, this can."""
    wish = asyncio.Event()

    def on_interrupt() -> None:
        if attachment.is_executing:
            wish.set()

    async def wait_for_console() -> None:
        process = await asyncio.create_subprocess_exec(*console_command(), "--existing", str(file))
        await process.wait()

    with _on_signals(on_interrupt, signal.SIGINT):
        interrupting = asyncio.create_task(_interrupt(attachment, wish), name="attach.interrupt")
        ending = asyncio.create_task(attachment.run(), name="attach.run")
        try:
            await wait_for_console()
            await asyncio.wait((ending,), timeout=LAST_WORDS_SECONDS)
            return await ending if attachment.is_shutting_down or ending.done() else None
        finally:
            for task in (interrupting, ending):
                task.cancel()
            await asyncio.gather(interrupting, ending, return_exceptions=True)


async def _run(attachment: Attachment, until: Coroutine[Any, Any, object]) -> Ending | None:
    """Run the attachment until it ends, or `until` is done: then None."""
    running = asyncio.create_task(attachment.run(), name="attach.run")
    ending = asyncio.create_task(until, name="attach.until")
    try:
        await asyncio.wait((running, ending), return_when=asyncio.FIRST_COMPLETED)
        return running.result() if running.done() else None
    finally:
        running.cancel()
        ending.cancel()
        await asyncio.gather(running, ending, return_exceptions=True)


async def _interrupt(attachment: Attachment, wish: asyncio.Event) -> None:
    """Interrupt the kernel whenever that is wished for, for ever."""
    while True:
        await wish.wait()
        wish.clear()
        await attachment.interrupt()


async def _watch(parent: int, stop: asyncio.Event) -> None:
    """Stop when the process that started this one is gone, as local kernels do."""
    while os.getppid() == parent:  # noqa: ASYNC110  the system tells nobody but by this number
        await asyncio.sleep(PARENT_SECONDS)
    stop.set()


@contextmanager
def _bound(ends: LocalEnds) -> Iterator[LocalSockets]:
    sockets = LocalSockets(ends)
    try:
        yield sockets
    finally:
        sockets.close()


@contextmanager
def _written(file: Path, ends: LocalEnds, kernel_name: str) -> Iterator[None]:
    write_ends(file, ends, kernel_name)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


@contextmanager
def _on_signals(handler: Callable[[], object], *numbers: signal.Signals) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in numbers:
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _explanation(kernel: RunningKernel, file: Path) -> str:
    return (
        f"Kernel {kernel} is here as\n  {file}\n\nDrive it with any ZeroMQ client, for example\n"
        f"  jupyter console --existing {file.name}\n  jupyter qtconsole --existing {file.name}\n\n"
        "Ctrl-C ends this connection; the kernel goes on. In a console, Ctrl-D leaves it running and `exit` ends it."
    )
