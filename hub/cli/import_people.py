"""``kernelhub user import``: follows a list of people as schools and teams keep it."""

from __future__ import annotations

import csv
import sys
from typing import BinaryIO

import click

from hub.cli.offline import ACTOR, offline
from hub.cli.options import Settings, run_async, with_settings
from hub.cli.users import command, public_address
from hub.domain.roster import MAX_ROSTER_BYTES, Change, Plan, UnreadableRoster, plan, read_roster
from hub.errors import BadRequest
from hub.people.rosters import Rosters
from proxy.kit.clock import SystemClock

_WORDS = {
    Change.ADD: "add",
    Change.ENTER: "put into {group}",
    Change.OWN: "make an owner of {group}",
    Change.DESCRIBE: "describe as {text}",
    Change.LEAVE: "take out of {group}",
}


@command.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--group", default="", help="Put everybody into this group.")
@click.option("--exact", is_flag=True, help="Who is in that group and not in the list leaves it.")
@click.option("--links", is_flag=True, help="Print user name, e-mail and invitation link of new people as CSV.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_settings
@run_async
async def import_people(settings: Settings, file: BinaryIO, group: str, exact: bool, links: bool, yes: bool) -> None:
    """Follow the list in FILE (CSV; `-` for standard input): what would change is said first."""
    try:
        roster = read_roster(file.read(MAX_ROSTER_BYTES + 1))
    except UnreadableRoster as error:
        raise BadRequest(str(error)) from error
    async with offline(settings) as services:
        rosters = Rosters(services.store, SystemClock(), services.auth.recent)
        found = plan(roster, await rosters.known(roster, group), group=group, exact=exact)
        _say(found)
        if not found.steps:
            return
        if not yes:
            click.confirm(f"Make these {len(found.steps)} changes?", abort=True, err=True)
        added = await rosters.follow(found, ACTOR)
        click.echo("done", err=True)
        if not links:
            return
        out = csv.writer(sys.stdout)
        out.writerow(("username", "email", "link"))
        for user in added:
            secret = await services.auth.invitations.create_for(user, actor=ACTOR)
            out.writerow((user.name, user.email or "", f"{public_address(settings)}/hub/invitation/{secret}"))


def _say(found: Plan) -> None:
    for problem in found.problems:
        click.echo(f"line {problem.line} is left out: {problem.text}", err=True)
    for step in found.steps:
        click.echo(f"{step.name}: {_WORDS[step.change].format(group=step.group, text=step.text)}", err=True)
    click.echo(f"{len(found.steps)} changes; {found.unchanged} people are as the list says", err=True)
