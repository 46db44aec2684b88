"""``kernelhub lti``: learning platforms (LTI 1.3). Works while the hub runs and while it does not."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.table import Table

from hub.auth.lti.arriving import assertion_of
from hub.auth.lti.tool import Tool
from hub.cli.offline import ACTOR, Offline, offline
from hub.cli.options import Settings, run_async, with_settings
from hub.config.lti import LtiPlatform
from hub.domain.lti import Platform
from hub.errors import BadRequest, NotFound


@click.group("lti")
def command() -> None:
    """Learning platforms (LTI 1.3): list, add, invite, accept, link, test, roster, score, rotate-key, delete."""


@command.command("list")
@with_settings
@run_async
async def list_platforms(settings: Settings) -> None:
    """List the platforms."""
    table = Table("name", "issuer", "client id", "deployments", "waiting", box=None, pad_edge=False)
    async with offline(settings) as services:
        for each in await services.auth.lti.platforms.list():
            listed = (", ".join(each.deployments), ", ".join(each.waiting))
            table.add_row(each.name, each.issuer, each.client_id, *listed)
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(table)
    if not settings.lti.enabled:
        click.echo("Nobody can come from a platform: [lti] enabled is not set.", err=True)


@command.command()
@click.argument("name")
@click.option("--issuer", required=True, help="The platform's issuer, exactly as it writes it.")
@click.option("--client-id", required=True, help="The client id that it gave to this hub.")
@click.option("--authorize-url", required=True, help="Its authentication request address.")
@click.option("--token-url", required=True, help="Its access token address.")
@click.option("--jwks-url", required=True, help="Its public key set address.")
@click.option("--audience", default="", help="Audience of token requests, if it is not the address.")
@click.option("--deployment", "deployments", multiple=True, help="Id of an accepted deployment; may be repeated.")
@with_settings
@run_async
async def add(settings: Settings, name: str, deployments: tuple[str, ...], **addresses: str) -> None:
    """Add the platform NAME."""
    given = LtiPlatform.model_construct(
        None,
        issuer=addresses["issuer"],
        client_id=addresses["client_id"],
        authorize_url=addresses["authorize_url"],
        token_url=addresses["token_url"],
        jwks_url=addresses["jwks_url"],
        audience=addresses["audience"],
        deployments=list(deployments),
        groups=True,
        frame_origins=[],
    )
    async with offline(settings) as services:
        await services.auth.lti.platforms.add(name, given, "hub", ACTOR)
    click.echo("added")


@command.command()
@click.argument("name")
@click.option("--platform-host", default="", help="The platform's host; needed in the hub's own network.")
@with_settings
@run_async
async def invite(settings: Settings, name: str, platform_host: str) -> None:
    """Print a link with which a platform registers itself as NAME. It works once, for two days."""
    if not settings.public_url:
        raise BadRequest("Set public_url first: the link needs the address that browsers use.")
    async with offline(settings) as services:
        secret = await services.auth.lti.registrations.invite(name, platform_host, ACTOR)
    click.echo(f"{Tool(settings.public_url.rstrip('/'), '').origin}/hub/lti/register/{secret}")


@command.command()
@click.argument("name")
@click.argument("deployments", nargs=-1, required=True)
@with_settings
@run_async
async def accept(settings: Settings, name: str, deployments: tuple[str, ...]) -> None:
    """Accept exactly these DEPLOYMENTS of the platform NAME."""
    async with offline(settings) as services:
        platform = await _platform(services, name)
        await services.auth.lti.platforms.set_deployments(platform.id, deployments, ACTOR)
    click.echo("accepted")


@command.command()
@click.argument("name")
@click.argument("subject")
@click.argument("user")
@with_settings
@run_async
async def link(settings: Settings, name: str, subject: str, user: str) -> None:
    """Let the person whom the platform NAME calls SUBJECT (its ``sub``) come in as the user USER."""
    async with offline(settings) as services:
        platform = await _platform(services, name)
        known = await services.user(user)
        await services.auth.arrivals.link(known, assertion_of(platform, subject, "", "", known.name))
    click.echo("linked")


@command.command()
@click.argument("name")
@with_settings
@run_async
async def test(settings: Settings, name: str) -> None:
    """Try the platform NAME: its keys, and tokens for its services."""
    async with offline(settings) as services:
        trials = await services.auth.lti.platforms.test(await _platform(services, name))
    for trial in trials:
        click.echo(f"{trial.what}: {trial.problem or 'works'}")
    if any(trial.problem for trial in trials):
        raise SystemExit(1)


@command.command()
@click.argument("name")
@with_settings
@run_async
async def roster(settings: Settings, name: str) -> None:
    """Fetch the members of all courses of the platform NAME now."""
    async with offline(settings) as services:
        results = await services.auth.lti.rosters.sync_all(await _platform(services, name), ACTOR)
    for title, words in results.items():
        click.echo(f"{title}: {words}")
    if not results:
        click.echo("No course has told of a list of members yet; open a link in one.", err=True)


@command.command()
@click.argument("name")
@click.argument("link")
@click.argument("user")
@click.argument("score", type=float)
@click.option("--max", "most", type=float, default=100.0, show_default=True, help="The most that can be scored.")
@click.option("--comment", default="", help="Shown with the score.")
@with_settings
@run_async
async def score(settings: Settings, name: str, link: str, user: str, score: float, most: float, comment: str) -> None:
    """Send a SCORE of USER for a LINK (its title, or its id there) of the platform NAME."""
    async with offline(settings) as services:
        platform = await _platform(services, name)
        async with services.store.reading() as unit:
            contexts = await unit.lti_courses.list(platform.id)
            links = [each for context in contexts for each in await unit.lti_courses.links(context.id)]
        found = [each for each in links if link in (each.id, each.link, each.title)]
        if len(found) != 1:
            raise NotFound(
                f"There are {len(found)} links called {link!r}; those known: {[each.link for each in links]}."
            )
        scores = services.auth.lti.scores
        made = await scores.send(await services.user(user), found[0], score, most, comment, ACTOR)
        await scores.send_due()
        async with services.store.reading() as unit:
            sent = await unit.lti_scores.find(made.id)
    click.echo("sent" if sent and sent.state == "sent" else f"not sent yet: {sent.problem if sent else ''}")


@command.command("rotate-key")
@with_settings
@run_async
async def rotate_key(settings: Settings) -> None:
    """Make a new key of the hub towards platforms; the old one is shown for 30 more days."""
    async with offline(settings) as services:
        click.echo(await services.auth.lti.keys.rotate(ACTOR))


@command.command()
@click.argument("name")
@click.confirmation_option(prompt="Delete this platform?")
@with_settings
@run_async
async def delete(settings: Settings, name: str) -> None:
    """Delete the platform NAME. People and groups stay."""
    async with offline(settings) as services:
        await services.auth.lti.platforms.delete((await _platform(services, name)).id, ACTOR)
    click.echo("deleted")


async def _platform(services: Offline, name: str) -> Platform:
    """The platform of this name. Raises NotFound."""
    async with services.store.reading() as unit:
        platform = await unit.lti_platforms.find_by_name(name)
    if platform is None:
        raise NotFound(f"There is no platform {name!r}. `kernelhub lti list` shows all.")
    return platform
