"""``kernelhub spawner``: the process that alone talks to the container engine."""

from __future__ import annotations

import os
import sys

import click
import msgspec

from hub.cli.options import Settings, with_settings
from hub.cli.parent import end_with_parent
from hub.spawner.rules import Rules, rules_of


@click.command("spawner")
@click.option("--supervised", is_flag=True, hidden=True)
@with_settings
def command(settings: Settings, supervised: bool) -> None:
    """Run the spawner: it makes containers for the hub, by the configuration's rules. `serve` starts one."""
    if supervised:
        end_with_parent()
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    become(rules_of(settings))


def become(rules: Rules) -> None:
    """Replace this process by the spawner's own: the same pid, without what reads settings. Does not return."""
    descriptor = os.memfd_create("rules", 0)
    os.write(descriptor, msgspec.json.encode(rules, enc_hook=str))
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.set_inheritable(descriptor, True)
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")  # a few threads wait for the engine; each arena would be megabytes
    os.execv(sys.executable, [sys.executable, "-m", "hub.spawner", "spawner", str(descriptor)])  # noqa: S606
