"""``kernelhub token``: API tokens, for programs. Works while the hub runs and while it does not."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.table import Table

from hub.auth.tokens import parse_lifetime
from hub.cli.offline import ACTOR, offline
from hub.cli.options import Settings, run_async, with_settings
from hub.domain.ids import TokenId
from hub.errors import NotFound

_COLUMNS = ("id", "label", "permits", "expires", "last used", "state")


@click.group("token")
def command() -> None:
    """API tokens: create, list, revoke."""


@command.command()
@click.argument("name")
@click.option("--expires", default="30d", show_default=True, help="Life of the token: 12h, 30d, …")
@click.option("--label", default="command line", show_default=True, help="What it is for.")
@click.option("--scope", "scopes", multiple=True, help="What it permits, several times for several; without: all.")
@with_settings
@run_async
async def create(settings: Settings, name: str, expires: str, label: str, scopes: tuple[str, ...]) -> None:
    """Create a token for the user NAME and print it, and nothing else. It cannot be shown again."""
    async with offline(settings) as services:
        user = await services.user(name)
        kept = await services.auth.authority.read_scopes(scopes) if scopes else ()
        _, value = await services.auth.tokens.create(user, label, parse_lifetime(expires), actor=ACTOR, scopes=kept)
    click.echo(value)


@command.command("list")
@click.argument("name")
@with_settings
@run_async
async def list_tokens(settings: Settings, name: str) -> None:
    """List the tokens of the user NAME; their values are not kept and cannot be shown."""
    table = Table(
        "id", "label", "permits", "expires", "last used", "state", box=None, pad_edge=False, header_style="bold"
    )
    async with offline(settings) as services:
        for token in await services.auth.tokens.list(await services.user(name)):
            used = token.last_used_at.strftime("%Y-%m-%d %H:%M") if token.last_used_at else "never"
            state = "revoked" if token.revoked_at else "valid"
            permits = " ".join(await services.auth.authority.show_scopes(token.scopes))
            table.add_row(token.id, token.name, permits, token.expires_at.strftime("%Y-%m-%d"), used, state)
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)


@command.command()
@click.argument("token_id", metavar="ID")
@with_settings
@run_async
async def revoke(settings: Settings, token_id: str) -> None:
    """Revoke the token ID (see `kernelhub token list`). Its open connections end within seconds."""
    async with offline(settings) as services:
        async with services.store.reading() as unit:
            token = await unit.tokens.find(TokenId(token_id))
            user = await unit.users.find(token.user_id) if token is not None else None
        if token is None or user is None:
            raise NotFound(f"There is no token {token_id!r}. `kernelhub token list NAME` shows a user's.")
        await services.auth.tokens.revoke(user, token.id, actor=ACTOR)
    click.echo("revoked")
