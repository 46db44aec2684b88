"""``kernelhub user``: people who may sign in. Works while the hub runs and while it does not."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.table import Table

from hub.auth.password_rules import guessable, normalise_password
from hub.cli.offline import ACTOR, Offline, offline
from hub.cli.options import Settings, run_async, with_settings
from hub.domain.users import Role, User
from hub.errors import BadRequest
from hub.store.engine import Store


@click.group("user")
def command() -> None:
    """Users: add, list, change a password, disable, delete."""


@command.command()
@click.argument("name")
@click.option("--admin", is_flag=True, help="Make the user an administrator; the same as `--role admin`.")
@click.option("--role", default=None, help="`user` (the default), `guest`, `admin`, or a role of the configuration.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@with_settings
@run_async
async def add(settings: Settings, name: str, admin: bool, role: str | None, password_stdin: bool) -> None:
    """Add the user NAME. Without a password, print a one-time link with which the user sets one."""
    password = _read_password() if password_stdin else None
    async with offline(settings) as services:
        if password is not None:
            services.auth.passwords.require_well_formed(password)
        chosen = services.auth.authority.known_role(role or (Role.ADMIN if admin else Role.USER))
        if admin and chosen != Role.ADMIN:
            raise BadRequest("--admin and --role say different things.")
        user = await services.auth.users.add(name, chosen, actor=ACTOR)
        if password is not None:
            await _set_password(services, user, password)
            click.echo(f"added {user.name}")
        else:
            token = await services.auth.invitations.create_for(user, actor=ACTOR)
            click.echo(f"added {user.name}; to set a password, once, open:")
            click.echo(f"  {public_address(settings)}/hub/invitation/{token}")


@command.command("list")
@click.option("--prefix", default="", help="Only names that begin so.")
@with_settings
@run_async
async def list_users(settings: Settings, prefix: str) -> None:
    """List users: name, role, state, when they were last active."""
    table = Table("name", "role", "state", "last active", box=None, pad_edge=False, header_style="bold")
    async with offline(settings) as services:
        offset = 0
        while page := await _page(services.store, prefix, offset):
            for user in page:
                table.add_row(*_columns(user))
            offset += len(page)
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)


@command.command()
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@with_settings
@run_async
async def passwd(settings: Settings, name: str, password_stdin: bool) -> None:
    """Set the password of NAME, and sign NAME out everywhere."""
    if password_stdin:
        password = _read_password()
    else:
        password = click.prompt("New password", hide_input=True, confirmation_prompt=True)
    async with offline(settings) as services:
        user = await services.user(name)
        await _set_password(services, user, password)
    click.echo(f"changed; {user.name} is signed out everywhere")


@command.command()
@click.argument("name")
@click.argument("role")
@with_settings
@run_async
async def role(settings: Settings, name: str, role: str) -> None:
    """Give NAME the role ROLE: `admin`, `user`, `guest`, or one of the configuration. It counts within seconds."""
    async with offline(settings) as services:
        user = await services.user(name)
        await services.auth.users.set_role(user, services.auth.authority.known_role(role), actor=ACTOR)
    click.echo(f"{user.name} has the role {role}")


@command.command()
@click.argument("name")
@with_settings
@run_async
async def disable(settings: Settings, name: str) -> None:
    """Keep NAME out: end all sign-ins and tokens' use, and stop the containers. Files stay."""
    async with offline(settings) as services:
        user = await services.user(name)
        await services.auth.users.disable(user, actor=ACTOR)
        await services.stop_containers(user)
    click.echo(f"disabled {user.name}")


@command.command()
@click.argument("name")
@with_settings
@run_async
async def enable(settings: Settings, name: str) -> None:
    """Let NAME in again."""
    async with offline(settings) as services:
        user = await services.user(name)
        await services.auth.users.enable(user, actor=ACTOR)
    click.echo(f"enabled {user.name}")


async def _set_password(services: Offline, user: User, password: str) -> None:
    """Set it; an administrator at the command line may choose a poor one, and is told."""
    reason = guessable(normalise_password(password), user.name)
    await services.auth.passwords.set(user, password, actor=ACTOR, allow_guessable=True)
    if reason is not None:
        click.echo(f"warning: {reason}", err=True)


def _read_password() -> str:
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise BadRequest("There is no password on standard input.")
    return password


def public_address(settings: Settings) -> str:
    """Where people find the hub, as far as the settings say."""
    return settings.public_url or f"http://{settings.host}:{settings.port}"


async def _page(store: Store, prefix: str, offset: int) -> list[User]:
    async with store.reading() as unit:
        return await unit.users.list(prefix=prefix, offset=offset, limit=500)


def _columns(user: User) -> tuple[str, str, str, str]:
    active = user.last_activity_at.strftime("%Y-%m-%d %H:%M") if user.last_activity_at else "never"
    return user.name, str(user.role), "disabled" if user.disabled_at else "active", active
