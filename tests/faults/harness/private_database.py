"""A PostgreSQL server of a test's own, which may be killed, frozen and locked."""

from __future__ import annotations

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

from tests.conftest import SERVER_SECONDS, PostgresServer, missing


class PrivateDatabase(PostgresServer):
    """A cluster that is made once and started as often as wanted. Unlike the tests' fast one it is told to sync."""

    process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> dict[str, str]:
        """What a hub on it is started with."""
        return {"KERNELHUB_DATABASE_URL": f"postgresql://hub@/kernelhub?host={self.folder}"}

    def make(self) -> None:
        """Make the cluster, start the server and add an empty database."""
        command: list[str | Path] = [
            self.programs / "initdb",
            "-D",
            self.folder / "cluster",
            "-U",
            "hub",
            "-A",
            "trust",
        ]
        command += ["-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        subprocess.run(command, **self.user, cwd=self.folder, capture_output=True, check=True, timeout=SERVER_SECONDS)
        self.start()
        self.sql("CREATE DATABASE kernelhub")

    def start(self) -> None:
        """Start the server, after a kill too, and wait until it answers."""
        command: list[str | Path] = ["setpriv", "--pdeathsig", "QUIT", self.programs / "postgres"]
        command += ["-D", self.folder / "cluster", "-k", self.folder, "-clisten_addresses="]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, **self.user, cwd=self.folder, stdout=log, stderr=log)
        ready: list[str | Path] = [self.programs / "pg_isready", "-q", "-h", self.folder]
        deadline = time.monotonic() + SERVER_SECONDS
        while subprocess.run(ready, check=False).returncode != 0:
            assert time.monotonic() < deadline, (self.folder / "log").read_text(errors="replace")[-2000:]
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL to the server and everything that it started."""
        for process in self._all():
            process.kill()
        assert self.process is not None
        self.process.wait(SERVER_SECONDS)

    def end_connections(self) -> None:
        """End everybody's connections, as an administrator's ``pg_terminate_backend`` does."""
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'kernelhub'")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """SIGSTOP to all of it for a block: connections stay, nothing is answered."""
        frozen = self._all()
        for process in frozen:
            os.kill(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in frozen:
                os.kill(process.pid, signal.SIGCONT)

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Somebody holds a lock on a table, so that nobody can even read it."""
        command = [str(self.programs / "psql"), "-h", str(self.folder), "-X", "-q", "-U", "hub", "-d", "kernelhub"]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert holder.stdin is not None and holder.stdout is not None
        holder.stdin.write(f"BEGIN;\nLOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;\n\\echo locked\n")
        holder.stdin.flush()
        assert holder.stdout.readline().strip() == "locked"
        try:
            yield
        finally:
            holder.stdin.write("ROLLBACK;\n\\q\n")
            holder.stdin.close()
            holder.wait(SERVER_SECONDS)
            holder.stdout.close()

    def _all(self) -> list[psutil.Process]:
        assert self.process is not None
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]


@contextmanager
def private_database() -> Iterator[PrivateDatabase]:
    """A server for a block."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        missing("PostgreSQL", "run `apt-get install postgresql`")
    folder = Path(tempfile.mkdtemp(prefix="kh-pg-", dir="/tmp"))
    server = PrivateDatabase(found[-1].parent, folder)
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        server.user = {"user": "postgres", "group": "postgres", "extra_groups": []}
    try:
        server.make()
        yield server
    finally:
        if server.process is not None:
            server.process.send_signal(signal.SIGQUIT)
            server.process.wait(SERVER_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)
