"""``kernelhub hub``: the hub's process."""

from __future__ import annotations

import asyncio
import gc
import os

import click

from hub.app import run
from hub.cli.options import Settings, with_settings
from hub.cli.parent import end_with_parent
from proxy.kit.file_limit import raise_file_limit
from proxy.kit.logs import configure_logs


@click.command("hub")
@click.option("--stop-workspaces", is_flag=True, help="Stop all users' containers when the hub is stopped.")
@click.option("--begin-fd", type=int, hidden=True)
@click.option("--supervised", is_flag=True, hidden=True)
@with_settings
def command(settings: Settings, stop_workspaces: bool, begin_fd: int | None, supervised: bool) -> None:
    """Run the hub: sign-in, files, the Jupyter API, spawning. Its users reach it through a proxy."""
    if supervised:
        end_with_parent()
    raise_file_limit()
    configure_logs("hub", settings.log_format)
    if begin_fd is not None:
        os.read(begin_fd, 1)  # until the supervisor closes the other end: all that takes time is loaded by then
        os.close(begin_fd)
    asyncio.run(run(settings, stop_workspaces=stop_workspaces))
    gc.freeze()  # or the interpreter would look through everything once more, for a second, before it ends
