"""hub.jupyter.child: what a child writes is bounded, and it is gone afterwards."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from hub.jupyter import child


@pytest.fixture
def module(tmp_path: Path) -> dict[str, str]:
    """An environment in which ``talker`` is a module that echoes its input as often as its argument says."""
    code = (
        "import sys\nread = sys.stdin.buffer.read()\nfor _ in range(int(sys.argv[1])): sys.stdout.buffer.write(read)\n"
    )
    (tmp_path / "talker.py").write_text(code + "print('said', file=sys.stderr)\n")
    return {"PYTHONPATH": str(tmp_path)}


def children() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if "talker" in each.cmdline()]


async def test_what_it_wrote_and_complained_about_comes_back(module: dict[str, str]) -> None:
    ended = await child.run_module("talker", "2", stdin=b"x" * 300_000, seconds=30, environment=module)
    assert (ended.status, ended.output, ended.complaints) == (0, b"x" * 600_000, "said")


async def test_one_that_writes_too_much_is_ended(module: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "MAX_OUTPUT_BYTES", 1_000_000)
    with pytest.raises(child.TooMuchOutput):
        await child.run_module("talker", "1000000", stdin=b"x" * 300_000, seconds=30, environment=module)
    assert children() == []


async def test_one_that_does_not_read_its_input_is_no_error(module: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "deaf.py").write_text("print('done')\n")
    ended = await child.run_module("deaf", stdin=b"x" * 5_000_000, seconds=30, environment=module)
    assert (ended.status, ended.output) == (0, b"done\n")
