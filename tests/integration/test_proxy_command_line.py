"""``kernelhub proxy`` where it cannot listen: it says where, and which setting that is."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("taken", ["port", "metrics_port"])
def test_a_port_that_is_taken_is_named_with_its_setting(tmp_path: Path, taken: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.1", 0)) as free:
        ports = {"port": free.getsockname()[1], "metrics_port": free.getsockname()[1]}
        number = ports[taken] = other.getsockname()[1]
        free.close()
        ended = subprocess.run(
            [sys.executable, "-m", "hub.cli", "proxy", "--data-dir", str(tmp_path)],
            env={"KERNELHUB_PORT": str(ports["port"]), "KERNELHUB_METRICS_PORT": str(ports["metrics_port"])},
            capture_output=True,
            text=True,
            timeout=60,
        )
    setting = " (metrics_port)" if taken == "metrics_port" else ""
    said = f"it cannot listen on 127.0.0.1:{number}{setting}: Address already in use."
    assert said in ended.stderr, ended.stderr
    assert ended.returncode != 0
