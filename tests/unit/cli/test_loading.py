"""What a hub loads before it serves: a hub that was killed is away for as long as that takes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from hub.errors import REFUSED_TO_START

LATER = ("aiohttp", "authlib", "joserfc", "jsonschema", "nbformat", "nbstripout", "webauthn", "yaml")
"""Heavy, and needed by nobody in a hub's first second, or only where providers or platforms are configured."""


def test_a_hub_loads_no_library_that_it_may_never_need() -> None:
    code = f"import sys, hub.cli.run_hub; print([name for name in {LATER} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_a_command_is_loaded_without_a_search_for_garbage_and_collects_afterwards() -> None:
    code = "import gc, hub.cli; hub.cli._load('hub.cli.audit');print(gc.isenabled(), gc.get_freeze_count() > 1000)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["True", "True"]


def test_a_hub_that_is_loaded_waits_until_its_supervisor_lets_it_begin(tmp_path: Path) -> None:
    """The database is brought up to date meanwhile: before that it is not touched."""
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "hub.cli", "hub", "--data-dir", str(tmp_path / "data"), "--begin-fd", str(reading)]
    hub = subprocess.Popen(command, pass_fds=[reading], stderr=subprocess.PIPE, text=True)
    os.close(reading)
    try:
        assert hub.stderr is not None
        time.sleep(1.5)  # it has no way to do what it must not: that nothing happens is what is looked at
        assert hub.poll() is None and not (tmp_path / "data").exists()
        os.close(writing)
        assert "kernelhub db upgrade" in hub.stderr.read()
        assert hub.wait(20) == REFUSED_TO_START
    finally:
        hub.kill()
        hub.wait(10)
        hub.stderr.close()
