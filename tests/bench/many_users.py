"""`python -m tests.bench.many_users`: lists, hub start and memory with 50,000 users, 1,000 of them at work.

Fills a SQLite database of its own: users, 200 groups, 1,000 workspaces that run and a kernel in each. Their containers
and agents are simulated (tests/bench/simulated_hub.py). Prints one table. ``--keep FOLDER`` fills once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine, insert

from hub.auth.assemble import make_auth
from hub.config import Settings
from hub.domain.ids import new_id, new_uuid
from hub.domain.users import Role
from hub.store import schema, tables
from hub.store.engine import Store
from proxy.kit.clock import SystemClock

USERS, RUNNING, GROUPS = 50_000, 1_000, 200
NOW = datetime.now(UTC)
ROUNDS = 40
PAGINATED = {"Accept": "application/jupyterhub-pagination+json"}


def fill(settings: Settings) -> None:
    """The rows, in one transaction."""
    chance = random.Random(4)
    ids = [new_id() for _ in range(USERS)]
    engine = create_engine(settings.sqlalchemy_url.replace("+aiosqlite", ""))

    def user(number: int) -> dict[str, Any]:
        active = NOW - timedelta(minutes=chance.randrange(500_000)) if chance.random() < 0.8 else None
        names = {"name": f"student{number:05d}", "display_name": f"Student Number {number}"}
        times = {"created_at": NOW - timedelta(days=400), "last_activity_at": active}
        more = {"email": f"student{number:05d}@example.edu", "role": "user", "disabled_at": None, "removed_at": None}
        return {"id": ids[number], "number": number + 1, **names, **times, **more}

    group_ids = [new_id() for _ in range(GROUPS)]
    workspaces = [(new_id(), ids[number * (USERS // RUNNING)]) for number in range(RUNNING)]
    with engine.begin() as connection:
        numbers = [{"number": n + 1, "user_id": ids[n], "given_at": NOW} for n in range(USERS)]
        connection.execute(insert(tables.user_numbers), numbers)
        connection.execute(insert(tables.users), [user(number) for number in range(USERS)])
        connection.execute(
            insert(tables.groups),
            [{"id": group, "name": f"course{n:03d}", "created_at": NOW} for n, group in enumerate(group_ids)],
        )
        connection.execute(
            insert(tables.memberships),
            [
                {"group_id": group, "user_id": ids[number], "role": "owner" if number % 250 == 0 else "member"}
                for number in range(USERS)
                for group in {group_ids[number % GROUPS], group_ids[(number // 7) % GROUPS]}
            ],
        )
        connection.execute(
            insert(tables.workspaces),
            [
                {
                    **{"id": workspace, "user_id": owner, "profile": "datascience", "state": "running"},
                    **{"image": "kernelhub/datascience:latest", "memory_bytes": 2 * 1024**3, "cpus": 2.0, "pids": 512},
                    **{"container_id": new_id(), "started_at": NOW, "last_activity_at": NOW},
                }
                for workspace, owner in workspaces
            ],
        )
        connection.execute(
            insert(tables.kernels),
            [
                {
                    **{"id": new_uuid(), "workspace_id": workspace, "user_id": owner, "spec_name": "python3"},
                    **{"state": "idle", "started_at": NOW, "last_activity_at": NOW, "executions": 3},
                }
                for workspace, owner in workspaces
            ],
        )
    engine.dispose()


async def add_administrator(settings: Settings) -> str:
    """An administrator's token."""
    store = Store(settings.sqlalchemy_url)
    auth = make_auth(settings, store, SystemClock())
    try:
        user = await auth.users.add("root1", Role.ADMIN, "bench")
        return (await auth.tokens.create(user, "bench", timedelta(days=1), "bench"))[1]
    finally:
        await auth.close()
        await store.close()


class Serving:
    """``kernelhub hub`` alone, asked directly as its proxy asks it: what is measured is the server."""

    def __init__(self, data_dir: Path) -> None:
        self.port = 18_081
        environment = {**os.environ, "KERNELHUB_HUB_PORT": str(self.port), "KERNELHUB_RATE_LIMITS__REQUESTS": "0"}
        environment["KERNELHUB_RATE_LIMITS__REQUESTS_FROM_ADDRESS"] = "0"
        environment["KERNELHUB_DATA_DIR"] = str(data_dir)
        command = [sys.executable, "-m", "tests.bench.simulated_hub"]
        self.log = (data_dir / "hub.log").open("w")
        began = time.perf_counter()
        self.process = subprocess.Popen(command, env=environment, stdout=self.log, stderr=subprocess.STDOUT)
        while not self._ready():
            if self.process.poll() is not None:
                raise SystemExit((data_dir / "hub.log").read_text()[-3000:])
            time.sleep(0.01)
        self.start_seconds = time.perf_counter() - began
        self.internal = (data_dir / "internal-token").read_text().strip()

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def resident_mb(self) -> float:
        """What the hub's process holds."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 1024**2

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


def ask(hub: Serving, token: str, path: str, **headers: str) -> tuple[float, int]:
    """Milliseconds at the server for one page, as its own answer's time, and the bytes of it."""
    sent = {"Authorization": f"token {token}", "X-Kernelhub-Internal": hub.internal, **headers}
    request = urllib.request.Request(f"http://127.0.0.1:{hub.port}{path}", headers=sent)
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as answer:
        size = len(answer.read())
    return (time.perf_counter() - began) * 1000, size


CALLS: dict[str, tuple[str, float]] = {
    "list, first page of 50": ("/hub/api/users", 50),
    "list, page of 200 in the middle": ("/hub/api/users?limit=200&offset=25000", 50),
    "list, last page": ("/hub/api/users?offset=49990", 50),
    "list, name_filter in the middle of names": ("/hub/api/users?name_filter=t4999", 50),
    "list, state=ready": ("/hub/api/users?state=ready", 50),
    "list, state=inactive": ("/hub/api/users?state=inactive", 50),
    "list, sort=-last_activity": ("/hub/api/users?sort=-last_activity", 50),
    "one user": ("/hub/api/users/student00000", 50),
    "groups, page of 50 with their members": ("/hub/api/groups", 150),
}
"""What is asked, and in how many milliseconds it is to be answered. PERF adds the dashboard's pages."""


def measured(hub: Serving, token: str) -> list[tuple[str, str, str]]:
    """A row for each call. On a machine that does other things as well the fastest says most."""
    rows = []
    for name, (path, most) in CALLS.items():
        ask(hub, token, path, **PAGINATED)
        times = [ask(hub, token, path, **PAGINATED) for _ in range(ROUNDS)]
        each = sorted(milliseconds for milliseconds, _ in times)
        shown = f"{each[0]:.1f} | {statistics.median(each):.1f} | {each[int(len(each) * 0.95)]:.1f} ms"
        rows.append((f"{name}, {times[0][1] // 1024} kB", shown, f"{most:.0f} ms"))
    return rows


def run(keep: Path | None, show: Callable[[Table], None]) -> None:
    """Fill, measure, print."""
    data_dir = keep or Path(tempfile.mkdtemp(prefix="kh-many-", dir="/tmp"))
    settings = Settings(data_dir=data_dir)
    try:
        if not (data_dir / "kernelhub.db").exists():
            data_dir.mkdir(parents=True, exist_ok=True)
            asyncio.run(schema.upgrade(settings.sqlalchemy_url))
            fill(settings)
            token = asyncio.run(add_administrator(settings))
            (data_dir / "bench-token").write_text(token)
        token = (data_dir / "bench-token").read_text()
        hub = Serving(data_dir)
        try:
            at_start = hub.resident_mb()
            rows = measured(hub, token)
            rows.append(("start of the hub until it is ready", f"{hub.start_seconds:.2f} s", "2 s"))
            rows.append(("resident memory, at start", f"{at_start:.0f} MB", "200 MB"))
            rows.append(("resident memory, after all calls", f"{hub.resident_mb():.0f} MB", "200 MB"))
        finally:
            hub.close()
    finally:
        if keep is None:
            shutil.rmtree(data_dir, ignore_errors=True)
    table = Table(f"measured with {USERS:,} users, {RUNNING:,} workspaces", "fastest | median | 95 %", "to reach")
    for row in rows:
        table.add_row(*row)
    show(table)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Measure a hub with many users.")
    parser.add_argument("--keep", type=Path, help="Folder to fill once and to use again.")
    run(parser.parse_args().keep, Console(width=110, highlight=False).print)


if __name__ == "__main__":
    main()
