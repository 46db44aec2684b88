"""`python -m tests.bench.many_users`: every dashboard page, lists, hub start and memory with 50,000 users.

Fills a database of its own (tests/bench/many_rows.py): 50,000 users, 1,000 workspaces that run with a kernel in each, a
group of 25,000, a year of 1,000 starts a day, a million lines of audit. Containers and agents are simulated
(tests/bench/simulated_hub.py). Prints one table.

``--keep FOLDER`` fills once; ``--postgresql URL`` takes an empty database there instead of SQLite; ``--jupyterhub
PYTHON`` measures JupyterHub's list and admin page in the same run, by an interpreter that has `jupyterhub`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from hub.auth.assemble import Auth, make_auth
from hub.config import Settings
from hub.domain.users import MemberRole, Role, User
from hub.store import schema
from hub.store.engine import Store
from proxy.kit.clock import SystemClock
from tests.bench.beside_jupyterhub import compared
from tests.bench.browsing import Browser, Cost, cpu_ms
from tests.bench.many_rows import LARGE, RUNNING, USERS, fill, person

PASSWORD = "seven otters juggle lanterns"
ADMINISTRATOR, TEACHER = "root1", "teacher1"
ROUNDS, STARTS = 25, 3
PAGE_MS, LIST_MS = 150.0, 50.0
SETTLE_SECONDS, CALM_MS = 90.0, 60.0
"""Longest wait for a hub that has just started, and how little it works in two seconds when it is done."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked for, and in how many milliseconds it is to be answered."""

    name: str
    path: str
    most: float = PAGE_MS
    fields: dict[str, str] | None = None
    first_event: bool = False


ROSTER = "username,email,group\n" + "".join(
    f"{person(number)},{person(number)}@example.edu,course{number % 7:03d}\n" for number in range(4_500, 9_500)
)
PAGES = (
    Call("Now", "/hub/admin"),
    Call("Now, busiest first", "/hub/admin?order=cpu&shown=all"),
    Call("Now, events' first message", "/hub/admin/now/events", first_event=True),
    Call("People", "/hub/admin/people"),
    Call("People, page 900", "/hub/admin/people?page=900"),
    Call("People, search", "/hub/admin/people?search=4999"),
    Call("People, search that finds nobody", "/hub/admin/people?search=zzzzzz"),
    Call("People, those of a group of 25,000", f"/hub/admin/people?group={LARGE}"),
    Call("People, with a running container", "/hub/admin/people?shown=running"),
    Call("People, who never came", "/hub/admin/people?shown=never"),
    Call("People, disabled", "/hub/admin/people?shown=disabled"),
    Call("People, last active first, page 500", "/hub/admin/people?order=activity&page=500"),
    Call("People, longest away first", "/hub/admin/people?order=quiet"),
    Call("People, newest first", "/hub/admin/people?order=new"),
    Call("People, removed", "/hub/admin/people/removed"),
    Call("a person", f"/hub/admin/users/{person(0)}"),
    Call("roster, form", "/hub/admin/people/import"),
    Call("roster, preview of 5,000 lines", "/hub/admin/people/import", fields={"text": ROSTER}),
    Call("Groups", "/hub/admin/groups"),
    Call("Groups, search", "/hub/admin/groups?search=course01"),
    Call("a group of 25,000", f"/hub/admin/groups/{LARGE}"),
    Call("a group of 25,000, page 240", f"/hub/admin/groups/{LARGE}?page=240"),
    Call("a group of 25,000, search", f"/hub/admin/groups/{LARGE}?search=t2499"),
    Call("History, 30 days", "/hub/admin/history"),
    Call("History, a year", "/hub/admin/history?days=365"),
    Call("Audit", "/hub/admin/audit"),
    Call("Audit, page in the middle", "/hub/admin/audit?before=500000"),
    Call("Audit, of a person", f"/hub/admin/audit?person={person(7)}"),
    Call("Audit, of a rare action", "/hub/admin/audit?action=token.created"),
    Call("Audit, of a noun", "/hub/admin/audit?action=sign_in."),
    Call("Audit, a text", "/hub/admin/audit?text=10.3.7"),
    Call("Audit, a text that is nowhere", "/hub/admin/audit?text=zzzzzz"),
    Call("Settings", "/hub/admin/settings"),
    Call("Profiles", "/hub/admin/profiles"),
    Call("Platforms", "/hub/admin/platforms"),
    Call("home", "/hub/home"),
    Call("tokens", "/hub/token"),
)
OWNERS_PAGES = (
    Call("Now, of a group of 25,000", "/hub/admin"),
    Call("People, of a group of 25,000", "/hub/admin/people"),
    Call("People, of a group of 25,000, search", "/hub/admin/people?search=1234"),
    Call("History, a year of a group of 25,000", "/hub/admin/history?days=365"),
)
LISTS = (
    Call("users, first page of 50", "/hub/api/users", LIST_MS),
    Call("users, page of 200 in the middle", "/hub/api/users?limit=200&offset=25000", LIST_MS),
    Call("users, last page", "/hub/api/users?offset=49990", LIST_MS),
    Call("users, name_filter in the middle of names", "/hub/api/users?name_filter=t4999", LIST_MS),
    Call("users, state=ready", "/hub/api/users?state=ready", LIST_MS),
    Call("users, state=inactive", "/hub/api/users?state=inactive", LIST_MS),
    Call("users, sort=-last_activity", "/hub/api/users?sort=-last_activity", LIST_MS),
    Call("one user", f"/hub/api/users/{person(0)}", LIST_MS),
    Call("groups, page of 50 with their members", "/hub/api/groups"),
    Call("history", "/hub/api/history"),
    Call("audit, page of 100", "/hub/api/audit?limit=100", LIST_MS),
)


async def prepare(settings: Settings) -> str:
    """Rows, an administrator, a teacher who owns the large group; gives the administrator's token."""
    await schema.upgrade(settings.sqlalchemy_url)
    await fill(settings.sqlalchemy_url)
    store, clock = Store(settings.sqlalchemy_url), SystemClock()
    auth = make_auth(settings, store, clock)
    try:
        administrator = await _add(auth, ADMINISTRATOR, Role.ADMIN)
        teacher = await _add(auth, TEACHER, Role.USER)
        async with store.unit() as unit:
            group = await unit.groups.find_by_name(LARGE)
            assert group is not None
            await unit.groups.add_member(group.id, teacher.id, MemberRole.OWNER)
        return (await auth.tokens.create(administrator, "bench", timedelta(days=90), "bench"))[1]
    finally:
        await auth.close()
        await store.close()


async def _add(auth: Auth, name: str, role: Role) -> User:
    user = await auth.users.add(name, role, "bench")
    await auth.passwords.set(user, PASSWORD, "bench")
    return user


class Serving:
    """``kernelhub hub`` alone, without its proxy: what is measured is the server."""

    def __init__(self, settings: Settings) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        environment = {**os.environ, "KERNELHUB_HUB_PORT": str(self.port), "KERNELHUB_START_WORKSPACE": "kernel"}
        environment |= {"KERNELHUB_DATA_DIR": str(settings.data_dir), "KERNELHUB_RATE_LIMITS__REQUESTS": "0"}
        environment |= {"KERNELHUB_RATE_LIMITS__REQUESTS_FROM_ADDRESS": "0"}
        if settings.database_url is not None:
            environment["KERNELHUB_DATABASE_URL"] = settings.database_url.get_secret_value()
        command = [sys.executable, "-m", "tests.bench.simulated_hub"]
        self.log = (settings.data_dir / "hub.log").open("w")
        began = time.perf_counter()
        self.process = subprocess.Popen(command, env=environment, stdout=self.log, stderr=subprocess.STDOUT)
        while not self._ready():
            if self.process.poll() is not None:
                raise SystemExit((settings.data_dir / "hub.log").read_text()[-3000:])
            time.sleep(0.01)
        self.start_wall, self.start_cpu = time.perf_counter() - began, cpu_ms(self.process.pid) / 1000
        self.internal = (settings.data_dir / "internal-token").read_text().strip()

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def browser(self, **headers: str) -> Browser:
        """A browser, or with a token a script."""
        return Browser(self.port, self.process.pid, {"X-Kernelhub-Internal": self.internal, **headers})

    def settle(self) -> None:
        """Wait until the history is read, which a hub does in the background after its start."""
        deadline, before = time.monotonic() + SETTLE_SECONDS, cpu_ms(self.process.pid)
        while time.monotonic() < deadline:
            time.sleep(2)
            now = cpu_ms(self.process.pid)
            if now - before < CALM_MS:
                return
            before = now

    def resident_mb(self) -> float:
        """What the hub's process holds."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 1024**2

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


Row = tuple[str, ...]


def measured(browser: Browser, calls: tuple[Call, ...], rounds: int) -> list[Row]:
    """A row for each call."""
    rows = []
    for call in calls:
        try:
            browser.cost(call.path, call.fields, first_event=call.first_event)
            costs = [browser.cost(call.path, call.fields, first_event=call.first_event) for _ in range(rounds)]
        except (RuntimeError, OSError) as error:
            browser.close()
            rows.append((call.name, str(error)[:60], "", "", f"{call.most:.0f} ms"))
            continue
        rows.append((call.name, *shown(costs), f"{call.most:.0f} ms"))
    return rows


def shown(costs: list[Cost]) -> tuple[str, str, str]:
    """Wall time, the server's processor time, and size. On a busy machine the fastest says most."""
    wall = sorted(cost.wall for cost in costs)
    cpu = statistics.median(cost.cpu for cost in costs)
    spread = f"{wall[0]:.1f} | {statistics.median(wall):.1f} | {wall[int(len(wall) * 0.95)]:.1f} ms"
    return spread, f"{cpu:.1f} ms", f"{costs[0].size // 1024} kB"


def starts(settings: Settings) -> Row:
    """How long the hub takes until it is ready."""
    found = []
    for _ in range(STARTS):
        hub = Serving(settings)
        found.append((hub.start_wall, hub.start_cpu))
        hub.close()
    wall = sorted(each for each, _ in found)
    spread = f"{wall[0]:.2f} | {statistics.median(wall):.2f} | {wall[-1]:.2f} s"
    return ("start of the hub until it is ready", spread, f"{min(cpu for _, cpu in found):.2f} s", "", "2 s")


def run(
    settings: Settings, rounds: int, jupyterhub: Path | None, show: Callable[[Table], None], *, keeps: bool
) -> None:
    """Fill, measure, print."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    kept = settings.data_dir / "bench-token"
    if not kept.exists():
        kept.write_text(asyncio.run(prepare(settings)))
    load = os.getloadavg()[0]
    rows = [starts(settings)]
    hub = Serving(settings)
    try:
        hub.settle()
        resident = [f"{hub.resident_mb():.0f} MB at start"]
        administrator, teacher = hub.browser(), hub.browser()
        script = hub.browser(Authorization=f"token {kept.read_text()}")
        administrator.sign_in(ADMINISTRATOR, PASSWORD)
        teacher.sign_in(TEACHER, PASSWORD)
        sections = {
            "pages, as an administrator": measured(administrator, PAGES, rounds),
            "pages, as the owner of a group": measured(teacher, OWNERS_PAGES, rounds),
            "REST API": measured(script, LISTS, rounds),
        }
        resident.append(f"{hub.resident_mb():.0f} MB after all calls")
        rows.append(("resident memory", ", ".join(resident), "", "", "200 MB"))
    finally:
        hub.close()
    database = "PostgreSQL" if settings.database_url is not None else "SQLite"
    loads = f"load {load:.1f} before, {os.getloadavg()[0]:.1f} after"
    title = f"{USERS:,} users, {RUNNING:,} workspaces, {database}; {loads}"
    table = Table(title, "wall: fastest | median | 95 %", "processor", "size", "to reach", box=None)
    for row in rows:
        table.add_row(*row)
    for name, section in sections.items():
        table.add_row(f"[bold]{name}")
        for row in section:
            table.add_row(*row)
    for row in (
        compared(jupyterhub, rounds, kept.parent / "jupyterhub" if keeps else None) if jupyterhub is not None else []
    ):
        table.add_row(*row)
    show(table)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Measure a hub with many users.")
    parser.add_argument("--keep", type=Path, help="Folder to fill once and to use again.")
    parser.add_argument("--postgresql", help="URL of an empty PostgreSQL database to use in place of SQLite.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="How often each page is asked for.")
    parser.add_argument("--jupyterhub", type=Path, help="An interpreter that has jupyterhub, to be measured as well.")
    given = parser.parse_args()
    data_dir = given.keep or Path(tempfile.mkdtemp(prefix="kh-many-", dir="/tmp"))
    settings = Settings(data_dir=data_dir, database_url=given.postgresql)
    try:
        run(
            settings,
            given.rounds,
            given.jupyterhub,
            Console(width=140, highlight=False).print,
            keeps=given.keep is not None,
        )
    finally:
        if given.keep is None:
            shutil.rmtree(data_dir, ignore_errors=True)


if __name__ == "__main__":
    main()
