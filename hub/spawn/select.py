"""Which spawner a hub uses, from its settings and from whether an engine answers."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from hub.config import ConfigError, Settings
from hub.errors import EngineSilent
from hub.spawn.docker import DockerSpawner
from hub.spawn.engine import Engine
from hub.spawn.folders import Folders
from hub.spawn.process import ProcessSpawner
from hub.spawn.protocol import Spawner

WARNING = (
    "No isolation: notebooks run as local processes of the account that runs the hub, and can read and "
    "change everything that it can. This is for trying kernelhub out alone; it listens on this machine only. "
    'For other people, install a Docker Engine and set spawner = "docker".'
)
NO_ENGINE = (
    'No container engine answers{where}, but spawner = "docker" needs one. Start it '
    "(`systemctl start docker`), give the hub's account access to it (group `docker`), or set docker_url; "
    "`kernelhub doctor` shows what is missing. To try kernelhub out alone, without containers, "
    'set spawner = "process".'
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

    ``auto`` takes the engine if it answers, and local processes only where nobody else can reach the hub.
    Raises ConfigError, with what to do, when the settings ask for what is not there or not safe.
    """
    if settings.spawner == "process":
        return _process(settings, folders, 'spawner = "process"')
    engine = Engine(settings.docker_url)
    start_seconds = settings.start_timeout.total_seconds()
    docker = DockerSpawner(engine, folders, python=settings.agent_python, start_seconds=start_seconds)
    try:
        await docker.ping()
    except EngineSilent as error:
        await docker.close()
        if settings.spawner == "docker":
            where = f" at {settings.docker_url}" if settings.docker_url else ""
            raise ConfigError(NO_ENGINE.format(where=where)) from error
        return _process(settings, folders, "No container engine answers")
    return Selected(docker, folders)


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


def _process(settings: Settings, folders: Folders, why: str) -> Selected:
    if where := open_to_others(settings):
        raise ConfigError(NOT_LOOPBACK.format(why=why, where=where))
    own = folders.without_uids()
    spawner = ProcessSpawner(own, start_seconds=settings.start_timeout.total_seconds())
    return Selected(spawner, own, WARNING)
