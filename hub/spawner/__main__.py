"""``python -m hub.spawner spawner FD``: the spawner's process. Its rules are JSON in the descriptor FD.

`kernelhub spawner` reads the settings and becomes this, so that what reads settings does not stay in memory.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import msgspec

from hub.errors import REFUSED_TO_START, HubError
from hub.spawn.docker import DockerSpawner
from hub.spawn.engine import Engine
from hub.spawn.folders import Folders
from hub.spawner.ground import make_private
from hub.spawner.owners import Owners
from hub.spawner.rules import Rules
from hub.spawner.server import Server
from hub.spawner.service import Service, adopt_hub_id, log
from proxy.kit.logs import configure_logs


async def run(rules: Rules) -> None:
    """Serve until SIGINT or SIGTERM. Raises HubError or OSError when it cannot begin."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    make_private(rules.folder, rules.hub_uid, rules.hub_gid)
    own = Folders(rules.folder, None, None)
    adopt_hub_id(rules, own)
    own.prepare_agent()
    owners = Owners(rules.folder)
    engine = DockerSpawner(Engine(rules.docker_url), own, python=rules.agent_python, start_seconds=rules.start_seconds)
    server = Server(rules, Service(rules, engine, own, owners))
    await server.start()
    log.info("ready: profiles %s, for uid %d", ", ".join(rules.profiles), rules.hub_uid)
    await stopping.wait()
    log.info("stopping")
    await server.close()
    await engine.close()
    owners.close()


def main() -> None:
    """Read the rules and run."""
    with os.fdopen(int(sys.argv[2]), "rb") as file:
        rules = msgspec.json.decode(file.read(), type=Rules, dec_hook=_path)
    configure_logs("spawner", "json" if rules.log_format == "json" else "text")
    try:
        asyncio.run(run(rules))
    except (HubError, OSError) as error:
        print(f"kernelhub does not start: {error}", file=sys.stderr)
        raise SystemExit(REFUSED_TO_START) from error


def _path(kind: type, value: object) -> object:
    return kind(value)


if __name__ == "__main__":
    main()
