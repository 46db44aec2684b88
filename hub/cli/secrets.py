"""``kernelhub secrets``: the keys that seal what must be read again (hub.auth.secrets)."""

from __future__ import annotations

import click

from hub.auth.secrets import Secrets, SecretUnreadable, add_key, keep_newest_key, read_keys, read_or_make_secrets
from hub.cli.offline import ACTOR, offline
from hub.cli.options import Settings, run_async, with_settings
from hub.domain.audit import AuditEvent
from proxy.kit.clock import SystemClock


@click.group("secrets")
def command() -> None:
    """The keys that seal secrets in the database: seeds of authenticator apps, keys of platforms, providers' tokens."""


@command.command()
@with_settings
@run_async
async def rotate(settings: Settings) -> None:
    """Make a new key, seal every secret with it, and forget the old keys. The hub may run meanwhile.

    Do it when somebody may have read `secret-keys` in the data folder. A backup of the database from before needs the
    old file: keep the two together.
    """
    try:
        async with offline(settings) as services:
            read_or_make_secrets(settings.data_dir)
            made = Secrets(add_key(settings.data_dir))
            async with services.store.unit() as unit:
                count = await unit.sealed.change_all(made.seal_anew)
                event = AuditEvent(SystemClock().now(), "secrets.rotated", ACTOR, "hub", details={"count": count})
                await unit.audit.add(event)
            keep_newest_key(settings.data_dir)
    except (PermissionError, SecretUnreadable) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{count} secrets were sealed with a new key; the old ones are gone")


@command.command()
@with_settings
def check(settings: Settings) -> None:
    """Say whether the file of keys can be used, and by nobody else."""
    try:
        keys = read_keys(settings.data_dir)
    except (PermissionError, FileNotFoundError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{len(keys)} key{'s' if len(keys) != 1 else ''}, readable by the hub alone")
