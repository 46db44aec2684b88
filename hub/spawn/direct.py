"""The engine itself, for administrators' commands: they run with the rights of who calls them, and the hub may be down.

The hub never imports this: it asks the spawner's process (`hub.spawn.select`).
"""

from __future__ import annotations

from hub.config import Settings
from hub.errors import EngineSilent
from hub.spawn.docker import DockerSpawner
from hub.spawn.engine import Engine
from hub.spawn.folders import Folders
from hub.spawn.select import Selected, processes, without_engine


async def select_direct(settings: Settings, folders: Folders) -> Selected:
    """The spawner that the settings ask for, without a process of its own. The caller closes it. Raises ConfigError."""
    if settings.spawner == "process":
        return processes(settings, folders, 'spawner = "process"')
    start_seconds = settings.start_timeout.total_seconds()
    engine = Engine(settings.docker_url)
    docker = DockerSpawner(engine, folders, python=settings.agent_python, start_seconds=start_seconds)
    try:
        await docker.ping()
    except EngineSilent as error:
        await docker.close()
        return without_engine(settings, folders, error)
    return Selected(docker, folders)
