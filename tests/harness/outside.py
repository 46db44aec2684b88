"""Programs outside the browser on somebody's own machine: their Jupyter folders, ``kernelhub attach``, consoles."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pexpect
from jupyter_client import BlockingKernelClient

from tests.harness.accounts import Account
from tests.harness.running import RunningHub, eventually

SECONDS = 30
ATTACH = (sys.executable, "-m", "hub.cli", "attach")
CONSOLE = (sys.executable, "-m", "jupyter_console")


@dataclass(frozen=True)
class Laptop:
    """A place with Jupyter folders of its own, and the hub's address and token in the environment."""

    folder: Path
    hub: RunningHub
    account: Account

    @property
    def environment(self) -> dict[str, str]:
        """What programs there are started with."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "KERNELHUB"))}
        return {
            **kept,
            "KERNELHUB_URL": f"{self.hub.address}/user/{self.account.name}/",
            "KERNELHUB_TOKEN": self.account.token,
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
            "JUPYTER_DATA_DIR": str(self.folder / "data"),
            "JUPYTER_CONFIG_DIR": str(self.folder / "config"),
            "IPYTHONDIR": str(self.folder / "ipython"),
            "HOME": str(self.folder),
            "TERM": "xterm",
            "PROMPT_TOOLKIT_NO_CPR": "1",
        }

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; standard output and error are kept."""
        done = subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def attach(self, *flags: str) -> subprocess.CompletedProcess[str]:
        """Run ``kernelhub attach`` where it ends by itself."""
        return self.run(*ATTACH, *flags, check=False)

    @contextmanager
    def attached(self, *flags: str) -> Iterator[Attached]:
        """``kernelhub attach`` for a block; it ends by Ctrl-C."""
        log = self.folder / f"attach-{len(list(self.folder.glob('attach-*')))}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [*ATTACH, *flags], env=self.environment, stderr=output, start_new_session=True, cwd=self.folder
            )
        try:
            attached = Attached(process, log)
            assert eventually(lambda: "`exit` ends" in attached.said() or process.poll() is not None), "nothing said"
            yield attached
        finally:
            process.terminate()
            process.wait(SECONDS)

    @contextmanager
    def terminal(self, *command: str) -> Iterator[Terminal]:
        """A program at a terminal for a block."""
        child = pexpect.spawn(
            command[0],
            list(command[1:]),
            env=self.environment,
            cwd=str(self.folder),
            encoding="utf-8",
            timeout=SECONDS,
            dimensions=(50, 160),
        )
        try:
            yield Terminal(child)
        finally:
            child.close(force=True)


class Attached:
    """A running ``kernelhub attach`` and its connection file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def said(self) -> str:
        """What it has printed so far."""
        return self._log.read_text()

    @property
    def file(self) -> Path:
        """The connection file."""
        found = re.search(r"^  (/.+\.json)$", self.said(), re.MULTILINE)
        assert found is not None, self.said()
        return Path(found[1])

    @contextmanager
    def client(self) -> Iterator[BlockingKernelClient]:
        """A ZeroMQ client of its own, ready."""
        client = BlockingKernelClient(connection_file=str(self.file))
        client.load_connection_file()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=SECONDS)
            yield client
        finally:
            client.stop_channels()


class Terminal:
    """A program at a terminal, such as ``jupyter console``."""

    def __init__(self, child: pexpect.spawn[str]) -> None:
        self.child = child

    def wait_for_prompt(self, number: int | None = None) -> None:
        """Wait for ``In [number]:``, any number without."""
        self.child.expect(rf"In \[\S*?m?{number or ''}\d*\x1b\S*\]: ")

    def type(self, text: str) -> None:
        """Type a line and Enter."""
        self.child.send(f"{text}\r")

    def see(self, text: str) -> None:
        """Wait until `text` is shown."""
        self.child.expect_exact(text)

    def run(self, code: str, expected: str) -> None:
        """Type a line, wait for what it prints and for the next prompt. `expected` must not stand in `code`."""
        assert expected not in code
        self.type(code)
        self.see(expected)
        self.wait_for_prompt()

    def press_ctrl_c(self) -> None:
        """Ctrl-C."""
        self.child.sendintr()

    def press_ctrl_d(self) -> None:
        """Ctrl-D."""
        self.child.sendeof()

    def wait_for_end(self) -> int:
        """Wait until the program has ended; gives its exit status."""
        self.child.expect(pexpect.EOF)
        self.child.close()
        status: int = self.child.exitstatus
        return status
