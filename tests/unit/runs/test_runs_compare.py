"""hub.runs.compare: what makes a notebook's outputs the same, and what makes a version."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.runs.compare import MAX_DIFFERENCE_CHARS, first_difference, same_code, version_digest
from hub.runs.judge import frame, frames_of

Json = dict[str, Any]


def printed(text: Any, name: str = "stdout") -> Json:
    return {"output_type": "stream", "name": name, "text": text}


def result(text: str = "", **data: Any) -> Json:
    bundle = ({"text/plain": text} if text else {}) | {name.replace("_", "/"): value for name, value in data.items()}
    return {"output_type": "execute_result", "execution_count": 1, "data": bundle, "metadata": {}}


def cell(*outputs: Json, source: str = "x", tags: tuple[str, ...] = (), count: int | None = 1) -> Json:
    return {
        "cell_type": "code", "metadata": {"tags": list(tags)}, "source": source,
        "outputs": list(outputs), "execution_count": count,
    }  # fmt: skip


def book(*cells: Json) -> Json:
    return {"cells": list(cells), "metadata": {"kernelspec": {"name": "python3"}}, "nbformat": 4, "nbformat_minor": 5}


def difference(kept: Json, found: Json) -> str:
    told = first_difference(book(kept), book(found))
    return "" if told is None else told["difference"]


@pytest.mark.parametrize(
    ("kept", "found"),
    [
        ([printed("a\n")], [printed(["a", "\n"])]),
        ([printed("a\nb\n")], [printed("a\n"), printed("b\n")]),
        ([printed("a\n"), printed("w", "stderr")], [printed("other", "stderr"), printed("a\n")]),
        ([printed("10%\r100%\n")], [printed("100%\n")]),
        ([result("<object at 0x7f8ba874f590>")], [result("<object at 0x7f8ba8aaaa10>")]),
        ([result("4")], [{**result("4"), "execution_count": 9}]),
        ([result("<Figure>", image_png="aaa")], [result("<Figure>", image_png="bbb")]),
        ([result("a", text_html="<b id=1>")], [result("a", text_html="<b id=2>")]),
        ([{"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["a"]}],
         [{"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["b"]}]),
    ],
)  # fmt: skip
def test_these_are_the_same(kept: list[Json], found: list[Json]) -> None:
    assert difference(cell(*kept), cell(*found)) == ""


@pytest.mark.parametrize(
    ("kept", "found", "line"),
    [
        ([printed("a\n")], [printed("b\n")], "+b"),
        ([printed("a\n")], [], "-a"),
        ([result("1")], [result("2")], "-1"),
        ([result("1", image_png="x")], [result("1")], "-<image/png>"),
        ([result("1")], [{"output_type": "error", "ename": "E", "evalue": "v"}], "+E: v"),
        ([result("0xff")], [result("0xfe")], "+0xfe"),
    ],
)
def test_these_differ_and_the_difference_says_how(kept: list[Json], found: list[Json], line: str) -> None:
    assert line in difference(cell(*kept), cell(*found)).splitlines()


def test_the_first_cell_that_differs_is_named() -> None:
    markdown = {"cell_type": "markdown", "metadata": {}, "source": "# x"}
    kept = book(
        markdown, cell(result("1")), cell(source=" "), cell(result("2"), source="second\nline"), cell(result("3"))
    )
    found = book(markdown, cell(result("1")), cell(source=" "), cell(result("x"), source="second\nline"), cell())
    told = first_difference(kept, found)
    assert told is not None and (told["index"], told["cell"], told["name"]) == (3, 2, "second")
    assert first_difference(kept, found, before=3) is None


def test_cells_that_were_never_run_or_whose_tags_say_so_are_not_compared() -> None:
    assert difference(cell(count=None), cell(result("new"))) == ""
    assert difference(cell(count=1), cell(result("new"))) != ""
    for tag in ("nbverify-ignore", "nbval-ignore-output", "nbval-skip"):
        assert difference(cell(result("old"), tags=(tag,)), cell(result("new"))) == ""


def test_a_long_difference_is_cut() -> None:
    kept, found = "a\n" * 10**5, "b\n" * 10**5
    assert len(difference(cell(printed(kept)), cell(printed(found)))) <= MAX_DIFFERENCE_CHARS + 2
    assert difference(cell(printed("a" * 10**5 + "x")), cell(printed("a" * 10**5 + "y"))) != ""


def test_a_version_is_code_and_outputs_and_nothing_else() -> None:
    one = book(cell(printed("a\nb"), result("1")))
    same = book(
        cell(printed(["a\n", "b"]), {**result("1"), "execution_count": 7}, count=7),
        {"cell_type": "markdown", "metadata": {}, "source": "words"},
    )
    same["metadata"]["language_info"] = {"name": "python"}
    assert version_digest(one) == version_digest(same)
    others = [book(cell(printed("a\nc"), result("1"))), book(cell(printed("a\nb"), result("1"), source="y")), book()]
    others.append({**one, "metadata": {"kernelspec": {"name": "ir"}}})
    assert len({version_digest(other) for other in [one, *others]}) == 5


def test_other_code_is_seen() -> None:
    assert same_code(book(cell(source="x")), book(cell(result("1"), source="x")))
    assert not same_code(book(cell(source="x")), book(cell(source="y")))
    assert not same_code(book(cell()), book(cell(), cell()))


JUNK = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["cells", "outputs", "metadata", "data", "source"]), inner, max_size=3)
    ),
)


@given(st.dictionaries(st.sampled_from(["cells", "metadata"]), JUNK))
def test_any_document_has_a_version(junk: Json) -> None:
    assert len(version_digest(junk)) == 64


@given(st.lists(st.binary(max_size=20), max_size=4))
def test_frames_come_out_as_they_went_in(parts: list[bytes]) -> None:
    assert frames_of(b"".join(map(frame, parts))) == parts
