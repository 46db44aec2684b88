"""``kernelhub attach``: a kernel of a hub for clients on this machine that speak ZeroMQ."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from hub.cli.options import run_async
from hub.cli.remote_options import url_argument, with_token
from hub.errors import BadRequest, NotFound
from hub.remote.attach import attach, be_kernel, console_command
from hub.remote.attachment import Ending
from hub.remote.connection import RemoteHub, connect
from hub.remote.kernels import RunningKernel, find_kernel, list_kernels, start_kernel
from hub.remote.kernelspec import install_kernelspec


@click.command("attach")
@url_argument
@click.option("--kernel", help="Which running kernel: its id, how its id begins, or its notebook's path.")
@click.option("--new", help="Start a kernel of this kernelspec of the hub.")
@click.option("--console", is_flag=True, help="Start `jupyter console` on it at once.")
@click.option("--transport", type=click.Choice(["tcp", "ipc"]), default="tcp", show_default=True)
@click.option("--install-kernelspec", "local_name", metavar="NAME", help="Write a local kernelspec NAME, no more.")
@click.option("--as-kernel", type=click.Path(path_type=Path), help="Be the kernel of this connection file.")
@with_token
@run_async
async def command(
    url: str,
    token: str | None,
    kernel: str | None,
    new: str | None,
    console: bool,
    transport: str,
    local_name: str | None,
    as_kernel: Path | None,
) -> None:
    """Lead a kernel of the hub at URL to this machine, for `jupyter console`, Qt console and any ZeroMQ client.

    URL is https://hub/user/name/, or the hub's own address. Without --kernel and --new the only running kernel is
    taken, or you choose. `--install-kernelspec NAME` makes a kernelspec of it instead: programs that start kernels
    (nbclient, papermill, nbconvert, jupyter console --kernel NAME) then start them on the hub.
    """
    if console:
        console_command()
    async with connect(url, token) as hub:
        if local_name is not None:
            folder = await install_kernelspec(hub, local_name, new)
            click.echo(f"{folder}\nIts kernels run on {hub.root}. Try `jupyter console --kernel {local_name}`.")
            return
        if as_kernel is not None:
            ending = await be_kernel(hub, new, as_kernel, _say)
            sys.exit(1 if ending in (Ending.DIED, Ending.GONE) else 0)
        chosen = await start_kernel(hub, new) if new is not None else await _choose(hub, kernel)
        ending = await attach(hub, chosen, transport, _say, console=console)
        if ending is not None:
            _say("The kernel was shut down." if ending is Ending.SHUT_DOWN else "The kernel is gone.")


async def _choose(hub: RemoteHub, wanted: str | None) -> RunningKernel:
    kernels = await list_kernels(hub)
    if wanted is not None:
        return find_kernel(kernels, wanted)
    if not kernels:
        raise NotFound(f"No kernel of {hub.name} runs. `--new NAME` starts one.")
    if len(kernels) == 1:
        return kernels[0]
    shown = "\n".join(f"{number:3}  {kernel}" for number, kernel in enumerate(kernels, 1))
    if not sys.stdin.isatty():
        raise BadRequest(f"Several kernels run; say which by --kernel:\n{shown}")
    click.echo(shown, err=True)
    with _ctrl_c_at_once():
        number: int = click.prompt("Which one", type=click.IntRange(1, len(kernels)), err=True)
    return kernels[number - 1]


@contextmanager
def _ctrl_c_at_once() -> Iterator[None]:
    """Ctrl-C ends a question; asyncio's own handler would only note it until there is an answer."""
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, kept)


def _say(text: str) -> None:
    click.echo(text, err=True)
