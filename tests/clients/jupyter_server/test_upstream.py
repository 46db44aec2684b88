"""jupyter_server's own tests, from its source package, run against a hub at its address.

What is expected to fail, and why, is in `expected`; a test that is named there and passes fails the run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.clients.jupyter_server.expected import EXPECTED, FILES, VERSION
from tests.conftest import missing
from tests.harness.accounts import add_account
from tests.harness.running import running_hub

HERE = Path(__file__).parent
SOURCE = Path(__file__).parents[3] / ".cache" / "jupyter_server" / f"jupyter_server-{VERSION}.tar.gz"
RUN_SECONDS = 540.0
LEAST_PASSED = 190


def unpack(folder: Path) -> None:
    """Only the tests: the package itself is installed."""
    with tarfile.open(SOURCE) as archive:
        top = f"jupyter_server-{VERSION}/"
        for member in archive.getmembers():
            if member.name.startswith(f"{top}tests/"):
                member.name = member.name.removeprefix(top)
                archive.extract(member, folder, filter="data")


def test_the_hub_passes_jupyter_servers_own_tests(tmp_path: Path) -> None:
    if not SOURCE.exists():
        missing(f"the source of jupyter_server {VERSION}", "bash tests/prepare.sh")
    unpack(tmp_path)
    with running_hub("process") as hub:
        ada = add_account(hub, "ada")
        ada.home.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "PYTHONPATH": str(HERE),
            "KERNELHUB_ADDRESS": hub.address,
            "KERNELHUB_BASE": f"/user/{ada.name}/",
            "KERNELHUB_TOKEN": ada.token,
            "KERNELHUB_HOME": str(ada.home),
            "KERNELHUB_WHOLE": "yes",
        }
        command = [sys.executable, "-m", "pytest", "-c", str(HERE / "upstream.ini"), "--rootdir", str(tmp_path)]
        command += ["-q", "--tb=short", *(f"tests/{name}" for name in FILES)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=RUN_SECONDS
        )
    said = done.stdout[-20_000:] + done.stderr[-4_000:]
    assert done.returncode == 0, said
    passed = re.search(r"(\d+) passed", said)
    assert passed is not None and int(passed[1]) >= LEAST_PASSED, said


def test_every_exception_has_a_reason_and_a_file_that_is_run() -> None:
    for name, reason in EXPECTED.items():
        assert name.partition("::")[0] in FILES, name
        assert len(reason) > 20, name
