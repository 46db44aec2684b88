"""`make bench`: what a user waits for, and what a user costs, measured on a whole hub with real containers.

Prints one table. Everything is measured in one run on one machine; docs/explanation/performance.md keeps it with
the machine's description.
"""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from tests.bench import browser_open, tabs
from tests.bench.bare import BareKernel
from tests.bench.memory import resident_mb, tree_mb
from tests.harness.client import HubClient, text_of
from tests.harness.containers import engine_answers
from tests.harness.running import RunningHub, eventually

PASSWORD = "seven otters juggle lanterns"
ROUNDS = 5
TRIPS = 200
TEN = 10
IDLE_USERS = 100

Row = tuple[str, str, str]


async def first_output(hub: RunningHub, name: str) -> float:
    """Seconds from the click on "Sign in" to the first output of a cell."""
    async with HubClient(hub.address, name) as client:
        form = await client.open_form()
        began = time.perf_counter()
        await client.send_form(form, PASSWORD)
        session = await client.start_session()
        async with client.kernel(session["kernel"]["id"]) as kernel:
            assert text_of(await kernel.execute("print('first')")) == "first\n"
        return time.perf_counter() - began


async def cold_starts(hub: RunningHub) -> list[float]:
    """First outputs of users whose container does not run."""
    return [await first_output(hub, f"cold{number}") for number in range(ROUNDS)]


async def warm_starts(hub: RunningHub) -> list[float]:
    """First outputs of a user whose container runs, with its spare kernel started."""
    times = []
    for number in range(ROUNDS):
        async with HubClient(hub.address, "warm") as client:
            await client.sign_in(PASSWORD)
            for session in (await client.request("GET", "api/sessions"))[1]:
                await client.request("DELETE", f"api/sessions/{session['id']}")
        if number == 0:
            await first_output(hub, "warm")
            async with HubClient(hub.address, "warm") as client:
                await client.sign_in(PASSWORD)
                for session in (await client.request("GET", "api/sessions"))[1]:
                    await client.request("DELETE", f"api/sessions/{session['id']}")
        await asyncio.sleep(12)  # the next spare kernel is started once the container has been quiet for 8 s
        times.append(await first_output(hub, "warm"))
    return times


async def round_trips(hub: RunningHub) -> tuple[list[float], list[float]]:
    """Seconds of execute round trips on the bare sockets and through the proxy, of one kernel, by turns."""
    async with HubClient(hub.address, "warm") as client:
        await client.sign_in(PASSWORD)
        session = await client.start_session("trips.ipynb")
        kernel_id = session["kernel"]["id"]
        bare_times, proxy_times = [], []
        async with client.kernel(kernel_id) as through_proxy:
            await through_proxy.execute("0")
            run_folder = next((hub.data_dir / "run").glob(f"*/{kernel_id}-1")).parent
            bare = await BareKernel.open(run_folder, kernel_id)
            try:
                for _ in range(TRIPS):
                    began = time.perf_counter()
                    await bare.execute("1")
                    bare_times.append(time.perf_counter() - began)
                    began = time.perf_counter()
                    await through_proxy.execute("1")
                    proxy_times.append(time.perf_counter() - began)
            finally:
                await bare.close()
        await client.request("DELETE", f"api/sessions/{session['id']}")
    return bare_times, proxy_times


async def sign_in_only(hub: RunningHub, names: list[str]) -> None:
    """Users who sign in, open JupyterLab's page and files, and run nothing."""
    for name in names:
        async with HubClient(hub.address, name) as client:
            await client.sign_in(PASSWORD)
            await client.request("GET", "api/contents")
            await client.request("GET", "api/sessions")


def add_users(hub: RunningHub, names: list[str]) -> None:
    """Add users with one password, several commands at once."""
    for start in range(0, len(names), 4):
        commands = [
            subprocess.Popen(
                [sys.executable, "-m", "hub.cli", "user", "add", name, "--password-stdin", *hub.data_dir_flag],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
            )
            for name in names[start : start + 4]
        ]
        for command in commands:
            command.communicate(PASSWORD)
            assert command.returncode == 0


def timed(work: Callable[[], None]) -> float:
    """Seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def container_row(hub: RunningHub) -> Row:
    """Resident memory of a container with one kernel and no spare."""

    async def measure() -> float:
        async with HubClient(hub.address, "lean") as client:
            await client.sign_in(PASSWORD)
            session = await client.start_session()
            async with client.kernel(session["kernel"]["id"]) as kernel:
                await kernel.execute("1")
            run_folder = next((hub.data_dir / "run").glob(f"*/{session['kernel']['id']}-1")).parent
            return tree_mb(run_folder)

    return "container with one kernel, no spare, resident", f"{asyncio.run(measure()):.0f} MB", "60 MB"


def lean_rows() -> list[Row]:
    """What a user costs, on a hub without spare kernels and that starts containers only with a kernel."""
    environment = {
        "KERNELHUB_START_WORKSPACE": "kernel",
        "KERNELHUB_PROFILES__DATASCIENCE__SPARE_KERNELS": "0",
    }
    hub = RunningHub("docker", environment)
    try:
        hub.start()
        names = [f"idle{number}" for number in range(IDLE_USERS)]
        warm_up = [f"first{number}" for number in range(30)]
        add_users(hub, ["lean", *warm_up, *names])
        asyncio.run(sign_in_only(hub, warm_up))
        before = resident_mb(hub.child("hub"))
        asyncio.run(sign_in_only(hub, names))
        after = resident_mb(hub.child("hub"))
        each = (after - before) / IDLE_USERS
        return [
            (f"a signed-in user without kernel, in the hub (of {IDLE_USERS})", f"{each:.3f} MB", "0.2 MB"),
            container_row(hub),
        ]
    finally:
        hub.remove()


def main_rows(hub: RunningHub) -> list[Row]:
    """What people wait for."""
    hub.start()
    hub.stop()
    ready = statistics.median([_start_seconds(hub) for _ in range(3)])
    rest = (resident_mb(hub.child("hub")), resident_mb(hub.child("proxy")))
    add_users(hub, ["warm", *(f"cold{n}" for n in range(ROUNDS)), *(f"ten{n}" for n in range(TEN))])
    cold = asyncio.run(cold_starts(hub))
    warm = asyncio.run(warm_starts(hub))
    bare, proxied = asyncio.run(round_trips(hub))

    async def ten() -> list[float]:
        return await asyncio.gather(*(first_output(hub, f"ten{number}") for number in range(TEN)))

    crowd = asyncio.run(ten())
    extra = statistics.median(proxied) - statistics.median(bare)
    return [
        ("start of the hub's process to ready", f"{ready:.2f} s", "2 s"),
        ("sign-in to first output, container not running", _spread(cold), "1.5 s"),
        ("sign-in to first output, container running", _spread(warm), "0.3 s"),
        (f"the same for {TEN} users at once, not running: the last", f"{max(crowd):.2f} s", "12 s"),
        ("execute round trip, bare sockets", f"{statistics.median(bare) * 1000:.2f} ms", ""),
        ("execute round trip through the proxy", f"{statistics.median(proxied) * 1000:.2f} ms", ""),
        ("  the proxy adds", f"{extra * 1000:.2f} ms", "1 ms"),
        ("hub at rest, resident", f"{rest[0]:.0f} MB", "150 MB"),
        ("proxy at rest, resident", f"{rest[1]:.0f} MB", ""),
    ]


def _start_seconds(hub: RunningHub) -> float:
    """Seconds from the start of a hub's process to its readiness, by killing it and letting it come back."""
    if not hub.is_running():
        hub.start()
    old = hub.child("hub")
    old.kill()
    old.wait(10)
    new = eventually(lambda: hub.find_child("hub", other_than=old.pid), 20.0, "a new hub")
    eventually(hub.is_ready, 20.0, "readiness")
    return time.time() - new.create_time()


def _spread(times: list[float]) -> str:
    return f"{statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})"


def machine() -> str:
    """The machine, in one line."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    memory = psutil.virtual_memory().total / 1024**3
    engine = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True
    ).stdout.strip()
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, Linux {platform.release()}, Python "
        f"{platform.python_version()}, Docker Engine {engine}; load before the run {os.getloadavg()[0]:.2f}"
    )


def main() -> None:
    """Measure and print."""
    if not engine_answers():
        raise SystemExit("make bench needs a Docker Engine; `bash tests/prepare.sh` installs and starts one.")
    console = Console(width=120, highlight=False)
    console.print(machine())
    hub = RunningHub("docker", {"KERNELHUB_CONCURRENT_STARTS": "4"})
    try:
        rows = main_rows(hub)
    finally:
        hub.remove()
    rows += lean_rows()
    rows += tabs.rows()
    rows += browser_open.rows()
    table = Table("measured", "value", "to reach")
    for row in rows:
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
