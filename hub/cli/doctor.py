"""``kernelhub doctor``: is this machine fit, and what has to be done?"""

from __future__ import annotations

import click
from rich.console import Console

from hub.cli.options import Settings, run_async, with_settings
from hub.doctor import run

_MARKS = {"ok": "[green]ok  [/green]", "warn": "[yellow]warn[/yellow]", "fail": "[red]FAIL[/red]"}


@click.command("doctor")
@with_settings
@run_async
async def command(settings: Settings) -> None:
    """Check engine, image, database, disk and limits; say what to do about each finding.

    The exit status is 1 if anything fails, 0 otherwise.
    """
    console = Console(highlight=False, soft_wrap=True)
    checks = await run(settings)
    for check in checks:
        console.print(_MARKS[check.level], end=" ")
        console.print(f"{check.name}: {check.finding}", markup=False)
        if check.advice:
            console.print(f"     → {check.advice}", markup=False)
    if any(check.level == "fail" for check in checks):
        raise SystemExit(1)
