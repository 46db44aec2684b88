"""What the tests of front ends share: a browser for each module, in which persons have windows of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.conftest import missing
from tests.harness.browser import CHROMIUM, chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        missing("Chromium", "bash tests/prepare.sh")
    with chromium() as browser:
        yield browser
