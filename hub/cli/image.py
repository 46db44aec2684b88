"""``kernelhub image``: the kernel images of deploy/images."""

from __future__ import annotations

import click

from hub import images
from hub.cli.options import Settings, run_async, with_settings
from hub.errors import EngineSilent
from hub.image_names import IMAGES


@click.group("image")
def command() -> None:
    """Kernel images: build those that kernelhub brings."""


@command.command()
@click.argument("name", required=False, type=click.Choice(list(IMAGES)))
@click.option("--base", help=f"Image to build on; without it {images.DEFAULT_BASE}, or Debian's packages.")
@click.option("--if-needed", is_flag=True, help="Only what is missing or outdated; no engine is no error.")
@with_settings
@run_async
async def build(settings: Settings, name: str | None, base: str | None, if_needed: bool) -> None:
    """Build the image NAME, or the usual ones (minimal, datascience). It takes some minutes, once."""
    try:
        if if_needed and await images.up_to_date(settings, name):
            return
        tags = await images.build(settings, name, base, click.echo)
    except EngineSilent as error:
        if if_needed:
            return
        raise click.ClickException(error.message) from error
    except images.BuildFailed as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"built {', '.join(tags)}")
