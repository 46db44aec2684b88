"""``kernelhub serve``: hub and proxy together, looked after by one small process."""

from __future__ import annotations

import asyncio

import click

from hub.cli.options import Settings, with_settings
from hub.supervisor import Supervisor


@click.command("serve")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on; 0 for any free one.")
@click.option("--spawner", type=click.Choice(["auto", "docker", "process"]), help="Where kernels run.")
@click.option("--stop-workspaces", is_flag=True, help="Stop all users' containers at the end.")
@with_settings
def command(settings: Settings, stop_workspaces: bool) -> None:
    """Run everything: migrate the database, start hub and proxy, restart either if it dies.

    Ctrl-C stops both within 5 seconds and leaves users' containers running.
    """
    raise SystemExit(asyncio.run(Supervisor(settings, stop_workspaces).run()))
