"""A container engine of a test's own, which may be killed: the machine's is not touched.

It has its own data, sockets and containerd. It leaves the machine's network alone (`--iptables=false`, on the bridge
that is there): containers of these tests have no network. Its address is for `KERNELHUB_DOCKER_URL`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.conftest import missing

START_SECONDS = 60.0


class PrivateEngine:
    """A dockerd. With `live_restore` its containers go on while it is dead."""

    def __init__(self, folder: Path, *, live_restore: bool) -> None:
        self.folder = folder
        self._live_restore = live_restore
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"unix://{self.folder}/docker.sock"

    def start(self) -> None:
        """Start (again) and wait until it answers."""
        folder = self.folder
        (folder / "docker.pid").unlink(missing_ok=True)
        command = ["dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--host", self.url]
        command += ["--pidfile", f"{folder}/docker.pid", "--iptables=false", "--ip6tables=false", "--bridge=docker0"]
        command += ["--storage-driver=overlay2", f"--live-restore={str(self._live_restore).lower()}"]
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run(["docker", "-H", self.url, "info"], capture_output=True).returncode != 0:
            said = (folder / "log").read_text(errors="replace")[-2000:]
            assert self._process.poll() is None and time.monotonic() < deadline, f"the engine did not start: {said}"
            time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL to dockerd alone; containerd and the containers' shims are not asked."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        # The socket stays behind as a file: who connects is refused, as with the real one.

    def run(self, *arguments: str) -> str:
        """A command of ``docker`` on this engine; gives what it printed."""
        done = subprocess.run(["docker", "-H", self.url, *arguments], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def load(self, image: str) -> None:
        """Copy an image from the machine's engine."""
        saved = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE)
        subprocess.run(["docker", "-H", self.url, "load"], stdin=saved.stdout, check=True, capture_output=True)
        assert saved.wait(120) == 0

    def remove(self) -> None:
        """End it with its containers, and remove its files."""
        with contextlib.suppress(AssertionError, subprocess.SubprocessError):
            if self._process is None or self._process.poll() is not None:
                self.start()
            if found := self.run("ps", "-aq").split():
                self.run("rm", "-f", *found)
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)
        for process in psutil.process_iter(["cmdline"]):
            if any(str(self.folder) in part for part in process.info["cmdline"] or ()):
                process.kill()
        for mount in sorted(_mounts_beneath(self.folder), reverse=True):
            subprocess.run(["umount", "-l", mount], capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def _mounts_beneath(folder: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line.split()[1] for line in lines if line.split()[1].startswith(f"{folder}/")]


@contextmanager
def private_engine(*, live_restore: bool = True) -> Iterator[PrivateEngine]:
    """An engine for a block. Needs root and dockerd."""
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        missing("dockerd, as root", "apt-get install docker.io, and run the tests as root")
    folder = Path(tempfile.mkdtemp(prefix="kh-engine-", dir="/tmp"))
    engine = PrivateEngine(folder, live_restore=live_restore)
    try:
        engine.start()
        yield engine
    finally:
        engine.remove()
