"""``kernelhub db``: the database's version."""

from __future__ import annotations

import click

from hub.cli.options import Settings, run_async, with_settings
from hub.store import schema


@click.group("db")
def command() -> None:
    """The database: bring it up to date, say where it stands."""


@command.command()
@with_settings
@run_async
async def upgrade(settings: Settings) -> None:
    """Bring the database up to this release's version, making it if there is none."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    before = await schema.current(settings.sqlalchemy_url)
    after = await schema.upgrade(settings.sqlalchemy_url)
    if before != after:
        click.echo(f"database: upgraded from {before.current or 'nothing'} to {after.current}")


@command.command()
@with_settings
@run_async
async def current(settings: Settings) -> None:
    """Print the database's version, and the one this release needs."""
    version = await schema.current(settings.sqlalchemy_url)
    click.echo(f"current: {version.current or 'nothing'}")
    click.echo(f"needed:  {version.head}")
