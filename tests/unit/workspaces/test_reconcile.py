"""What reconciliation finds between the database and the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from hub.config import Settings
from hub.domain.ids import UserId, WorkspaceId
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.spawn.folders import Folders
from hub.spawn.protocol import Observation, Presence
from hub.store.engine import Store
from hub.workspaces.image_kernelspecs import ImageKernelspecs
from hub.workspaces.probes import LEFTOVER_AGE, Probes, new_probe_id
from hub.workspaces.reconcile import Reconciler, compare
from proxy.kit.clock import ManualClock
from tests.contract.fake_spawner import FakeSpawner

LIMITS = Limits(None, None, None)


def workspace(state: WorkspaceState, name: str = "w") -> Workspace:
    return Workspace(WorkspaceId(name), UserId("u"), "p", state, "image", LIMITS)


def seen(presence: Presence, name: str = "w") -> Observation:
    return Observation(WorkspaceId(name), presence, "c" if presence is Presence.RUNNING else None)


def test_agreement_is_no_news() -> None:
    findings = compare(
        [workspace(WorkspaceState.RUNNING, "a"), workspace(WorkspaceState.STOPPED, "b")],
        [seen(Presence.RUNNING, "a")],
    )
    assert findings.news == [] and findings.unowned == []


def test_a_running_workspace_that_the_engine_does_not_list_is_gone() -> None:
    assert compare([workspace(WorkspaceState.RUNNING)], []).news == [Observation(WorkspaceId("w"), Presence.ABSENT)]


def test_a_container_found_running_is_news_for_a_stopped_workspace() -> None:
    found = seen(Presence.RUNNING)
    assert compare([workspace(WorkspaceState.STOPPED)], [found]).news == [found]


@pytest.mark.parametrize("presence", [Presence.RUNNING, Presence.EXITED])
def test_any_positive_word_ends_an_unknown_state(presence: Presence) -> None:
    assert compare([workspace(WorkspaceState.UNKNOWN)], [seen(presence)]).news == [seen(presence)]


def test_a_container_of_nobody_is_reported_and_is_no_news() -> None:
    stray = seen(Presence.RUNNING, "stray")
    findings = compare([workspace(WorkspaceState.STOPPED)], [stray])
    assert findings.news == [] and findings.unowned == [stray]


async def test_what_a_probe_left_is_removed_and_a_strangers_container_is_not(
    store: Store, clock: ManualClock, data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spawner = FakeSpawner()
    folders = Folders(data_dir, None, None)
    images = ImageKernelspecs(folders.images, clock)
    probes = Probes(Settings(data_dir=data_dir), spawner, folders, images, clock)
    reconciler = Reconciler(store, spawner, cast(Any, None), probes)
    left = new_probe_id(clock.now())
    for name in (left, "stray"):
        spawner.containers[WorkspaceId(name)] = Observation(WorkspaceId(name), Presence.RUNNING, f"c-{name}")
    await reconciler.run_once()
    assert set(spawner.containers) == {left, "stray"}, "a probe may be under way"
    assert f"c-{left}" not in caplog.text and "c-stray" in caplog.text
    clock.advance(LEFTOVER_AGE)
    await reconciler.run_once()
    assert set(spawner.containers) == {"stray"}
    await probes.close()
