"""A whole kernelhub, running as its users run it: ``kernelhub serve`` in a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")
READY_SECONDS = 60.0


def eventually(ask: Callable[[], T], seconds: float = 20.0, what: str = "the condition") -> T:
    """Ask until the answer is true, and give it. Raises AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come about within {seconds} s")
        time.sleep(0.02)


class RunningHub:
    """``kernelhub serve`` on a free port, with a data folder of its own that goes at the end."""

    def __init__(self, spawner: str, environment: dict[str, str] | None = None, data_dir: Path | None = None) -> None:
        self.spawner = spawner
        self.data_dir = data_dir or Path(tempfile.mkdtemp(prefix="kh-", dir="/tmp"))
        self.environment = {**os.environ, **(environment or {})}
        # As after an installation: else each start translates four hundred modules anew.
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.output: list[str] = []
        self.address = ""
        self.setup_link: str | None = None
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    def start(self, *flags: str) -> None:
        """Start and wait until it says that it is ready."""
        self.output.clear()
        command = [sys.executable, "-m", "hub.cli", "serve", "--data-dir", str(self.data_dir)]
        command += ["--port", str(self.port), "--spawner", self.spawner, *flags]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        ready = eventually(lambda: self._said(r"kernelhub is ready at (\S+?)/\n"), READY_SECONDS, "readiness")
        self.address = ready[1]
        self.port = int(self.address.rsplit(":", 1)[1])
        eventually(lambda: "Ctrl-C stops it" in "".join(self.output), 5.0, "the whole greeting")
        link = self._said(r"(http\S+/hub/setup/\S+)")
        self.setup_link = link[1] if link else None

    def stop(self, number: signal.Signals = signal.SIGINT) -> float:
        """Ctrl-C; gives the seconds that it took."""
        assert self._process is not None
        began = time.monotonic()
        self._process.send_signal(number)
        self._process.wait(90)
        self._process = None
        return time.monotonic() - began

    def cli(self, *arguments: str, input: str | None = None, check: bool = True) -> str:
        """Run a command of ``kernelhub`` on the same data folder; gives its standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "hub.cli", *arguments, "--data-dir", str(self.data_dir)],
            input=input,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=60,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"kernelhub {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout if check else done.stdout + done.stderr

    def child(self, name: str) -> psutil.Process:
        """The process of the ``hub`` or the ``proxy``."""
        assert self._process is not None
        for child in _children(self._process.pid):
            with contextlib.suppress(psutil.Error):
                if name in child.cmdline()[:5]:
                    return child
        raise AssertionError(f"there is no {name} process")

    @property
    def data_dir_flag(self) -> tuple[str, str]:
        """The flag that leads a command to this hub's data."""
        return "--data-dir", str(self.data_dir)

    @property
    def label(self) -> str:
        """The label that all containers of this hub carry."""
        return f"kernelhub={(self.data_dir / 'hub-id').read_text().strip()}"

    def find_child(self, name: str, other_than: int) -> psutil.Process | None:
        """The process of the ``hub`` or the ``proxy`` if there is one with another pid than `other_than`."""
        try:
            child = self.child(name)
        except AssertionError:
            return None
        return child if child.pid != other_than else None

    def wait_for_end(self, seconds: float = 30.0) -> int:
        """Until it has ended by itself; gives its exit status."""
        assert self._process is not None
        status = self._process.wait(seconds)
        self._process = None
        return status

    def is_running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._process is not None

    def kill(self, name: str) -> None:
        """SIGKILL to the hub or the proxy, and wait until another one has taken its place and is ready."""
        old = self.child(name)
        old.kill()
        old.wait(10)

        eventually(lambda: self.find_child(name, other_than=old.pid), 20.0, f"a new {name}")
        eventually(self.is_ready, 20.0, "readiness")

    def is_ready(self) -> bool:
        """Whether the public address answers that proxy and hub are ready."""
        try:
            with urllib.request.urlopen(f"{self.address}/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def log(self) -> str:
        """Everything that was printed so far."""
        return "".join(self.output)

    def remove(self) -> None:
        """Stop with all containers, and remove the data folder."""
        if self._process is not None:
            self.stop()
        with contextlib.suppress(Exception):
            self._stop_containers()
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def _stop_containers(self) -> None:
        if shutil.which("docker") and self.spawner == "docker":
            hub_id = (self.data_dir / "hub-id").read_text().strip()
            found = subprocess.run(
                ["docker", "ps", "-aq", "--filter", f"label=kernelhub={hub_id}"],
                capture_output=True,
                text=True,
            ).stdout.split()
            if found:
                subprocess.run(["docker", "rm", "-f", *found], capture_output=True)
            return
        agents = []
        for process in psutil.process_iter(["environ"]):
            environment = process.info["environ"] or {}
            if environment.get("KERNELHUB_RUN", "").startswith(f"{self.data_dir}/"):
                process.terminate()  # an agent that is asked to end takes its kernels along
                agents.append(process)
        for process in psutil.wait_procs(agents, timeout=8)[1]:
            process.kill()

    def _read(self) -> None:
        process = self._process
        assert process is not None and process.stdout is not None
        for line in process.stdout:
            self.output.append(line)

    def _said(self, pattern: str) -> re.Match[str] | None:
        text = "".join(self.output)
        if self._process is not None and self._process.poll() is not None and "ready at" not in text:
            raise AssertionError(f"kernelhub serve ended with {self._process.returncode}:\n{text}")
        return re.search(pattern, text)


def _children(pid: int) -> Iterator[psutil.Process]:
    """The children of a process, asked of that alone: to look through all is what a hub that starts would wait for."""
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            yield from [psutil.Process(int(number)) for number in file.read_text().split()]


@contextlib.contextmanager
def running_hub(spawner: str, environment: dict[str, str] | None = None) -> Iterator[RunningHub]:
    """A hub that runs for a block."""
    hub = RunningHub(spawner, environment)
    try:
        hub.start()
        yield hub
    except BaseException:
        sys.stderr.write(hub.log()[-8000:])
        raise
    finally:
        hub.remove()
