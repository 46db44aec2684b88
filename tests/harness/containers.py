"""Facts about the machine's container engine, for tests."""

from __future__ import annotations

import shutil
import subprocess


def engine_answers() -> bool:
    """Whether a Docker Engine answers."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, timeout=30).returncode == 0


def containers(label: str) -> list[str]:
    """Ids of the running containers with the label: ``kernelhub=<hub id>`` for those of one hub."""
    command = ["docker", "ps", "-q", "--no-trunc", "--filter", f"label={label}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
