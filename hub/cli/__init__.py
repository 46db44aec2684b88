"""The command line: ``kernelhub``.

Each command lives in a module of its own, loaded when it is called, so that a proxy's process holds no
database and ``--help`` is quick.
"""

from __future__ import annotations

import gc
import importlib

import click

COMMANDS = {
    "serve": "hub.cli.serve",
    "hub": "hub.cli.run_hub",
    "proxy": "hub.cli.run_proxy",
    "spawner": "hub.cli.run_spawner",
    "db": "hub.cli.db",
    "user": "hub.cli.people",
    "group": "hub.cli.groups",
    "token": "hub.cli.tokens",
    "secrets": "hub.cli.secrets",
    "audit": "hub.cli.audit",
    "lti": "hub.cli.lti",
    "doctor": "hub.cli.doctor",
    "image": "hub.cli.image",
    "run": "hub.cli.run_notebook",
    "kernelspec": "hub.cli.kernelspecs",
    "attach": "hub.cli.attach",
}
"""Each command's module; the command in it is called ``command``."""


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return _load(COMMANDS[cmd_name])


def _load(module: str) -> click.Command:
    """A command, loaded without looking for garbage meanwhile: what is loaded stays, and is never looked through again.

    It is a quarter of the time in which a hub starts.
    """
    gc.disable()
    try:
        command: click.Command = importlib.import_module(module).command
    finally:
        gc.freeze()
        gc.enable()
    return command


@click.group(cls=_Lazy)
@click.version_option(package_name="kernelhub", prog_name="kernelhub")
def main() -> None:
    """kernelhub: a multi-user notebook hub that starts kernels, not servers."""
