"""A save without a change changes nothing, whoever wrote the notebook and whatever a browser does to numbers."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.contents.models import Model, SaveRequest
from hub.contents.service import Contents
from hub.contents.unchanged import say_the_same
from hub.errors import BadRequest, Conflict
from tests.unit.contents.conftest import Place

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
LEAF = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
)
VALUE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)
RESERVED = {
    *(
        "trusted",
        "signature",
        "orig_nbformat",
        "orig_nbformat_minor",
        "kernelspec",
        "language_info",
        "title",
        "authors",
    ),
    *("collapsed", "scrolled", "format", "name", "tags", "jupyter", "execution", "deletable", "editable"),
    *("slideshow", "jupytext", "widgets", "source_hidden", "outputs_hidden"),
}
"""Metadata keys that nbformat drops or whose values it prescribes."""
METADATA: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    TEXT.filter(lambda key: key not in RESERVED), VALUE, max_size=3
)
STREAM = st.builds(lambda text: {"output_type": "stream", "name": "stdout", "text": text}, TEXT)
RESULT = st.builds(
    lambda text, value, metadata: {
        "output_type": "display_data",
        "metadata": metadata,
        "data": {"text/plain": text, "application/vnd.test+json": value, "image/png": "aGk=\n"},
    },
    TEXT,
    st.dictionaries(TEXT, VALUE, max_size=3),
    METADATA,
)
ERROR = st.builds(lambda line: {"output_type": "error", "ename": "E", "evalue": line, "traceback": [line]}, TEXT)


def code_cell(source: str, metadata: Any, outputs: Any, count: Any) -> dict[str, Any]:
    cell = {"cell_type": "code", "execution_count": count, "metadata": metadata}
    return {**cell, "outputs": outputs, "source": source}


CELL = st.one_of(
    st.builds(code_cell, TEXT, METADATA, st.lists(STREAM | RESULT | ERROR, max_size=2), st.none() | st.integers(1, 99)),
    st.builds(
        lambda kind, source, metadata: {"cell_type": kind, "metadata": metadata, "source": source},
        st.sampled_from(["markdown", "raw"]),
        TEXT,
        METADATA,
    ),
)


@st.composite
def notebooks(draw: st.DrawFn) -> dict[str, Any]:
    """A notebook of any minor version of format 4."""
    minor = draw(st.integers(0, 5))
    cells = draw(st.lists(CELL, max_size=4))
    if minor >= 5:
        cells = [{**cell, "id": f"cell-{number}"} for number, cell in enumerate(cells)]
    return {"cells": cells, "metadata": draw(METADATA), "nbformat": 4, "nbformat_minor": minor}


def as_jupyter_writes(content: dict[str, Any]) -> bytes:
    text: str = nbformat.writes(nbformat.from_dict(content))  # type: ignore[no-untyped-call]
    return (text + "\n").encode()


def through_a_browser(value: Any) -> Any:
    """What becomes of JSON that JavaScript has read and writes: whole numbers have no fraction."""
    if isinstance(value, dict):
        return {key: through_a_browser(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [through_a_browser(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else value


def sent(model: Model) -> SaveRequest:
    """The save of a browser tab in which nothing was changed."""
    assert isinstance(model.content, msgspec.Raw)
    content = through_a_browser(json.loads(bytes(model.content)))
    return SaveRequest(type="notebook", content=msgspec.Raw(msgspec.json.encode(content)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(notebooks(), st.sampled_from(["jupyter", "indent", "escaped", "no newline"]))
async def test_a_save_without_a_change_keeps_every_byte(
    place: Place, contents: Contents, content: dict[str, Any], style: str
) -> None:
    before = as_jupyter_writes(content)
    as_read = json.loads(before)
    if style == "indent":
        before = json.dumps(as_read, indent=4).encode()
    elif style == "escaped":
        before = json.dumps(as_read, ensure_ascii=True, indent=1).encode() + b"\n"
    elif style == "no newline":
        before = before.rstrip(b"\n")
    file = place.put("n.ipynb", before)
    model = await contents.get("n.ipynb", type="notebook")
    assert model.message is msgspec.UNSET
    await contents.save("n.ipynb", sent(model))
    assert file.read_bytes() == before


async def test_a_change_is_written_as_jupyter_writes_it(place: Place, contents: Contents) -> None:
    content = {"cells": [code_cell("1", {"a": 1}, [], None)], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    file = place.put("n.ipynb", json.dumps(content))
    content["cells"][0]["metadata"]["a"] = True  # type: ignore[index]
    await contents.save("n.ipynb", SaveRequest(type="notebook", content=msgspec.Raw(msgspec.json.encode(content))))
    assert file.read_bytes() == as_jupyter_writes(content)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b'{"a": 1, "b": [1.0]}', b'{"b":[1],"a":1}', True),
        (b"1", b"true", False),
        (b"[1]", b"[1, 2]", False),
        (b'{"a": 1}', b'{"a": 1, "b": null}', False),
        (b'"a"', b'["a"]', False),
        (b"{", b"{", False),
        (b"[" * 100_000, b"[" * 100_000, False),
    ],
)
def test_what_counts_as_the_same(one: bytes, other: bytes, same: bool) -> None:
    assert say_the_same(one, other) is same


async def test_a_kept_file_stays_trusted(place: Place, contents: Contents) -> None:
    html = {"output_type": "display_data", "metadata": {}, "data": {"text/html": "<b>"}}
    content = {"cells": [code_cell("1", {}, [html], 1)], "metadata": {"x": 1.0}, "nbformat": 4, "nbformat_minor": 4}
    place.put("n.ipynb", as_jupyter_writes(content))
    content["cells"][0]["metadata"]["trusted"] = True  # type: ignore[index]
    content["metadata"] = {"x": 1}
    await contents.save("n.ipynb", SaveRequest(type="notebook", content=msgspec.Raw(msgspec.json.encode(content))))
    model = await contents.get("n.ipynb")
    assert isinstance(model.content, msgspec.Raw)
    assert json.loads(bytes(model.content))["cells"][0]["metadata"]["trusted"] is True


@pytest.mark.parametrize("data", ["{broken", "[]", '{"nbformat": 99}', ""])
async def test_what_is_no_notebook_opens_as_text_and_says_why(place: Place, contents: Contents, data: str) -> None:
    file = place.put("n.ipynb", data)
    model = await contents.get("n.ipynb")
    assert (model.type, model.format, model.content) == ("file", "text", data)
    assert "Unreadable notebook n.ipynb" in str(model.message) and "was not changed" in str(model.message)
    with pytest.raises(BadRequest, match="Open With, Editor"):
        await contents.get("n.ipynb", type="notebook")
    assert file.read_text() == data


@pytest.mark.parametrize(("ids", "words"), [(["a", "a"], "share an id"), (["a", None], "have no id")])
async def test_ids_are_not_mended_silently(place: Place, contents: Contents, ids: list[str | None], words: str) -> None:
    cells = [{"cell_type": "raw", "metadata": {}, "source": "", **({"id": id} if id else {})} for id in ids]
    before = json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    file = place.put("n.ipynb", before)
    assert words in str((await contents.get("n.ipynb")).message)
    assert file.read_text() == before


async def test_what_is_no_notebook_is_not_saved_over(place: Place, contents: Contents) -> None:
    file = place.put("n.ipynb", "<<<<<<< HEAD\n{}")
    content = msgspec.Raw(b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    with pytest.raises(Conflict, match="would be lost"):
        await contents.save("n.ipynb", SaveRequest(type="notebook", content=content))
    assert file.read_text() == "<<<<<<< HEAD\n{}"
    place.put("n.ipynb", " \n")
    await contents.save("n.ipynb", SaveRequest(type="notebook", content=content))
    assert json.loads(file.read_bytes())["cells"] == []
