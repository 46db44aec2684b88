"""Resident memory, from /proc."""

from __future__ import annotations

from pathlib import Path

import psutil

MB = 1024**2


def resident_mb(process: psutil.Process) -> float:
    """The process's resident set, in MB."""
    return float(process.memory_info().rss) / MB


def proportional_mb(process: psutil.Process) -> float:
    """The process's proportional share (PSS), in MB: pages that several processes share are counted once."""
    for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError("the kernel gives no Pss")


def tree_mb(run_folder: Path) -> float:
    """PSS of a workspace's agent and all that it started, in MB: the agent is who has the run folder's workspace."""
    workspace = run_folder.name
    total = 0.0
    for process in psutil.process_iter():
        try:
            if workspace in Path(f"/proc/{process.pid}/mountinfo").read_text() or workspace in " ".join(
                process.environ().values()
            ):
                if process.name() in {"dockerd", "containerd"}:
                    continue
                total += proportional_mb(process)
        except (OSError, psutil.Error, ValueError):
            continue
    return total
