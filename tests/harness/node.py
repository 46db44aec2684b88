"""Real Jupyter clients from npm: the scripts of ``tests/clients/node``, and what they report."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import msgspec

from tests.conftest import missing
from tests.harness.accounts import Account
from tests.harness.running import RunningHub

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "tests" / "clients" / "node"
PACKAGES = ROOT / ".cache" / "node" / "node_modules"
SCRIPT_SECONDS = 180.0


class Check(msgspec.Struct, frozen=True):
    """One line of a script: what was checked, and what was wrong if it is not `ok`."""

    name: str
    ok: bool
    ms: int
    error: str | None = None


@dataclass(frozen=True)
class Report:
    """What a script said."""

    checks: list[Check]
    status: int
    stderr: str

    def __str__(self) -> str:
        lines = [f"{'ok    ' if each.ok else 'FAILED'} {each.name} ({each.ms} ms)" for each in self.checks]
        reasons = [f"\n{each.name}:\n{each.error}" for each in self.checks if not each.ok]
        return "\n".join([*lines, *reasons, f"exit status {self.status}", self.stderr[-2000:]])

    @property
    def is_good(self) -> bool:
        """Whether all checks passed, and there were any besides the preparation."""
        return self.status == 0 and len(self.checks) > 2 and all(each.ok for each in self.checks)


def run_script(name: str, hub: RunningHub, account: Account, **credentials: str) -> Report:
    """Run ``<name>.js`` against a hub with `credentials`: ``token``, ``password``, or both."""
    if which("node") is None or not (PACKAGES / "@jupyterlab" / "services").is_dir():
        missing("Node with the packages of tests/clients/node", "bash tests/prepare.sh")
    environment = {
        "PATH": os.environ["PATH"],
        "NODE_PATH": str(PACKAGES),
        "KERNELHUB_ADDRESS": hub.address,
        "KERNELHUB_USER": account.name,
        **{f"KERNELHUB_{key.upper()}": value for key, value in credentials.items()},
    }
    done = subprocess.run(
        ["node", str(SCRIPTS / f"{name}.js")], capture_output=True, text=True, env=environment, timeout=SCRIPT_SECONDS
    )
    checks = [msgspec.json.decode(line, type=Check) for line in done.stdout.splitlines()]
    return Report(checks, done.returncode, done.stderr)
