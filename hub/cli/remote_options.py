"""Options of the commands that speak to a hub from outside, as its clients do."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hub.errors import HubError
from hub.remote.address import parse_address

R = TypeVar("R")

url_option = click.option(
    "--url", envvar="KERNELHUB_URL", help="Address of the hub: https://hub/user/name/, or the hub's.  [required]"
)
"""``--url``; it also comes from KERNELHUB_URL."""

url_argument = click.argument("url", envvar="KERNELHUB_URL", required=False, metavar="URL")
"""``URL``; it also comes from KERNELHUB_URL."""


def with_token(command: Callable[..., R]) -> Callable[..., R]:
    """Add ``--token`` and ``--token-file``, and call the command with its `url` and the `token` to use.

    The token is taken from the flags, from KERNELHUB_TOKEN, from the address, or is asked for at a terminal; None
    without all of these. Errors meant for people end the command with their message and status 1.
    """

    @click.option("--token", envvar="KERNELHUB_TOKEN", help="API token; better given by KERNELHUB_TOKEN.")
    @click.option("--token-file", type=click.Path(path_type=Path), help="File that holds the token.")
    @functools.wraps(command)
    def wrapped(url: str | None, token: str | None, token_file: Path | None, **options: Any) -> R:
        if not url:
            raise click.UsageError("Say which hub: give its address (https://hub/user/name/), or set KERNELHUB_URL.")
        try:
            return command(url=url, token=_token(url, token, token_file), **options)
        except HubError as error:
            raise click.ClickException(error.message) from error

    return wrapped


def _token(url: str, token: str | None, file: Path | None) -> str | None:
    if file is not None:
        try:
            return file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise click.ClickException(f"The token's file cannot be read: {error}") from error
    address = parse_address(url)
    if token or address.token or not sys.stdin.isatty():
        return token
    asked: str = click.prompt(f"Token for {address.root}", hide_input=True, err=True)
    return asked
