"""How large the cases are: short within ``make test``, full with ``make faults`` (which sets ``FAULTS=full``)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.faults.harness.sizes import is_full
from tests.harness.running import RunningHub, running_hub


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes is left out of the short form, and is said to be."""
    if is_full():
        return
    here = Path(__file__).parent
    for item in items:
        marker = item.get_closest_marker("full_only")
        if marker is not None and here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=f"only with `make faults`: {marker.args[0]}"))


_shared: list[RunningHub] = []


@pytest.fixture(scope="module")
def hub(request: pytest.FixtureRequest) -> Iterator[RunningHub]:
    """A hub with the process spawner: the module's own if it has an ``ENVIRONMENT``, else one that modules share."""
    if environment := getattr(request.module, "ENVIRONMENT", None):
        with running_hub("process", environment) as hub:
            yield hub
        return
    if not _shared:
        _shared.append(RunningHub("process"))
        _shared[0].start()
    yield _shared[0]


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """The shared hub ends with the last test here."""
    here = Path(__file__).parent
    if _shared and (nextitem is None or here not in nextitem.path.parents):
        _shared.pop().remove()


@pytest.fixture
def as_root() -> None:
    """Skip (in CI: fail) where the tests are not root."""
    if os.geteuid() != 0:
        missing("root", "run the tests as root: the case mounts a file system or starts a container engine")


def require(program: str, package: str) -> str:
    """The path of a program. Skips, or fails in CI, where it is missing."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if found is None:
        missing(program, f"apt-get install {package}")
    return found
