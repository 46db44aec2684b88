"""Facts about the machine's container engine, for tests."""

from __future__ import annotations

import shutil
import subprocess

PROBE = "kernelhub-probe-"


def engine_answers() -> bool:
    """Whether a Docker Engine answers."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, timeout=30).returncode == 0


def containers(label: str) -> list[str]:
    """Ids of users' running containers with the label: ``kernelhub=<hub id>`` for those of one hub."""
    return [container for container, name in _running(label) if not name.startswith(PROBE)]


def probes(label: str) -> list[str]:
    """Names of the running containers that only ask an image for its kernels."""
    return [name for _, name in _running(label) if name.startswith(PROBE)]


def _running(label: str) -> list[tuple[str, str]]:
    command = ["docker", "ps", "--no-trunc", "--filter", f"label={label}", "--format", "{{.ID}} {{.Names}}"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [(container, name) for container, _, name in (line.partition(" ") for line in lines)]
