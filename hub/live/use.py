"""How much a workspace uses: two half-hour lines, and what each of its kernels uses now."""

from __future__ import annotations

from dataclasses import dataclass, field

from hub.domain.ids import KernelId
from hub.live.lines import Line
from hub.workspaces.agents import Live


@dataclass(frozen=True, slots=True)
class Sample:
    """A workspace at one moment, on the hub's monotonic clock. None: not known."""

    at: float
    cpu_seconds: float | None
    memory_bytes: int | None
    memory_limit_bytes: int | None
    kernels: dict[KernelId, tuple[float, int]]
    """Processor seconds and bytes of memory of each kernel."""
    terminals: int = 0


@dataclass(slots=True)
class Use:
    """One workspace's use. `silent_since`: its agent has not answered since then (monotonic), None: it does."""

    cpu: Line = field(default_factory=Line)
    memory: Line = field(default_factory=Line)
    newest: Sample | None = None
    kernel_cpus: dict[KernelId, float] = field(default_factory=dict)
    silent_since: float | None = None

    def add(self, sample: Sample) -> None:
        """Take a sample in; rates come from the one before."""
        before, self.newest, self.silent_since = self.newest, sample, None
        self.memory.add(sample.memory_bytes)
        self.cpu.add(_rate(before, sample))
        self.kernel_cpus = {} if before is None else _kernel_rates(before, sample)

    def rest(self, sample: Sample) -> None:
        """It is paused: it uses no processor, and no more memory than it did."""
        self.newest, self.silent_since = sample, None
        self.memory.add(sample.memory_bytes or None)
        self.cpu.add(0.0)
        self.kernel_cpus = dict.fromkeys(sample.kernels, 0.0)

    def miss(self, now: float) -> None:
        """The agent did not answer: a gap."""
        self.silent_since = now if self.silent_since is None else self.silent_since
        self.newest, self.kernel_cpus = None, {}
        self.memory.add(None)
        self.cpu.add(None)


def sample_of(live: Live, of_kernels: bool) -> Sample:
    """A sample out of an agent's status.

    `of_kernels`: the workspace has no control group of its own (kernels as processes of this machine), so that only
    its kernels can be counted.
    """
    kernels = {kernel.id: (kernel.cpu_seconds, kernel.rss_bytes) for kernel in live.kernels.values()}
    container = live.container
    memory, cpu = container.memory_bytes, container.cpu_seconds
    if of_kernels or memory is None:
        memory = sum(rss for _, rss in kernels.values())
    if of_kernels or cpu is None:
        cpu = sum(seconds for seconds, _ in kernels.values())
    limit = None if of_kernels else container.memory_limit_bytes
    return Sample(live.heard_at, cpu, memory, limit, kernels, len(live.terminals))


def _rate(before: Sample | None, after: Sample) -> float | None:
    """Processors in use between two samples; None where time did not pass, or the count began anew."""
    if before is None or before.cpu_seconds is None or after.cpu_seconds is None or after.at <= before.at:
        return None
    used = after.cpu_seconds - before.cpu_seconds
    return used / (after.at - before.at) if used >= 0 else None


def _kernel_rates(before: Sample, after: Sample) -> dict[KernelId, float]:
    span = after.at - before.at
    if span <= 0:
        return {}
    both = before.kernels.keys() & after.kernels.keys()
    used = {kernel_id: after.kernels[kernel_id][0] - before.kernels[kernel_id][0] for kernel_id in both}
    return {kernel_id: seconds / span for kernel_id, seconds in used.items() if seconds >= 0}
