"""A whole hub with real containers and a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.conftest import missing
from tests.harness.browser import CHROMIUM, Person, chromium
from tests.harness.containers import engine_answers
from tests.harness.running import RunningHub, running_hub

ADMIN_PASSWORD = "seven otters juggle lanterns"


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    """A hub with the docker spawner."""
    if not engine_answers():
        missing("a Docker Engine", "bash tests/prepare.sh")
    with running_hub("docker") as hub:
        yield hub


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a module; each person has windows and cookies of their own."""
    if not CHROMIUM.exists():
        missing("Chromium", "bash tests/prepare.sh")
    with chromium() as browser:
        yield browser


@pytest.fixture
def person(hub: RunningHub, browser: Browser) -> Iterator[Callable[[str], Person]]:
    """Makes people at browsers of their own; their windows are closed at the end."""
    people: list[Person] = []

    def make(name: str) -> Person:
        people.append(Person(browser, hub.address, name))
        return people[-1]

    yield make
    for someone in people:
        someone.close()
