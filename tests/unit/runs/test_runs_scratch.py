"""hub.runs.scratch: where no view of a home can be had, the home is copied; what is left over is removed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hub.config import Settings
from hub.domain.ids import UserId, WorkspaceId, new_id
from hub.domain.users import Role, User
from hub.errors import StartFailed, TooLarge
from hub.runs.scratch import Scratches, new_scratch_id
from hub.spawn.folders import Folders
from hub.spawn.protocol import Observation, Presence, WorkspaceSpec

USER = User(UserId(new_id()), 1, "ada", Role.USER, datetime(2026, 1, 1, tzinfo=UTC))


@dataclass
class FakeSpawner:
    """Starts nothing; `refusal` is what it says to views of a home."""

    refusal: str | None = None
    name: str = "docker"
    started: list[WorkspaceSpec] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    running: list[str] = field(default_factory=list)

    async def start(self, spec: WorkspaceSpec) -> str:
        self.started.append(spec)
        if spec.scratch_folder is not None and self.refusal is not None:
            raise StartFailed(self.refusal)
        return "id"

    async def stop(self, workspace_id: WorkspaceId, grace_seconds: float = 10.0) -> None:
        self.stopped.append(workspace_id)

    async def inventory(self) -> list[Observation]:
        return [Observation(WorkspaceId(name), Presence.RUNNING) for name in self.running]


class FakeAgents:
    async def greet(self, workspace_id: WorkspaceId, timeout: float) -> None:
        pass

    async def drop(self, workspace_id: WorkspaceId) -> None:
        pass


@dataclass
class FakeContents:
    copied: list[tuple[str, Path]] = field(default_factory=list)
    refusal: Exception | None = None

    def of(self, user: User) -> FakeContents:
        return self

    async def copy_out(self, folder: str, target: Path) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.copied.append((folder, target))


def make(tmp_path: Path, spawner: FakeSpawner, contents: FakeContents) -> Scratches:
    parts: list[Any] = [spawner, Folders(tmp_path, None, None), FakeAgents(), contents]
    return Scratches(Settings(data_dir=tmp_path), *parts)


def profile() -> Any:
    settings = Settings()
    return settings.profiles[settings.default_profile]


async def test_a_view_needs_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    spawner, contents, name = FakeSpawner(), FakeContents(), new_scratch_id()
    scratches = make(tmp_path, spawner, contents)
    await scratches.open(name, USER, profile(), "a/b.ipynb")
    [spec] = spawner.started
    assert spec.scratch_folder == tmp_path / "scratch" / name and contents.copied == []
    assert (spec.home_folder, spec.spare_kernels) == (tmp_path / "homes" / USER.id, 0)
    assert scratches.written(name) == tmp_path / "scratch" / name / "upper"
    await scratches.close(name)
    assert spawner.stopped == [name] and not (tmp_path / "scratch" / name).exists()


async def test_an_engine_that_mounts_no_view_is_given_a_copy_and_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    spawner, contents = FakeSpawner("The engine refused: error while mounting volume"), FakeContents()
    scratches = make(tmp_path, spawner, contents)
    first, second = new_scratch_id(), new_scratch_id()
    await scratches.open(first, USER, profile(), "a/b.ipynb")
    await scratches.open(second, USER, profile(), "b.ipynb")
    copies = [tmp_path / "scratch" / name / "home" for name in (first, second)]
    assert contents.copied == [("a", copies[0]), ("", copies[1])]
    assert [spec.home_folder for spec in spawner.started if spec.scratch_folder is None] == copies
    assert len(spawner.started) == 3 and scratches.written(first) == copies[0]


async def test_another_refusal_is_not_taken_for_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(StartFailed, match="no memory"):
        await make(tmp_path, FakeSpawner("no memory"), FakeContents()).open(
            new_scratch_id(), USER, profile(), "b.ipynb"
        )


async def test_a_home_that_cannot_be_copied_starts_nothing(tmp_path: Path) -> None:
    spawner = FakeSpawner(name="process")
    with pytest.raises(TooLarge):
        await make(tmp_path, spawner, FakeContents(refusal=TooLarge("too large"))).open(
            new_scratch_id(), USER, profile(), "b.ipynb"
        )
    assert spawner.started == []


async def test_what_nobody_waits_for_is_swept_and_nothing_else(tmp_path: Path) -> None:
    old, wanted, folder = new_scratch_id(), new_scratch_id(), new_scratch_id()
    spawner = FakeSpawner(running=[old, wanted, "0123abcd", "probe-1"])
    (tmp_path / "scratch" / folder).mkdir(parents=True)
    await make(tmp_path, spawner, FakeContents()).sweep({wanted})
    assert sorted(spawner.stopped) == sorted([old, folder]) and not (tmp_path / "scratch" / folder).exists()
