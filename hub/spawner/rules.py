"""What the spawner goes by, as plain values: made from the settings once, handed over as JSON.

The process that reads settings is replaced by the one that serves, which so need not load what reads them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hub.spawn.wire import SOCKET, Bounds, Definition, definition_of

if TYPE_CHECKING:
    from hub.config import Profile, Settings


class Ceilings(msgspec.Struct, frozen=True):
    """The most that may be asked for beyond a profile's own limits. None: nothing beyond."""

    memory_bytes: int | None = None
    cpus: float | None = None
    pids: int | None = None
    tmp_bytes: int = 0
    gpus: int = 0


class Known(msgspec.Struct, frozen=True):
    """A profile of the configuration."""

    definition: Definition
    limits: Bounds


class Rules(msgspec.Struct, frozen=True):
    """The spawner's rules. `folder` is its own, `data_dir` the hub's.

    `base_uid`, `base_gid`: users' containers have uids of their own, `base_uid` plus the user's number. None: all of
    them belong to the hub's uid and gid.
    """

    data_dir: Path
    folder: Path
    hub_uid: int
    hub_gid: int
    base_uid: int | None
    base_gid: int | None
    profiles: dict[str, Known]
    allowed_images: list[str] = []
    networks: list[str] = []
    runtimes: list[str] = []
    ceilings: Ceilings = Ceilings()
    docker_url: str | None = None
    agent_python: str | None = None
    start_seconds: float = 60.0
    log_format: str = "text"

    @property
    def socket(self) -> Path:
        """Where the spawner listens."""
        return self.folder / SOCKET

    @property
    def gid(self) -> int:
        """The group of homes and containers."""
        return self.hub_gid if self.base_gid is None else self.base_gid

    def uid_of(self, number: int) -> int:
        """The uid of the user with this number; of probes, which are nobody's, for 0."""
        return self.hub_uid if self.base_uid is None else self.base_uid + number


def rules_of(settings: Settings) -> Rules:
    """The rules that the settings make. The hub is believed to have this process' uid unless they say another."""
    asked = settings.spawning
    hub_uid = os.geteuid() if asked.hub_uid is None else asked.hub_uid
    data_dir = settings.data_dir.absolute()
    own_uids = hub_uid == 0
    return Rules(
        data_dir=data_dir,
        folder=(settings.spawning.folder or settings.data_dir / "spawner").absolute(),
        hub_uid=hub_uid,
        hub_gid=os.getegid() if hub_uid == os.geteuid() else _group(data_dir),
        base_uid=settings.base_uid if own_uids else None,
        base_gid=settings.base_gid if own_uids else None,
        profiles={name: known(profile) for name, profile in settings.profiles.items()},
        allowed_images=asked.allowed_images,
        networks=[*asked.networks],
        runtimes=asked.runtimes,
        ceilings=Ceilings(
            asked.most_memory_bytes, asked.most_cpus, asked.most_pids, asked.most_tmp_bytes, asked.most_gpus
        ),
        docker_url=settings.docker_url,
        agent_python=settings.agent_python,
        start_seconds=settings.start_timeout.total_seconds(),
        log_format=settings.log_format,
    )


def known(profile: Profile) -> Known:
    """A profile as the spawner knows it."""
    return Known(definition_of(profile), Bounds(profile.memory_bytes, profile.cpus, profile.pids))


def _group(data_dir: Path) -> int:
    """The group of a hub with another uid: that of its data folder. Raises FileNotFoundError without one."""
    return data_dir.stat().st_gid
