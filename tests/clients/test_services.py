"""@jupyterlab/services, the library beneath JupyterLab and VS Code, drives a whole hub from Node.

Each script of ``tests/clients/node`` runs twice: as a program with an API token, and as a page with cookies and the
form token. A failure lists every check of the script by its name.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.accounts import Account, add_account
from tests.harness.node import run_script
from tests.harness.running import RunningHub, running_hub

AREAS = ["kernels", "sessions", "contents", "account", "terminals"]


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process") as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


@pytest.mark.parametrize("by", ["token", "password"])
@pytest.mark.parametrize("area", AREAS)
def test_the_library_can_use_all_of(hub: RunningHub, ada: Account, area: str, by: str) -> None:
    report = run_script(area, hub, ada, **{by: ada.token if by == "token" else ada.password})
    assert report.is_good, str(report)
