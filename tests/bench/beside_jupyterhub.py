"""JupyterHub's figures for `tests.bench.many_users`, taken by an interpreter of its own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
MINUTES = 20.0


def compared(python: Path, rounds: int, folder: Path | None = None) -> list[tuple[str, ...]]:
    """Rows of JupyterHub's calls; one that says so where the interpreter has no `jupyterhub`.

    `folder` keeps its database for the next time; None: it is made and thrown away.
    """
    known = subprocess.run([python, "-c", "import jupyterhub"], capture_output=True, check=False)
    if known.returncode != 0:
        return [(f"JupyterHub is not installed for {python.name}: nothing to compare with",)]
    with tempfile.TemporaryDirectory(prefix="kh-jh-", dir="/tmp") as made:
        where = folder or Path(made)
        where.mkdir(parents=True, exist_ok=True)
        command = [python.absolute(), "-m", "tests.bench.jupyterhub_many_users", str(rounds)]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(
            command, cwd=where, env=environment, capture_output=True, text=True, timeout=MINUTES * 60, check=False
        )
    if done.returncode != 0:
        return [("JupyterHub was not measured", done.stderr[-300:].strip())]
    return _rows(json.loads(done.stdout.splitlines()[-1]))


def _rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    wall, cpu = found["start"]
    at_start, after = found["memory"]
    rows: list[tuple[str, ...]] = [
        (f"[bold]JupyterHub {found['version']}, the same number of users and servers, SQLite",),
        ("start of its hub until it is ready", f"{wall:.2f} s", f"{cpu:.2f} s"),
        ("resident memory", f"{at_start:.0f} MB at start, {after:.0f} MB after all calls"),
    ]
    for name, call in found["calls"].items():
        if "problem" in call:
            rows.append((name, call["problem"][:60]))
            continue
        walls = sorted(cost[0] for cost in call["costs"])
        spread = f"{walls[0]:.1f} | {statistics.median(walls):.1f} | {walls[int(len(walls) * 0.95)]:.1f} ms"
        worked = statistics.median(cost[1] for cost in call["costs"])
        rows.append((name, spread, f"{worked:.1f} ms", f"{call['costs'][0][2] / 1024:.0f} kB"))
    return rows
