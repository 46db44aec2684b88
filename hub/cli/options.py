"""Options that commands share, and how a command's flags become `Settings`."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from hub.config import ConfigError, Settings, load_settings
from hub.domain.users import InvalidUsername
from hub.errors import HubError, Unavailable

P = ParamSpec("P")
R = TypeVar("R")


def with_settings(command: Callable[..., R]) -> Callable[..., R]:
    """Add ``--config`` and ``--data-dir``, and call the command with ``settings`` in their place.

    Flags named like settings (``host``, ``port``, ``spawner``) are taken from the command's own options. A wrong
    configuration, and any error meant for people, ends the command with its message and status 1.
    """

    @click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file (TOML).")
    @click.option("--data-dir", type=click.Path(path_type=Path), help="Folder for everything the hub keeps.")
    @functools.wraps(command)
    def wrapped(config_file: Path | None, data_dir: Path | None, **options: Any) -> R:
        flags = {"data_dir": data_dir}
        for name in ("host", "port", "spawner"):
            if name in options:
                flags[name] = options.pop(name)
        try:
            return command(settings=load_settings(config_file, flags), **options)
        except (ConfigError, InvalidUsername, PermissionError) as error:
            raise click.ClickException(str(error)) from error
        except HubError as error:
            # What did not answer says why in its first line; the rest is SQL. A refusal is its own explanation.
            why = str(error.__cause__).splitlines()[:1] if isinstance(error, Unavailable) and error.__cause__ else []
            cause = f" ({why[0]})" if why else ""
            raise click.ClickException(error.message + cause) from error

    return wrapped


def run_async(command: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """Run a coroutine function as a command's body."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        return asyncio.run(command(*args, **kwargs))

    return wrapped


__all__ = ["Settings", "run_async", "with_settings"]
