"""The cases: their names in SECURITY's scoreboard, what happens in each, and where it is tried."""

from __future__ import annotations

CASES = {
    "R1": ("SIGKILL of the hub, 20 kernels are busy", "test_r01_hub_killed.py"),
    "R2": (
        "SIGKILL of the proxy, 20 kernels are busy; 300 front ends that come back at once",
        "test_r02_proxy_killed.py",
    ),
    "R3": ("SIGKILL of hub and proxy together, and of the whole service", "test_r03_both_killed.py"),
    "R4": ("SIGKILL of the container engine", "test_r04_engine_killed.py"),
    "R5": ("the hub starts while the engine is down for a minute", "test_r05_started_without_engine.py"),
    "R6": ("PostgreSQL is killed for 30 s, or ends all connections", "test_r06_database_killed.py"),
    "R7": ("PostgreSQL is frozen for 20 s, or a table is locked", "test_r06_database_killed.py"),
    "R8": ("the disk is full: of the homes, of the hub", "test_r08_disk_full.py"),
    "R9": ("SIGKILL during saves, 200 times", "test_r09_killed_saves.py"),
    "R10": ("a kernel runs out of memory", "test_r10_out_of_memory.py"),
    "R11": ("a kernel holds Python's interpreter for 5 minutes", "test_r10_out_of_memory.py"),
    "R12": ("a reader stands still: a million lines, and 1 GB", "test_r12_slow_reader.py"),
    "R13": ("the tab is closed, or the network drops, during a cell", "test_r13_closed_tab.py"),
    "R14": ("20 clients vanish without a word", "test_r14_half_open.py"),
    "R15": ("the wall clock jumps by a day", "test_r15_clock.py"),
    "R16": ("300 people sign in within a minute, 40 of them start kernels", "test_r16_many_sign_in.py"),
    "R17": ("random starts, stops and crashes of everything", "test_r17_random_steps.py"),
    "crash": ("the hub kills itself at every side effect in turn", ""),
    "rolling": ("a new proxy takes over from the old one", "test_rolling_proxy.py"),
}
"""What happens, and the module here that tries it; "" where only tests elsewhere do."""

ELSEWHERE = {
    "R17": (
        "10,000 random steps with an engine that fails, loses replies and repeats itself (N4)",
        "tests/unit/workspaces/test_reconcile_random.py",
    ),
    "crash": (
        "at every crash point: found again, nothing twice, nothing left over (N4)",
        "tests/integration/test_crash_points.py",
    ),
    "R9": (
        "each way of saving: file and folder are synced before it is answered (N1)",
        "tests/unit/contents/test_contents_durable.py",
    ),
}
"""Tests of the suite that are part of a case: what they show, and where they are."""
