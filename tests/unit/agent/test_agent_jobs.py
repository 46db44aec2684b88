"""hub.agent.job: what is kept of a program's lines, and which programs there are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.agent import bounds, install, programs
from hub.agent.job import Lines
from hub.agent.programs import output


def whole(lines: Lines, most_bytes: int = bounds.MAX_JOB_READ_BYTES) -> bytes:
    """Everything that is kept, read in pieces as a client does."""
    at, read = lines.start, b""
    while at < lines.end:
        begin, text = lines.read(at, most_bytes)
        assert begin == at and text.endswith(b"\n")
        at, read = begin + len(text), read + text
    return read


@given(st.lists(st.binary(max_size=60)), st.integers(1, 200))
def test_lines_come_out_as_they_went_in_however_they_are_cut(pieces: list[bytes], most_bytes: int) -> None:
    lines = Lines()
    for piece in pieces:
        lines.add(piece)
    data = b"".join(pieces)
    assert whole(lines, most_bytes).decode() == "".join(
        line.decode("utf-8", "replace") + "\n" for line in data.split(b"\n")[:-1]
    )
    assert lines.end == len(whole(lines))


def test_the_oldest_lines_are_dropped_and_reading_goes_on_at_the_first_that_is_kept() -> None:
    lines = Lines(limit=100)
    lines.add(b"".join(b"%09d\n" % number for number in range(30)))
    assert (lines.start, lines.end) == (200, 300)
    assert lines.read(0) == (200, b"".join(b"%09d\n" % number for number in range(20, 30)))
    assert lines.read(285) == (290, b"000000029\n")
    assert lines.read(300) == (300, b"") == lines.read(10**6)


@pytest.mark.parametrize("cut", [1000, 65536, 10**6])
def test_a_line_that_is_too_long_is_told_by_its_size(cut: int) -> None:
    lines = Lines()
    data = b"x" * 200_000 + b"\nnext\n"
    for start in range(0, len(data), cut):
        lines.add(data[start : start + cut])
    assert whole(lines) == b'{"too_long":200000}\nnext\n'


def test_a_program_cannot_say_more_in_a_line_than_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    output.tell({"text": "ü"})
    assert json.loads(capsys.readouterr().out) == {"text": "ü"}
    with pytest.raises(ValueError, match="longer than a line may be"):
        output.tell({"text": "ü" * 20_000})


def test_every_program_is_installed_with_the_agent() -> None:
    files = install.program()
    folder = Path(programs.__file__).parent
    there = [name for name in programs.PROGRAMS if (folder / f"{name}.py").exists()]
    assert "git_pull" in there
    for name in there:
        assert f"hub/agent/programs/{name}.py" in files and b"def main(" in files[f"hub/agent/programs/{name}.py"]
