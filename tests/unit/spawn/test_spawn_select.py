"""hub.spawn.select: which spawner a hub uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.config import ConfigError, Settings
from hub.spawn.folders import Folders
from hub.spawn.select import open_to_others, select_spawner
from tests.contract.fake_spawner import FakeSpawner
from tests.contract.spawner_worlds import rules, serve


def settings(data_dir: Path, **changes: object) -> Settings:
    """Settings of a hub whose engine does not answer."""
    return Settings(data_dir=data_dir, docker_url=f"unix://{data_dir}/no-engine.sock", **changes)


def folders(data_dir: Path) -> Folders:
    return Folders(data_dir, 200_000, 100)


async def test_without_an_engine_auto_falls_back_to_processes_with_a_warning(data_dir: Path) -> None:
    selected = await select_spawner(settings(data_dir, spawner="auto"), folders(data_dir))
    assert selected.spawner.name == "process"
    assert selected.warning is not None and "No isolation" in selected.warning


async def test_docker_without_a_spawner_is_refused_with_what_to_do(data_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"No spawner answers at .*kernelhub spawner"):
        await select_spawner(settings(data_dir, spawner="docker"), folders(data_dir))


async def test_a_spawner_without_an_engine_is_refused_with_what_to_do(data_dir: Path) -> None:
    close = await serve(rules(data_dir, "an/image:1"), FakeSpawner(silent=True))
    with pytest.raises(ConfigError, match=r"No container engine answers.*systemctl start docker"):
        await select_spawner(settings(data_dir, spawner="docker"), folders(data_dir))
    await close()


@pytest.mark.parametrize("spawner", ["auto", "docker"])
async def test_a_spawner_with_an_engine_is_taken_wherever_the_hub_listens(data_dir: Path, spawner: str) -> None:
    close = await serve(rules(data_dir, "an/image:1"), FakeSpawner())
    selected = await select_spawner(settings(data_dir, spawner=spawner, host="0.0.0.0"), folders(data_dir))
    assert (selected.spawner.name, selected.warning) == ("docker", None)
    await close()


@pytest.mark.parametrize("spawner", ["auto", "process"])
@pytest.mark.parametrize("way", [{"host": "0.0.0.0"}, {"host": "::"}, {"public_url": "https://hub.example.org"}])
async def test_processes_are_refused_where_others_can_reach_the_hub(
    data_dir: Path, spawner: str, way: dict[str, str]
) -> None:
    with pytest.raises(ConfigError, match="no isolation"):
        await select_spawner(settings(data_dir, spawner=spawner, **way), folders(data_dir))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_is_not_open_to_others(data_dir: Path, host: str) -> None:
    assert open_to_others(settings(data_dir, host=host, public_url="http://localhost:8000")) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "hub.example.org", ""])
def test_every_other_address_is(data_dir: Path, host: str) -> None:
    assert open_to_others(settings(data_dir, host=host)) is not None
