"""``kernelhub audit``: whether the audit log is whole, and its lines as a file. Works while the hub runs, too."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import click
import msgspec

from hub.audit_keeper import ANCHORS, line_of, read_anchors
from hub.audit_keeper import verify as verify_chain
from hub.cli.offline import offline
from hub.cli.options import Settings, run_async, with_settings
from hub.domain.audit import Head
from hub.web.csv_export import safe_cell

BATCH = 2000
BROKEN = 1
"""Exit status when a line does not fit."""


@click.group("audit")
def command() -> None:
    """The audit log: verify that it is whole, export it."""


@command.command()
@click.option("--head", "heads", multiple=True, help="A place that was noted earlier: NUMBER:DIGEST. May be repeated.")
@click.option(
    "--anchors",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with places that were noted; without it the hub's own in the data folder.",
)
@with_settings
@run_async
async def verify(settings: Settings, heads: tuple[str, ...], anchors: Path | None) -> None:
    """Follow the chain of all lines, and name the first that was changed, removed, put in or moved.

    Prints the log's end: kept elsewhere and given as --head later, it shows whether lines were cut off since.
    """
    try:
        noted = [Head.parse(head) for head in heads]
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    noted += read_anchors(anchors or settings.data_dir / ANCHORS)
    async with offline(settings) as services:
        result = await verify_chain(services.store, noted)
    if result.broken is not None:
        click.echo(f"the audit log is broken at line {result.broken.id}: {result.broken.why}", err=True)
        sys.exit(BROKEN)
    places = f", through {len(set(noted))} noted places" if noted else ""
    click.echo(f"the audit log is whole: {result.count} lines{places}")
    if result.last is not None:
        click.echo(f"its end: {result.last}")


@command.command()
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("--after", default=0, help="Only lines with a higher number.")
@with_settings
@run_async
async def export(settings: Settings, form: str, after: int) -> None:
    """Write all lines, oldest first, to the standard output."""
    writer = csv.writer(sys.stdout, lineterminator="\r\n")
    header = ("id", "at", "action", "actor", "subject", "address", "details", "digest")
    if form == "csv":
        writer.writerow(header)
    async with offline(settings) as services:
        while True:
            async with services.store.reading() as unit:
                links = await unit.audit.links(after, BATCH)
            if not links:
                return
            after = links[-1].event.id or after
            for link in links:
                line = line_of(link)
                if form == "jsonl":
                    click.echo(msgspec.json.encode(line).decode())
                    continue
                line["details"] = msgspec.json.encode(line["details"]).decode()
                writer.writerow([safe_cell(str(line[name]) if line[name] is not None else "") for name in header])
