"""Which spawner a hub uses, from its settings and from whether an engine answers; the hub itself never asks one."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hub.config import ConfigError, Settings
from hub.errors import EngineSilent
from hub.spawn.folders import Folders
from hub.spawn.process import ProcessSpawner
from hub.spawn.protocol import Spawner
from hub.spawn.remote import PATIENCE_SECONDS, RemoteSpawner, SpawnerAway
from hub.spawn.wire import SOCKET, definition_of

WARNING = (
    "No isolation: notebooks run as local processes of the account that runs the hub, and can read and "
    "change everything that it can. This is for trying kernelhub out alone; it listens on this machine only. "
    'For other people, install a Docker Engine and set spawner = "docker".'
)
NO_ENGINE = (
    'No container engine answers{where}, but spawner = "docker" needs one. Start it '
    "(`systemctl start docker`), give the spawner's account access to it (group `docker`), or set docker_url; "
    "`kernelhub doctor` shows what is missing. To try kernelhub out alone, without containers, "
    'set spawner = "process".'
)
NO_SPAWNER = (
    "No spawner answers at {socket}. `kernelhub serve` starts one; beside `kernelhub hub`, or with "
    "spawning.separate, run `kernelhub spawner` (deploy/kernelhub-spawner.service)."
)
NOT_LOOPBACK = (
    "{why}, and local processes have no isolation, so they are refused where others can reach the hub "
    "({where}). Install and start a Docker Engine, or let only this machine in: "
    'host = "127.0.0.1" and no public_url.'
)


@dataclass(frozen=True, slots=True)
class Selected:
    """The spawner, the folders to use with it, and a sentence of warning for every page (None: all is well)."""

    spawner: Spawner
    folders: Folders
    warning: str | None = None


async def select_spawner(settings: Settings, folders: Folders) -> Selected:
    """The spawner that the settings ask for. The caller closes it.

    ``auto`` takes the spawner's process if an engine answers that, and local processes only where nobody else can reach
    the hub. Raises ConfigError, with what to do, when the settings ask for what is not there or not safe.
    """
    if settings.spawner == "process":
        return processes(settings, folders, 'spawner = "process"')
    remote = remote_spawner(settings, folders)
    try:
        await remote.ping()
    except EngineSilent as error:
        return without_engine(settings, folders, error)
    return Selected(remote, folders)


def remote_spawner(settings: Settings, folders: Folders, patience_seconds: float = PATIENCE_SECONDS) -> RemoteSpawner:
    """The spawner's process, which may or may not be there."""
    profiles = {name: definition_of(profile) for name, profile in settings.profiles.items()}
    start_seconds = settings.start_timeout.total_seconds()
    return RemoteSpawner(
        *(spawner_folder(settings) / SOCKET, folders, profiles),
        start_seconds=start_seconds,
        patience_seconds=patience_seconds,
    )


def spawner_folder(settings: Settings) -> Path:
    """The spawner's own folder."""
    return (settings.spawning.folder or settings.data_dir / "spawner").absolute()


def without_engine(settings: Settings, folders: Folders, error: EngineSilent) -> Selected:
    """What is done where no engine answers. Raises ConfigError unless local processes will do."""
    if settings.spawner != "docker":
        return processes(settings, folders, "No container engine answers")
    if isinstance(error, SpawnerAway):
        raise ConfigError(NO_SPAWNER.format(socket=spawner_folder(settings) / SOCKET)) from error
    where = f" at {settings.docker_url}" if settings.docker_url else ""
    raise ConfigError(NO_ENGINE.format(where=where)) from error


def open_to_others(settings: Settings) -> str | None:
    """The setting by which others than this machine's users can reach the hub; None if they cannot.

    A public address counts even where the hub listens on loopback: a gateway stands before it.
    """
    if not _is_loopback(settings.host):
        return f"host = {settings.host!r}"
    if settings.public_url and not _is_loopback(urlsplit(settings.public_url).hostname or ""):
        return f"public_url = {settings.public_url!r}"
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def processes(settings: Settings, folders: Folders, why: str) -> Selected:
    """Local processes. Raises ConfigError where others can reach the hub."""
    if where := open_to_others(settings):
        raise ConfigError(NOT_LOOPBACK.format(why=why, where=where))
    own = folders.without_uids()
    spawner = ProcessSpawner(own, start_seconds=settings.start_timeout.total_seconds())
    return Selected(spawner, own, WARNING)
