"""A hub that dies at any of its crash points leaves nothing that the next hub does not put in order."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hub.crash_points import Point
from tests.harness.crash_walk import MORE, WAYS, Lane, Step

LANES = 3


@pytest.fixture
def lanes(migrated_sqlite: Path) -> Iterator[list[Lane]]:
    made = [Lane(Path(tempfile.mkdtemp(prefix="kh-", dir="/tmp"))) for _ in range(LANES)]
    for lane in made:
        shutil.copy(migrated_sqlite, lane.data_dir / "kernelhub.db")
    yield made
    for lane in made:
        lane.end_processes()
        shutil.rmtree(lane.data_dir, ignore_errors=True)


def test_there_is_a_way_to_every_label() -> None:
    assert set(WAYS) == set(Point)


def test_whatever_a_hub_was_doing_when_it_died_the_next_one_puts_in_order(lanes: list[Lane]) -> None:
    steps = [*(Step(point) for point in Point), *MORE]
    with ThreadPoolExecutor(LANES) as threads:
        for number, lane in enumerate(lanes):
            threads.submit(lane.run, steps[number::LANES])
    problems = [problem for lane in lanes for problem in lane.problems]
    logs = "".join((lane.data_dir / "log").read_text()[-3000:] for lane in lanes if lane.problems)
    assert problems == [], "\n".join([*problems, logs])
    assert set().union(*(lane.reached for lane in lanes)) == set(Point), "a label was not reached"
