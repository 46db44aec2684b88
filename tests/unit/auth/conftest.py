"""Authentication over a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.auth.assemble import Auth, make_auth
from hub.config import Settings
from hub.store.engine import Store
from proxy.kit.clock import ManualClock


@pytest.fixture
async def auth(store: Store, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Auth]:
    """All of hub.auth with default settings."""
    made = make_auth(Settings(data_dir=tmp_path), store, clock)
    yield made
    await made.close()
