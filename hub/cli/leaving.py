"""``kernelhub user delete`` and ``restore``: out at once, restorable for a while, then gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click

from hub.cli.offline import ACTOR, Offline, offline
from hub.cli.options import Settings, run_async, with_settings
from hub.cli.users import command
from hub.contents.models import Limits
from hub.contents.service import ContentsOfUsers
from hub.domain.users import User, normalise_username
from hub.errors import NotFound
from hub.people.departures import Departures, LeavingRules, former_name
from hub.spawn.folders import Folders
from proxy.kit.clock import SystemClock


@command.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--now", is_flag=True, help="For good: archive the files and delete everything, without a time of grace.")
@with_settings
@run_async
async def delete(settings: Settings, name: str, yes: bool, now: bool) -> None:
    """Delete NAME: out at once, and the name is free; until the grace is over `restore` brings everything back."""
    async with offline(settings) as services, _departures(services) as departures:
        user = await services.user(name)
        if not yes:
            click.confirm(f"Delete {user.name}{' for good' if now else ''}?", abort=True)
        marked = await departures.mark(user, ACTOR)
        if now:
            await departures.finish(marked, ACTOR)
            click.echo(f"deleted {user.name} for good; archives are in {departures.archives}")
            return
    gone_at = departures.gone_at(marked)
    until = f"{gone_at:%Y-%m-%d}" if gone_at else ""
    click.echo(f"deleted {user.name}; until {until} `kernelhub user restore {user.name}` brings them back")


@command.command()
@click.argument("name")
@click.option("--as", "other", default="", metavar="OTHER", help="Another name, where somebody else has it now.")
@with_settings
@run_async
async def restore(settings: Settings, name: str, other: str) -> None:
    """Bring back NAME, who was deleted lately; of several who were called so the last."""
    async with offline(settings) as services, _departures(services) as departures:
        restored = await departures.restore(await _marked(services, name), ACTOR, name=other)
    click.echo(f"restored {restored.name}")


async def _marked(services: Offline, name: str) -> User:
    wanted = normalise_username(name)
    async with services.store.reading() as unit:
        marked = await unit.users.removed_before(SystemClock().now())
    found = [user for user in marked if former_name(user) == wanted]
    if not found:
        there = ", ".join(sorted({former_name(user) for user in marked})) or "nobody"
        raise NotFound(f"Nobody called {wanted} was deleted lately; there are: {there}.")
    return found[-1]


@asynccontextmanager
async def _departures(services: Offline) -> AsyncIterator[Departures]:
    settings, clock = services.settings, SystemClock()
    folders = Folders(settings.data_dir, settings.base_uid, settings.base_gid)
    contents = ContentsOfUsers(folders, settings.data_dir / "contents", clock, Limits())

    async def stop(user: User, reason: str, actor: str) -> None:
        await services.stop_containers(user)

    rules = LeavingRules(settings.removal_grace, settings.archive_kept)
    try:
        yield Departures(services.store, clock, services.auth.recent, folders, contents, stop, rules)
    finally:
        await contents.close()
