"""hub.doctor: what is said about a machine."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from hub import doctor
from hub.config import Settings
from hub.store import schema

HEALTHY = {
    "ServerVersion": "27.1.0",
    "LiveRestoreEnabled": True,
    "SecurityOptions": ["name=seccomp,profile=builtin"],
    "MemoryLimit": True,
    "SwapLimit": True,
    "PidsLimit": True,
    "CpuCfsQuota": True,
}


def engine_levels(**changes: object) -> dict[str, str]:
    return {check.name: check.level for check in doctor.check_engine(HEALTHY | changes)}


def test_a_healthy_engine_is_all_green() -> None:
    assert set(engine_levels().values()) == {"ok"}


@pytest.mark.parametrize(
    ("change", "name", "level"),
    [
        ({"LiveRestoreEnabled": False}, "live-restore", "fail"),
        ({"SecurityOptions": []}, "seccomp", "fail"),
        ({"SecurityOptions": None}, "seccomp", "fail"),
        ({"SwapLimit": False}, "limits", "warn"),
        ({"ServerVersion": "19.03.1"}, "engine", "warn"),
    ],
)
def test_what_the_engine_lacks_is_said(change: dict[str, object], name: str, level: str) -> None:
    assert engine_levels(**change)[name] == level


@pytest.mark.parametrize(
    ("problem", "is_there", "level"),
    [
        (None, True, "ok"),
        ("The container engine does not answer.", True, "fail"),
        ("No spawner answers.", False, "warn"),
    ],
)
def test_what_the_spawner_lacks_is_said(problem: str | None, is_there: bool, level: str) -> None:
    assert doctor.check_spawner(problem, is_there).level == level


@pytest.mark.parametrize(
    ("usable", "separate", "level"),
    [(False, True, "ok"), (False, False, "ok"), (True, True, "fail"), (True, False, "warn")],
)
def test_a_hub_whose_account_has_the_engine_is_warned_of(usable: bool, separate: bool, level: str) -> None:
    assert doctor.check_engine_socket(990, usable, separate).level == level


@pytest.mark.parametrize(
    ("wanted", "problem", "level"),
    [(True, None, "ok"), (True, "Operation not permitted", "warn"), (False, None, "warn")],
)
def test_a_machine_that_cannot_confine_the_hub_is_warned_of(wanted: bool, problem: str | None, level: str) -> None:
    assert doctor.check_confinement(wanted, problem).level == level


@pytest.mark.parametrize(("release", "level"), [("5.5.19", "fail"), ("5.6.0-1", "ok"), ("6.1", "ok"), ("odd", "fail")])
def test_the_kernel_must_know_openat2(release: str, level: str) -> None:
    assert doctor.check_kernel(release).level == level


@pytest.mark.parametrize(
    ("hard", "level"), [(1024, "warn"), (4096, "ok"), (65536, "ok"), (resource.RLIM_INFINITY, "ok")]
)
def test_few_open_files_are_warned_of(hard: int, level: str) -> None:
    assert doctor.check_files(1024, hard).level == level


@pytest.mark.parametrize(("free_gib", "level"), [(0.5, "fail"), (3, "warn"), (50, "ok")])
def test_a_full_disk_is_said(free_gib: float, level: str) -> None:
    assert doctor.check_disk("disk", int(free_gib * doctor.GIB), 100 * doctor.GIB).level == level


@pytest.mark.parametrize(("mode", "level"), [(0o600, "ok"), (0o640, "fail"), (0o604, "fail")])
def test_secrets_that_others_can_read_are_said(mode: int, level: str) -> None:
    assert doctor.check_private(Path("internal-token"), mode).level == level


def test_a_missing_default_image_fails_and_says_how_to_make_it() -> None:
    check = doctor.check_image("kernelhub/datascience:latest", present=False, is_default=True)
    assert (check.level, check.advice) == ("fail", "Run `kernelhub image build datascience`.")
    other = doctor.check_image("jupyter/r-notebook:1", present=False, is_default=False)
    assert other.level == "warn" and "docker pull jupyter/r-notebook:1" in (other.advice or "")


def test_passwords_in_the_open_are_warned_of() -> None:
    assert doctor.check_address(Settings(host="0.0.0.0")).level == "warn"
    assert doctor.check_address(Settings(host="0.0.0.0", public_url="https://hub.example.org")).level == "ok"
    assert doctor.check_address(Settings()).level == "ok"


def test_long_paths_are_warned_of() -> None:
    assert doctor.check_paths(Path("/" + "x" * 90)).level == "warn"


@pytest.mark.parametrize(
    ("can_pause", "gives_back", "is_wanted", "level", "words"),
    [
        (True, True, True, "ok", "give back"),
        (True, False, True, "ok", "keep their memory"),
        (False, True, True, "warn", "cannot be paused"),
        (False, True, False, "ok", "cannot be paused"),
    ],
)
def test_whether_idle_containers_can_be_paused_is_said(
    can_pause: bool, gives_back: bool, is_wanted: bool, level: str, words: str
) -> None:
    check = doctor.check_pause(can_pause, gives_back, is_wanted)
    assert check.level == level and words in check.finding
    assert (check.advice is None) is (level == "ok")


async def test_an_engine_that_is_required_and_silent_fails_and_nothing_is_made(data_dir: Path) -> None:
    folder = data_dir / "not-there-yet"
    settings = Settings(data_dir=folder, spawner="docker", docker_url=f"unix://{data_dir}/no-engine.sock")
    levels = {check.name: check.level for check in await doctor.run(settings)}
    assert levels["engine"] == "fail"
    assert levels["database"] == "warn"
    assert not folder.exists()


async def test_a_database_at_head_is_green(data_dir: Path) -> None:
    settings = Settings(data_dir=data_dir, spawner="process")
    await schema.upgrade(settings.sqlalchemy_url)
    levels = {check.name: check.level for check in await doctor.run(settings)}
    assert levels["database"] == "ok"
