"""A home with its contents service, and a hub's secret beside it that must never come out."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hub.contents.models import Limits, SaveRequest
from hub.contents.service import Contents, ContentsOfUsers
from hub.domain.ids import UserId
from hub.domain.users import Role, User
from proxy.kit.clock import ManualClock

IS_ROOT = os.geteuid() == 0
SECRET = "canary-of-the-hub"


@dataclass
class Homes:
    """Where homes are, as `hub.spawn.folders.Folders` says it."""

    folder: Path

    @property
    def gid(self) -> int:
        return 100 if IS_ROOT else os.getegid()

    def home(self, user_id: UserId) -> Path:
        return self.folder / user_id

    def uid_of(self, user: User) -> int:
        return 200_000 + user.number if IS_ROOT else os.geteuid()

    def prepare_home(self, user: User) -> Path:
        home = self.home(user.id)
        home.mkdir(mode=0o700)
        os.chown(home, self.uid_of(user), self.gid)
        return home


@dataclass
class Place:
    """One test's service: `home` is u1's, `sibling` u10's, `secret` a file of the hub."""

    service: ContentsOfUsers
    homes: Homes
    home: Path
    sibling: Path
    secret: Path
    clock: ManualClock

    @property
    def uid(self) -> int:
        return self.homes.uid_of(user(1))

    def put(self, name: str, data: bytes | str = b"", mode: int = 0o644) -> Path:
        """Make a file of the user's, as a kernel would."""
        file = self.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.encode() if isinstance(data, str) else data)
        file.chmod(mode)
        self.give(file)
        for parent in file.relative_to(self.home).parents[:-1]:
            self.give(self.home / parent)
        return file

    def make_folder(self, name: str) -> Path:
        """Make a folder of the user's, as a kernel would."""
        folder = self.home / name
        folder.mkdir(parents=True)
        for path in (name, *map(str, Path(name).parents[:-1])):
            self.give(self.home / path)
        return folder

    def link(self, name: str, target: str | Path) -> Path:
        """Make a link of the user's, as a kernel would."""
        link = self.home / name
        link.symlink_to(target)
        self.give(link)
        return link

    def give(self, path: Path) -> None:
        """Make `path` the user's."""
        os.chown(path, self.uid, self.homes.gid, follow_symlinks=False)

    def leftovers(self) -> list[Path]:
        """Drafts anywhere in the home."""
        return list(self.home.rglob(".~*"))


def user(number: int) -> User:
    return User(UserId(f"u{number}"), number, f"user{number}", Role.USER, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
async def make_place(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Callable[..., Place]]:
    services = []

    def make(homes_dir: Path = tmp_path / "homes", limits: Limits | None = None) -> Place:
        homes = Homes(homes_dir)
        for number in (1, 10):
            home = homes.home(user(number).id)
            home.mkdir(parents=True, mode=0o700)
            os.chown(home, homes.uid_of(user(number)), homes.gid)
        secret = tmp_path / "kernelhub.db"
        secret.write_text(SECRET)
        secret.chmod(0o644)  # what must protect it is the path, not the mode
        service = ContentsOfUsers(homes, tmp_path / "state", clock, limits)
        services.append(service)
        return Place(service, homes, homes.home(UserId("u1")), homes.home(UserId("u10")), secret, clock)

    yield make
    for service in services:
        await service.close()


@pytest.fixture
def place(make_place: Callable[..., Place]) -> Place:
    return make_place()


@pytest.fixture
def contents(place: Place) -> Contents:
    return place.service.of(user(1))


def text(content: str, **more: Any) -> SaveRequest:
    """A request that saves a text file."""
    return SaveRequest(type="file", format="text", content=raw(content), **more)


def notebook(content: object) -> SaveRequest:
    """A request that saves a notebook."""
    return SaveRequest(type="notebook", format="json", content=raw(content))


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
