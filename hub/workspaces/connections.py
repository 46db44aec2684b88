"""How many connections the proxies hold open, and to whom, as they last reported it.

An observation, not a truth: it is rebuilt by the next reports after a restart of the hub, and a proxy that
stops reporting holds nothing after `FORGET_AFTER_SECONDS`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from hub.domain.ids import KernelId, WorkspaceId
from proxy.contract.activity import ActivityReport
from proxy.kit.clock import Clock

FORGET_AFTER_SECONDS = 10.0
"""What a proxy reported counts for so long."""
ADMITTED_SECONDS = 5.0
"""A front end that was let in counts as connected for so long, unless a report tells of it before."""
REMEMBER_SECONDS = 600.0
"""That there was a proxy, or a front end, is known for so long, so that one that fell silent can be told."""
ANYBODY = "*"
"""Stands for front ends that have no name for themselves."""
MOST_HEARD = 100
"""Front ends of one kernel that are remembered after they are gone."""


@dataclass(frozen=True, slots=True)
class _Seen:
    at: float
    kernels: Counter[str]
    workspaces: Counter[str]
    sessions: dict[str, frozenset[str]]
    paused: frozenset[str] = frozenset()
    former: float = float("-inf")
    """When the report before it came."""


class Connections:
    """Counts of open connections by kernel and by workspace, and the front ends of each kernel, over all proxies."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._heard: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self._admitted: dict[tuple[str, str], float] = {}

    def admit(self, kernel_id: KernelId, session: str) -> None:
        """A front end is about to connect to a kernel: the next report, which tells of it, may be seconds away."""
        now = self._clock.monotonic()
        self._admitted = {key: at for key, at in self._admitted.items() if now - at <= ADMITTED_SECONDS}
        self._admitted[kernel_id, session or ANYBODY] = now

    def report(self, report: ActivityReport) -> None:
        """Take one proxy's report in place of its last."""
        now = self._clock.monotonic()
        kernels: Counter[str] = Counter()
        workspaces: Counter[str] = Counter()
        for connection in report.connections:
            workspaces[connection.workspace_id] += connection.count
            if connection.kernel_id is not None:
                kernels[connection.kernel_id] += connection.count
        sessions = _sessions_of(report, kernels)
        told = {(each.kernel_id, each.session) for each in report.sessions}
        told |= {(each.kernel_id, each.session) for each in report.ended}
        for key in told & self._admitted.keys():
            del self._admitted[key]
        for kernel_id, names in sessions.items():
            heard = self._heard[kernel_id]
            for name in names:
                heard.pop(name, None)
                heard[name] = now
            for name in list(heard)[:-MOST_HEARD]:
                del heard[name]
        former = before.at if (before := self._seen.get(report.proxy_id)) is not None else float("-inf")
        self._seen[report.proxy_id] = _Seen(now, kernels, workspaces, sessions, frozenset(report.paused), former)
        for proxy_id in [p for p, seen in self._seen.items() if now - seen.at > REMEMBER_SECONDS]:
            del self._seen[proxy_id]
        for kernel_id in [k for k, heard in self._heard.items() if now - max(heard.values()) > REMEMBER_SECONDS]:
            del self._heard[kernel_id]

    def to_kernel(self, kernel_id: KernelId) -> int:
        """Open connections to one kernel."""
        return sum(seen.kernels[kernel_id] for seen in self._fresh())

    def to_workspace(self, workspace_id: WorkspaceId) -> int:
        """Open connections to one workspace's kernels and terminals."""
        return sum(seen.workspaces[workspace_id] for seen in self._fresh())

    def all_know_of_pause(self, workspace_id: WorkspaceId, since: float) -> bool:
        """Whether each proxy that holds connections to a workspace has said that it takes it for paused.

        Not what it said before `since` (monotonic), when it was last named to them, counts, nor the first report after
        that: it may have been under way since a pause that was given up, whose end the proxy is just being told.
        """
        return all(
            workspace_id in seen.paused and seen.former >= since
            for seen in self._fresh()
            if seen.workspaces[workspace_id]
        )

    def sessions_of(self, kernel_id: KernelId) -> frozenset[str]:
        """The front ends that are connected to a kernel, by their own names; `ANYBODY` for those without one."""
        now = self._clock.monotonic()
        let_in = {
            session
            for (kernel, session), at in self._admitted.items()
            if kernel == kernel_id and now - at <= ADMITTED_SECONDS
        }
        return frozenset(let_in).union(*(seen.sessions.get(kernel_id, frozenset()) for seen in self._fresh()))

    def last_heard(self, kernel_id: KernelId) -> dict[str, float]:
        """When each of a kernel's front ends was last known to be connected (monotonic), for `REMEMBER_SECONDS`."""
        return dict(self._heard.get(kernel_id, {}))

    def proxies(self) -> dict[str, tuple[int, float]]:
        """Of each proxy that reported within `REMEMBER_SECONDS`: open connections, and the report's age in seconds."""
        now = self._clock.monotonic()
        return {proxy: (seen.workspaces.total(), now - seen.at) for proxy, seen in self._seen.items()}

    def _fresh(self) -> Iterator[_Seen]:
        now = self._clock.monotonic()
        return (seen for seen in self._seen.values() if now - seen.at <= FORGET_AFTER_SECONDS)


def _sessions_of(report: ActivityReport, kernels: Counter[str]) -> dict[str, frozenset[str]]:
    """The report's front ends by kernel. A connection that none of them accounts for is anybody's."""
    named: defaultdict[str, list[str]] = defaultdict(list)
    for session in report.sessions:
        named[session.kernel_id].append(session.session)
    for kernel_id, count in kernels.items():
        if count > len(named[kernel_id]):
            named[kernel_id].append(ANYBODY)
    return {kernel_id: frozenset(names) for kernel_id, names in named.items() if names}
