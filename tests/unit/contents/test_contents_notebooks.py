"""Notebooks: nbformat's rules and Jupyter's exact bytes (hub.contents.notebooks, desk, trust)."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.contents import notebook_process, notebooks
from hub.contents.large import LARGE_BYTES, Large, Scratch, ScratchFile
from hub.contents.models import Model, SaveRequest
from hub.contents.notebook_process import NotebookProcess
from hub.contents.service import Contents
from hub.contents.trust import TrustStore
from hub.errors import BadRequest, NotebookInvalid
from tests.unit.contents.conftest import Place, notebook, user

HTML = {"output_type": "display_data", "metadata": {}, "data": {"text/html": "<script>alert(1)</script>"}}
STREAM = {"output_type": "stream", "name": "stdout", "text": "a\nb\n"}


def code(source: str = "1", outputs: list[Any] | None = None, **metadata: Any) -> dict[str, Any]:
    cell = {"cell_type": "code", "id": "c1", "execution_count": None, "source": source}
    return {**cell, "metadata": metadata, "outputs": outputs or []}


def document(*cells: dict[str, Any], minor: int = 5) -> dict[str, Any]:
    return {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": minor}


def as_jupyter_writes(content: dict[str, Any]) -> bytes:
    return (nbformat.writes(nbformat.from_dict(content)) + "\n").encode()


def content_of(model: Model) -> dict[str, Any]:
    assert isinstance(model.content, msgspec.Raw)
    content = json.loads(bytes(model.content))
    assert isinstance(content, dict)
    return content


async def test_a_notebook_is_written_as_jupyter_writes_it(place: Place, contents: Contents) -> None:
    content = document(code("größe = 1\nprint(größe)", [STREAM]))
    await contents.save("a.ipynb", notebook(content))
    data = (place.home / "a.ipynb").read_bytes()
    assert data == as_jupyter_writes(content)
    assert "größe".encode() in data
    assert data.startswith(b'{\n "cells": [\n  {\n') and data.endswith(b"}\n")


async def test_a_save_without_a_change_gives_the_same_bytes(place: Place, contents: Contents) -> None:
    before = as_jupyter_writes(document(code("x = 1\n\ny\n", [STREAM, HTML]), code("", [], tags=["a"])))
    before = before.replace(b'"id": "c1"', b'"id": "c2"', 1)
    file = place.put("a.ipynb", before)
    model = await contents.get("a.ipynb")
    assert model.format == "json"
    assert isinstance(model.content, msgspec.Raw)
    await contents.save("a.ipynb", SaveRequest(type="notebook", format="json", content=model.content))
    assert file.read_bytes() == before


@pytest.mark.parametrize("minor", range(6))
async def test_minor_versions_and_their_ids_are_kept(place: Place, contents: Contents, minor: int) -> None:
    cell = code("1")
    if minor < 5:
        del cell["id"]
    before = as_jupyter_writes(document(cell, minor=minor))
    file = place.put("a.ipynb", before)
    model = await contents.get("a.ipynb")
    assert content_of(model)["nbformat_minor"] == minor
    assert isinstance(model.content, msgspec.Raw)
    await contents.save("a.ipynb", SaveRequest(type="notebook", content=model.content))
    assert file.read_bytes() == before


async def test_version_3_is_opened_as_version_4_and_not_changed_on_the_disk(place: Place, contents: Contents) -> None:
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"metadata": {}, "cells": []}]}
    old["worksheets"][0]["cells"] = [  # type: ignore[index]
        {"cell_type": "code", "language": "python", "input": "1+1", "outputs": [], "collapsed": False, "metadata": {}},
        {"cell_type": "heading", "level": 2, "source": "Title", "metadata": {}},
    ]
    file = place.put("a.ipynb", json.dumps(old))
    content = content_of(await contents.get("a.ipynb"))
    assert content["nbformat"] == 4
    assert [cell["source"] for cell in content["cells"]] == ["1+1", "## Title"]
    assert json.loads(file.read_text()) == old


@pytest.mark.parametrize("data", ["", "{", "[]", "null", "1", '{"nbformat": 99}', '{"cells": 1}', b"\xff", '"x"'])
async def test_what_is_no_notebook_is_refused_and_named(place: Place, contents: Contents, data: str | bytes) -> None:
    place.put("d/a.ipynb", data)
    with pytest.raises(BadRequest, match=r"^Unreadable notebook d/a\.ipynb: "):
        await contents.get("d/a.ipynb", type="notebook")
    assert (await contents.get("d/a.ipynb", content=False)).type == "notebook"


@pytest.mark.parametrize("depth", [400, 900, 90_000])
async def test_deep_nesting_harms_nobody(place: Place, contents: Contents, depth: int) -> None:
    nested = "[" * depth + "]" * depth
    data = '{"nbformat":4,"nbformat_minor":5,"cells":[],"metadata":{"x":%s}}' % nested  # noqa: UP031
    place.put("a.ipynb", data)
    with suppress(BadRequest):
        await contents.get("a.ipynb")
    with suppress(NotebookInvalid):
        await contents.save("b.ipynb", SaveRequest(type="notebook", content=msgspec.Raw(data.encode())))


async def test_a_notebook_that_breaks_its_rules_is_shown_with_a_message(place: Place, contents: Contents) -> None:
    broken = document({**code(), "surplus": 1})
    place.put("a.ipynb", json.dumps(broken))
    model = await contents.get("a.ipynb")
    assert "Notebook validation failed" in str(model.message)
    assert content_of(model)["cells"][0]["surplus"] == 1


@pytest.mark.parametrize(
    "broken",
    [
        document({**code(), "surplus": 1}),
        document({"cell_type": "code"}),
        {"cells": []},
        {"nbformat": 4, "nbformat_minor": 5},
        {**document(), "nbformat": 5},
        {**document(), "nbformat": 2},
        {**document(), "nbformat": []},
        [],
        None,
        "text",
    ],
)
async def test_saving_a_broken_notebook_is_refused_and_nothing_is_lost(
    place: Place, contents: Contents, broken: Any
) -> None:
    before = as_jupyter_writes(document(code("precious")))
    file = place.put("a.ipynb", before)
    with pytest.raises(NotebookInvalid) as caught:
        await contents.save("a.ipynb", notebook(broken))
    assert "a.ipynb was not saved" in caught.value.message
    assert file.read_bytes() == before
    assert place.leftovers() == []


async def test_lone_surrogates_are_shown_but_not_saved(place: Place, contents: Contents) -> None:
    data = json.dumps(document(code("\ud800")))
    place.put("a.ipynb", data)
    model = await contents.get("a.ipynb")
    assert content_of(model)["cells"][0]["source"] == "\ud800"
    assert isinstance(model.content, msgspec.Raw)
    with pytest.raises(NotebookInvalid):
        await contents.save("a.ipynb", SaveRequest(type="notebook", content=model.content))
    assert (place.home / "a.ipynb").read_text() == data


async def test_integers_over_64_bits_survive(place: Place, contents: Contents) -> None:
    place.put("a.ipynb", json.dumps(document(code("1", [], big=2**80))))
    assert content_of(await contents.get("a.ipynb"))["cells"][0]["metadata"]["big"] == 2**80


async def test_the_first_save_makes_a_checkpoint(contents: Contents) -> None:
    await contents.save("a.ipynb", notebook(document()))
    assert len(await contents.list_checkpoints("a.ipynb")) == 1


# trust


async def is_trusted(contents: Contents, path: str) -> bool:
    cells = content_of(await contents.get(path))["cells"]
    marks = {cell["metadata"]["trusted"] for cell in cells if cell["cell_type"] == "code"}
    assert len(marks) == 1
    return bool(marks.pop())


async def test_rich_outputs_from_elsewhere_are_not_trusted_whatever_they_claim(
    place: Place, contents: Contents
) -> None:
    place.put("a.ipynb", json.dumps(document(code("1", [HTML], trusted=True))))
    assert not await is_trusted(contents, "a.ipynb")


async def test_outputs_of_cells_that_the_user_ran_are_trusted_after_the_save(place: Place, contents: Contents) -> None:
    await contents.save("a.ipynb", notebook(document(code("1", [HTML], trusted=True))))
    assert await is_trusted(contents, "a.ipynb")
    assert b"trusted" not in (place.home / "a.ipynb").read_bytes()


async def test_saving_an_untrusted_notebook_does_not_make_it_trusted(contents: Contents) -> None:
    await contents.save("a.ipynb", notebook(document(code("1", [HTML], trusted=False))))
    assert not await is_trusted(contents, "a.ipynb")


async def test_plain_outputs_need_no_trust(contents: Contents) -> None:
    await contents.save("a.ipynb", notebook(document(code("1", [STREAM]))))
    assert await is_trusted(contents, "a.ipynb")


async def test_a_notebook_that_changed_on_the_disk_is_no_longer_trusted(place: Place, contents: Contents) -> None:
    await contents.save("a.ipynb", notebook(document(code("1", [HTML], trusted=True))))
    file = place.home / "a.ipynb"
    file.write_bytes(file.read_bytes().replace(b"alert(1)", b"alert(2)"))
    assert not await is_trusted(contents, "a.ipynb")


async def test_a_user_can_trust_a_notebook_for_himself_only(place: Place, contents: Contents) -> None:
    data = json.dumps(document(code("1", [HTML])))
    place.put("a.ipynb", data)
    await contents.trust("a.ipynb")
    assert await is_trusted(contents, "a.ipynb")
    copy = await contents.copy("a.ipynb", "")
    assert await is_trusted(contents, copy.path)
    theirs = place.sibling / "a.ipynb"
    theirs.write_text(data)
    theirs.chmod(0o644)
    other = place.service.of(user(10))
    assert not await is_trusted(other, "a.ipynb")


async def test_what_is_no_notebook_cannot_be_trusted(place: Place, contents: Contents) -> None:
    place.put("a.txt", "x")
    with pytest.raises(BadRequest):
        await contents.trust("a.txt")


def test_the_trust_store_forgets_the_oldest(tmp_path: Path) -> None:
    store = TrustStore(tmp_path / "trust" / "u1")
    digests = [f"{number:064x}" for number in range(20_001)]
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust" / "u1").write_text("".join(f"{digest}\n" for digest in digests[:-1]))
    store.add(digests[-1])
    assert store.has(digests[-1]) and store.has(digests[-15_000])
    assert not store.has(digests[0]) and not store.has(digests[-15_001])
    assert store.has("0" * 64) is False


# big ones


def test_a_process_of_its_own_gives_the_same_as_the_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.dumps(document(code("größe", [HTML, STREAM], trusted=True))).encode()
    here = notebooks.write(content, "a.ipynb")
    shown = notebooks.show(here.data, "a.ipynb", True)
    monkeypatch.setattr(notebook_process, "LARGE_BYTES", 0)
    process = NotebookProcess(Scratch(tmp_path / "scratch"), "u1")
    written, seen = process.write(content, "a.ipynb"), process.show(here.data, "a.ipynb", True)
    assert isinstance(written.data, Large) and isinstance(seen.content, ScratchFile)
    assert replace(written, data=written.data.file.read()) == here
    assert written.data.digest == hashlib.sha256(here.data).hexdigest()
    assert replace(seen, content=seen.content.read()) == shown
    with pytest.raises(NotebookInvalid):
        process.write(b"[]", "a.ipynb")
    with pytest.raises(BadRequest):
        process.show(b"{", "a.ipynb", False)


async def test_a_notebook_over_the_bound_makes_the_same_way(place: Place, contents: Contents) -> None:
    content = document(code("x" * (LARGE_BYTES + 1), [HTML], trusted=True))
    await contents.save("big.ipynb", notebook(content))
    assert (place.home / "big.ipynb").read_bytes() == as_jupyter_writes(
        document(code(content["cells"][0]["source"], [HTML]))
    )
    assert await is_trusted(contents, "big.ipynb")


# any notebook

SOURCES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
OUTPUTS = st.one_of(
    st.builds(lambda text: {"output_type": "stream", "name": "stdout", "text": text}, SOURCES),
    st.builds(
        lambda text: {"output_type": "display_data", "metadata": {}, "data": {"text/plain": text, "image/png": text}},
        SOURCES,
    ),
)
CELLS = st.lists(st.builds(code, SOURCES, st.lists(OUTPUTS, max_size=3)), max_size=4)


@settings(max_examples=60, deadline=None)
@given(CELLS)
def test_any_notebook_survives_the_way_there_and_back(cells: list[dict[str, Any]]) -> None:
    for number, cell in enumerate(cells):
        cell["id"] = f"c{number}"
    content = document(*cells)
    first = notebooks.write(json.dumps(content).encode(), "a.ipynb")
    assert first.data == as_jupyter_writes(content)
    shown = notebooks.show(first.data, "a.ipynb", trusted=False)
    assert shown.message is None
    assert notebooks.write(shown.content, "a.ipynb").data == first.data
