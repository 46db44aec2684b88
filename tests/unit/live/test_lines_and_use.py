"""Half-hour lines and rates of use."""

from __future__ import annotations

import gc
import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest

from hub.domain.ids import KernelId
from hub.domain.kernels import KernelState
from hub.live.lines import POINTS, Line
from hub.live.machine import Machine, look_at_machine
from hub.live.use import Sample, Use, sample_of
from hub.workspaces.agents import Live, LiveKernel
from proxy.contract.agent import ContainerInfo

KERNEL = KernelId("k")


def sample(at: float, cpu: float | None, memory: int | None = 100, kernel_cpu: float = 0.0) -> Sample:
    return Sample(at, cpu, memory, None, {KERNEL: (kernel_cpu, 50)})


def test_a_line_keeps_half_an_hour_and_no_more() -> None:
    line = Line()
    assert line.last is None and line.values() == [None] * POINTS
    for number in range(POINTS + 5):
        line.add(number)
    assert line.values() == [float(number) for number in range(5, POINTS + 5)]
    line.add(None)
    assert line.last is None and line.values()[-2:] == [POINTS + 4.0, None]


def test_a_thinned_line_keeps_its_peaks() -> None:
    line = Line()
    for number in range(POINTS):
        line.add(9.0 if number == 100 else 1.0)
    assert len(line.thinned()) == POINTS // 3 and max(value or 0 for value in line.thinned()) == 9.0


def test_processors_in_use_come_from_two_samples() -> None:
    use = Use()
    use.add(sample(0.0, 100.0))
    assert use.cpu.last is None
    use.add(sample(10.0, 105.0, kernel_cpu=2.0))
    assert use.cpu.last == pytest.approx(0.5) and use.kernel_cpus[KERNEL] == pytest.approx(0.2)


def test_a_count_that_begins_anew_is_a_gap_and_never_negative() -> None:
    use = Use()
    use.add(sample(0.0, 100.0, kernel_cpu=9.0))
    use.add(sample(10.0, 1.0, kernel_cpu=1.0))
    assert use.cpu.last is None and use.kernel_cpus == {}


def test_a_silent_agent_is_a_gap_since_it_fell_silent() -> None:
    use = Use()
    use.add(sample(0.0, 1.0))
    use.miss(10.0)
    use.miss(20.0)
    assert use.silent_since == 10.0 and use.memory.last is None and use.newest is None
    use.add(sample(30.0, 2.0))
    assert use.silent_since is None and use.memory.last == 100


def test_where_there_is_no_control_group_of_its_own_the_kernels_are_counted() -> None:
    kernel = LiveKernel(KERNEL, "python3", KernelState.IDLE, 0, timedelta(0), 0.0, 70, 3.0, None, 1)
    live = Live(5.0, {KERNEL: kernel}, [], ContainerInfo(memory_bytes=999, memory_limit_bytes=9999, cpu_seconds=99.0))
    own, kernels = sample_of(live, of_kernels=False), sample_of(live, of_kernels=True)
    assert (own.memory_bytes, own.cpu_seconds, own.memory_limit_bytes) == (999, 99.0, 9999)
    assert (kernels.memory_bytes, kernels.cpu_seconds, kernels.memory_limit_bytes) == (70, 3.0, None)


def test_lines_of_a_thousand_containers_take_less_than_20_mb() -> None:
    gc.collect()
    tracemalloc.start()
    uses = {number: Use() for number in range(1000)}
    for use in uses.values():
        for moment in range(3):
            kernels = {KernelId(f"{id(use)}-{number}"): (moment * 1.0, 1000) for number in range(3)}
            use.add(Sample(moment * 10.0, moment * 2.0, 10_000_000, None, kernels))
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used < 20_000_000, f"{used / 1e6:.1f} MB"


def test_this_machine_has_processors_memory_and_a_disk(tmp_path: Path) -> None:
    seen = look_at_machine(tmp_path)
    assert seen.processors >= 1 and 0 < seen.memory_used_bytes < seen.memory_bytes and seen.disks
    assert 0 <= seen.disks[0].used_part <= 1


def test_the_busy_part_is_of_the_time_between_two_looks() -> None:
    def at(busy: float, whole: float) -> Machine:
        return Machine(busy, whole, 0, 0, 1, ())

    assert at(30, 200).busy_part_since(at(10, 100)) == pytest.approx(0.2)
    assert at(30, 100).busy_part_since(at(10, 100)) is None and at(1, 1).busy_part_since(None) is None
