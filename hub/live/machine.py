"""The machine that the hub is on: processors, memory and the disks under the data folder. Linux's own figures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Disk:
    """Room on the file system that holds `what` (in words). Bytes that an ordinary user may still fill."""

    what: str
    free_bytes: int
    total_bytes: int

    @property
    def used_part(self) -> float:
        """Between 0 and 1."""
        return 1 - self.free_bytes / self.total_bytes if self.total_bytes else 0.0


@dataclass(frozen=True, slots=True)
class Machine:
    """One look. `busy_seconds` and `all_seconds` are processor time since the start of the machine."""

    busy_seconds: float
    all_seconds: float
    memory_used_bytes: int
    memory_bytes: int
    processors: int
    disks: tuple[Disk, ...]

    def busy_part_since(self, before: Machine | None) -> float | None:
        """The part of all processors' time (0 to 1) that was used since an earlier look."""
        if before is None or self.all_seconds <= before.all_seconds:
            return None
        part = (self.busy_seconds - before.busy_seconds) / (self.all_seconds - before.all_seconds)
        return min(max(part, 0.0), 1.0)


def look_at_machine(data_dir: Path, proc: Path = PROC) -> Machine:
    """Read it. Quick, but for a disk that hangs: call it in a thread."""
    busy, whole = _processor_seconds(_text(proc / "stat"))
    memory = _table(_text(proc / "meminfo"))
    total = memory.get("MemTotal", 0)
    return Machine(
        busy_seconds=busy,
        all_seconds=whole,
        memory_used_bytes=max(0, total - memory.get("MemAvailable", 0)),
        memory_bytes=total,
        processors=os.cpu_count() or 1,
        disks=_disks(data_dir),
    )


def _processor_seconds(text: str) -> tuple[float, float]:
    """Busy and whole time out of ``/proc/stat``'s first line: user nice system idle iowait irq softirq steal."""
    fields = [int(field) for field in text.partition("\n")[0].split()[1:9] if field.isdigit()]
    if len(fields) < 5:
        return 0.0, 0.0
    whole, idle = sum(fields), fields[3] + fields[4]
    return (whole - idle) / 100, whole / 100


def _table(text: str) -> dict[str, int]:
    """``/proc/meminfo`` in bytes."""
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        number = rest.split()[:1]
        if number and number[0].isdigit():
            found[name] = int(number[0]) * 1024
    return found


def _disks(data_dir: Path) -> tuple[Disk, ...]:
    """The homes' file system, and the database's where that is another one."""
    found: list[Disk] = []
    seen: set[int] = set()
    for what, folder in (("people's files", data_dir / "homes"), ("the hub's own data", data_dir)):
        try:
            place = folder if folder.exists() else data_dir
            device, room = place.stat().st_dev, os.statvfs(place)
        except OSError:
            continue
        if device not in seen:
            seen.add(device)
            found.append(Disk(what, room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize))
    return tuple(found)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
