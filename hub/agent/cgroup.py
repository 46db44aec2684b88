"""Memory and processor time of the container, from its control group, version 1 or 2.

In a container the group's own files stand at the root of the mount; elsewhere beneath the path that
``/proc/self/cgroup`` names. A file that cannot be read makes a value None, never an error.
"""

from __future__ import annotations

import os

ROOT = "/sys/fs/cgroup"
UNLIMITED = 1 << 60


class Cgroup:
    """The control group of this process. `root` and `membership` are paths, given by tests."""

    def __init__(self, root: str = ROOT, membership: str = "/proc/self/cgroup") -> None:
        self._root = root
        paths = _memberships(membership)
        self._unified = os.path.exists(f"{root}/cgroup.controllers")
        if self._unified:
            self._memory = self._cpu = self._folder("", paths.get("", "/"), "memory.current")
        else:
            self._memory = self._folder("memory", paths.get("memory", "/"), "memory.usage_in_bytes")
            self._cpu = self._folder("cpuacct", paths.get("cpuacct", "/"), "cpuacct.usage")

    def _folder(self, controller: str, path: str, probe: str) -> str:
        base = os.path.join(self._root, controller) if controller else self._root
        own = base + path.rstrip("/")
        return own if os.path.exists(f"{own}/{probe}") else base

    def memory_bytes(self) -> int | None:
        """Memory in use, without the page cache that would be given up first."""
        used = _number(f"{self._memory}/{'memory.current' if self._unified else 'memory.usage_in_bytes'}")
        if used is None:
            return None
        statistics = _table(f"{self._memory}/memory.stat")
        cache = statistics.get("inactive_file" if self._unified else "total_inactive_file", 0)
        return max(0, used - cache)

    def memory_limit_bytes(self) -> int | None:
        """The limit of memory, or None when there is none."""
        name = "memory.max" if self._unified else "memory.limit_in_bytes"
        limit = _number(f"{self._memory}/{name}")
        return None if limit is None or limit >= UNLIMITED else limit

    def free_bytes(self) -> int | None:
        """Memory that may still be used, or None when there is no limit or it cannot be known."""
        limit, used = self.memory_limit_bytes(), self.memory_bytes()
        return None if limit is None or used is None else max(0, limit - used)

    def cpu_seconds(self) -> float | None:
        """Processor time used so far."""
        if self._unified:
            micros = _table(f"{self._cpu}/cpu.stat").get("usage_usec")
            return None if micros is None else micros / 1e6
        nanos = _number(f"{self._cpu}/cpuacct.usage")
        return None if nanos is None else nanos / 1e9

    def oom_kills(self) -> int:
        """How many processes of the group were killed for want of memory."""
        name = "memory.events" if self._unified else "memory.oom_control"
        return _table(f"{self._memory}/{name}").get("oom_kill", 0)


def _memberships(path: str) -> dict[str, str]:
    """Controller → path of this process's group; the unified hierarchy has the controller ""."""
    found: dict[str, str] = {}
    for line in _read(path).splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            for controller in fields[1].split(","):
                found[controller] = fields[2]
    return found


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(65536)
    except OSError:
        return ""


def _number(path: str) -> int | None:
    try:
        return int(_read(path))
    except ValueError:
        return None


def _table(path: str) -> dict[str, int]:
    """Lines of "name number"."""
    table: dict[str, int] = {}
    for line in _read(path).splitlines():
        name, _, value = line.partition(" ")
        if value.strip().isdigit():
            table[name] = int(value)
    return table
