"""How many connections the proxies hold open, as they last reported it.

An observation, not a truth: it is rebuilt by the next reports after a restart of the hub, and a proxy that
stops reporting holds nothing after `FORGET_AFTER_SECONDS`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hub.domain.ids import KernelId, WorkspaceId
from proxy.contract.activity import ActivityReport
from proxy.kit.clock import Clock

FORGET_AFTER_SECONDS = 10.0
"""What a proxy reported counts for so long."""
REMEMBER_SECONDS = 600.0
"""That there was a proxy is known for so long, so that one that fell silent can be told."""


@dataclass(frozen=True, slots=True)
class _Seen:
    at: float
    kernels: Counter[str]
    workspaces: Counter[str]


class Connections:
    """Counts of open connections by kernel and by workspace, over all proxies."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def report(self, report: ActivityReport) -> None:
        """Take one proxy's report in place of its last."""
        kernels: Counter[str] = Counter()
        workspaces: Counter[str] = Counter()
        for connection in report.connections:
            workspaces[connection.workspace_id] += connection.count
            if connection.kernel_id is not None:
                kernels[connection.kernel_id] += connection.count
        self._seen[report.proxy_id] = _Seen(self._clock.monotonic(), kernels, workspaces)
        now = self._clock.monotonic()
        for proxy_id in [p for p, seen in self._seen.items() if now - seen.at > REMEMBER_SECONDS]:
            del self._seen[proxy_id]

    def to_kernel(self, kernel_id: KernelId) -> int:
        """Open connections to one kernel."""
        return sum(seen.kernels[kernel_id] for seen in self._seen.values() if self._fresh(seen))

    def to_workspace(self, workspace_id: WorkspaceId) -> int:
        """Open connections to one workspace's kernels and terminals."""
        return sum(seen.workspaces[workspace_id] for seen in self._seen.values() if self._fresh(seen))

    def proxies(self) -> dict[str, tuple[int, float]]:
        """Of each proxy that reported within `REMEMBER_SECONDS`: open connections, and the report's age in seconds."""
        now = self._clock.monotonic()
        return {proxy: (seen.workspaces.total(), now - seen.at) for proxy, seen in self._seen.items()}

    def _fresh(self, seen: _Seen) -> bool:
        return self._clock.monotonic() - seen.at <= FORGET_AFTER_SECONDS
