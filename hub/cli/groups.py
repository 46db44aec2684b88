"""``kernelhub group``: groups and who is in them. Works while the hub runs and while it does not."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.table import Table

from hub.cli.offline import ACTOR, Offline, offline
from hub.cli.options import Settings, run_async, with_settings
from hub.domain.users import MemberRole

_PAGE = 500


@click.group("group")
def command() -> None:
    """Groups: add, list, delete; put people in, take them out, make them owners."""


@command.command()
@click.argument("name")
@click.option("--display-name", default="", help="What people read in place of the name.")
@with_settings
@run_async
async def add(settings: Settings, name: str, display_name: str) -> None:
    """Make the group NAME, without members."""
    async with offline(settings) as services:
        group = await services.auth.groups.create(name, ACTOR, display_name=display_name)
    click.echo(f"added {group.name}")


@command.command("list")
@click.argument("name", required=False)
@with_settings
@run_async
async def list_groups(settings: Settings, name: str | None) -> None:
    """List groups with their sizes; with NAME, who is in that group."""
    async with offline(settings) as services:
        table = await _all(services) if name is None else await _members(services, name)
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)


@command.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_settings
@run_async
async def delete(settings: Settings, name: str, yes: bool) -> None:
    """Delete the group NAME; its members stay users."""
    async with offline(settings) as services:
        group = await services.auth.groups.get(name)
        if not yes:
            click.confirm(f"Delete the group {group.name}?", abort=True)
        await services.auth.groups.delete(group, ACTOR)
    click.echo(f"deleted {group.name}")


@command.command("add-member")
@click.argument("group_name", metavar="GROUP")
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@with_settings
@run_async
async def add_member(settings: Settings, group_name: str, names: tuple[str, ...]) -> None:
    """Put users into GROUP; who is in it already stays."""
    async with offline(settings) as services:
        group = await services.auth.groups.get(group_name)
        people = [await services.user(name) for name in names]
        added = await services.auth.groups.add_members(group, people, ACTOR)
    click.echo(f"added {', '.join(user.name for user in added) or 'nobody'} to {group.name}")


@command.command("remove-member")
@click.argument("group_name", metavar="GROUP")
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@with_settings
@run_async
async def remove_member(settings: Settings, group_name: str, names: tuple[str, ...]) -> None:
    """Take users out of GROUP."""
    async with offline(settings) as services:
        group = await services.auth.groups.get(group_name)
        people = [await services.user(name) for name in names]
        removed = await services.auth.groups.remove_members(group, people, ACTOR)
    click.echo(f"removed {', '.join(user.name for user in removed) or 'nobody'} from {group.name}")


@command.command()
@click.argument("group_name", metavar="GROUP")
@click.argument("name")
@click.option("--remove", is_flag=True, help="Make NAME a member again, who owns it no more.")
@with_settings
@run_async
async def owner(settings: Settings, group_name: str, name: str, remove: bool) -> None:
    """Make the user NAME an owner of GROUP, who may see and steer its members' containers."""
    async with offline(settings) as services:
        group = await services.auth.groups.get(group_name)
        user = await services.user(name)
        await services.auth.groups.set_owner(group, user, not remove, ACTOR)
    click.echo(f"{user.name} {'no longer owns' if remove else 'owns'} {group.name}")


async def _all(services: Offline) -> Table:
    table = Table("name", "display name", "people", "owners", "kept by", box=None, pad_edge=False, header_style="bold")
    async with services.store.reading() as unit:
        groups = await unit.groups.list()
        sizes = await unit.groups.sizes(group.id for group in groups)
    for group in groups:
        size = sizes[group.id]
        table.add_row(group.name, group.display_name, str(size.people), str(size.owners), group.source)
    return table


async def _members(services: Offline, name: str) -> Table:
    table = Table("name", "is", "put in by", box=None, pad_edge=False, header_style="bold")
    group = await services.auth.groups.get(name)
    offset = 0
    async with services.store.reading() as unit:
        while page := await unit.groups.members_page(group.id, offset, _PAGE):
            offset += len(page)
            for each in page:
                table.add_row(each.user.name, "owner" if each.role is MemberRole.OWNER else "member", each.source)
    return table
