"""Paired notebooks: kept in step on save, opened from the newer side, and no change is lost silently."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hub.contents.models import Model
from hub.contents.service import Contents
from hub.errors import BadRequest, Conflict, NotebookInvalid
from hub.notebook_files import apart
from hub.notebook_files.choices import Choices
from hub.notebook_files.doing import answer
from hub.notebook_files.jobs import Job, Refused
from tests.unit.contents.conftest import Place, notebook


@pytest.fixture(autouse=True)
def without_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child's work in this process, which is quicker; test_apart.py has the real child."""

    def do(job: Job, expected: type[Any], what: str, uid: int | None = None) -> Any:
        given = answer(job)
        if isinstance(given, Refused):
            raise BadRequest(f"{what}: {given.message}")
        assert isinstance(given, expected)
        return given

    monkeypatch.setattr(apart, "do", do)


PYTHON = {"name": "python3", "display_name": "Python 3", "language": "python"}


def made(*sources: str, outputs: bool = False, **metadata: Any) -> dict[str, Any]:
    output = {"output_type": "stream", "name": "stdout", "text": "1\n"}
    cells = [
        {
            "cell_type": "code",
            "id": f"c{number}",
            "metadata": {},
            "execution_count": 7 if outputs else None,
            "outputs": [output] if outputs else [],
            "source": source,
        }
        for number, source in enumerate(sources)
    ]
    return {"cells": cells, "metadata": {"kernelspec": PYTHON, **metadata}, "nbformat": 4, "nbformat_minor": 5}


def paired(*sources: str, outputs: bool = False) -> dict[str, Any]:
    return made(*sources, outputs=outputs, jupytext={"formats": "ipynb,py:percent"})


def content_of(model: Model) -> dict[str, Any]:
    assert isinstance(model.content, msgspec.Raw)
    found: dict[str, Any] = msgspec.json.decode(model.content)
    return found


def sources_of(model: Model) -> list[str]:
    return [cell["source"] for cell in content_of(model)["cells"]]


async def hash_of(contents: Contents, path: str) -> str | None:
    return (await contents.get(path, content=False, hash=True)).hash


def edit(place: Place, name: str, old: str, new: str) -> Path:
    """Somebody edits a file outside, as an editor or git does."""
    file = place.home / name
    text = file.read_text()
    assert old in text
    return place.put(name, text.replace(old, new))


async def test_saving_the_notebook_writes_the_text_beside_it(place: Place, contents: Contents) -> None:
    await contents.save("a.ipynb", notebook(paired("x = 1", "%time x")))
    text = (place.home / "a.py").read_text()
    assert "formats: ipynb,py:percent" in text
    assert text.endswith("# %%\nx = 1\n\n# %%\n# %time x\n")
    assert place.leftovers() == []


async def test_a_changed_text_gives_the_inputs_and_the_notebook_the_outputs(place: Place, contents: Contents) -> None:
    await contents.save("a.ipynb", notebook(paired("x = 1", "print(x)", outputs=True)))
    edit(place, "a.py", "x = 1", "x = 2")
    model = await contents.get("a.ipynb")
    assert sources_of(model) == ["x = 2", "print(x)"]
    cells = content_of(model)["cells"]
    assert [cell["outputs"][0]["text"] for cell in cells] == ["1\n", "1\n"]
    assert [cell["id"] for cell in cells] == ["c0", "c1"]
    await contents.save("a.ipynb", notebook(content_of(model)))
    assert '"x = 2"' in (place.home / "a.ipynb").read_text()


async def test_a_changed_notebook_alone_is_shown_as_it_is(place: Place, contents: Contents) -> None:
    await contents.save("a.ipynb", notebook(paired("x = 1")))
    edit(place, "a.ipynb", "x = 1", "x = 3")
    os.utime(place.home / "a.py")
    assert sources_of(await contents.get("a.ipynb")) == ["x = 3"]


async def test_when_both_changed_differently_neither_is_shown_nor_lost(place: Place, contents: Contents) -> None:
    await contents.save("a.ipynb", notebook(paired("x = 1")))
    files = edit(place, "a.ipynb", "x = 1", "x = 3"), edit(place, "a.py", "x = 1", "x = 2")
    before = [file.read_bytes() for file in files]
    with pytest.raises(Conflict, match="belong together"):
        await contents.get("a.ipynb")
    with pytest.raises(Conflict, match="paired with it, was changed"):
        await contents.save("a.ipynb", notebook(paired("x = 4")))
    assert [file.read_bytes() for file in files] == before
    (place.home / "a.py").rename(place.home / "b.py")
    assert sources_of(await contents.get("a.ipynb")) == ["x = 3"]


async def test_when_both_changed_alike_nobody_is_bothered(place: Place, contents: Contents) -> None:
    await contents.save("a.ipynb", notebook(paired("x = 1")))
    edit(place, "a.ipynb", "x = 1", "x = 2")
    edit(place, "a.py", "x = 1", "x = 2")
    assert sources_of(await contents.get("a.ipynb")) == ["x = 2"]


async def test_a_text_that_changes_while_the_notebook_is_open_is_not_overwritten(
    place: Place, contents: Contents
) -> None:
    await contents.save("a.ipynb", notebook(paired("x = 1")))
    known = await hash_of(contents, "a.ipynb")
    edit(place, "a.py", "x = 1", "x = 2")
    assert await hash_of(contents, "a.ipynb") != known  # so front ends ask before they save
    with pytest.raises(Conflict, match="Open the notebook anew"):
        await contents.save("a.ipynb", notebook(paired("x = 1", "y = 1")))
    assert sources_of(await contents.get("a.ipynb")) == ["x = 2"]
    await contents.save("a.ipynb", notebook(paired("x = 2", "y = 1")))
    assert "y = 1" in (place.home / "a.py").read_text()


async def test_what_a_save_says_holds_until_a_file_changes(contents: Contents) -> None:
    saved = await contents.save("a.ipynb", notebook(paired("x = 1")))
    shown = await contents.get("a.ipynb", hash=True)
    again = await contents.get("a.ipynb", content=False, hash=True)
    assert saved.model.last_modified == shown.last_modified == again.last_modified
    assert shown.hash == again.hash is not None


async def test_a_text_that_was_there_before_is_not_overwritten(place: Place, contents: Contents) -> None:
    file = place.put("a.py", "print('something else')\n")
    with pytest.raises(Conflict, match="which is there already"):
        await contents.save("a.ipynb", notebook(paired("x = 1")))
    assert file.read_text() == "print('something else')\n"
    assert not (place.home / "a.ipynb").exists()


async def test_a_pair_that_was_cloned_opens(place: Place, contents: Contents) -> None:
    await contents.save("a.ipynb", notebook(paired("x = 1", outputs=True)))
    for name in ("a.py", "a.ipynb"):
        place.put(f"clone/{name}", (place.home / name).read_bytes())
    assert sources_of(await contents.get("clone/a.ipynb")) == ["x = 1"]
    assert sources_of(await contents.get("clone/a.py", type="notebook")) == ["x = 1"]


@pytest.mark.parametrize("seconds, is_shown", [(+10, True), (-10, False)])
async def test_of_an_unknown_pair_a_newer_text_wins_and_an_older_one_is_said(
    place: Place, contents: Contents, seconds: int, is_shown: bool
) -> None:
    await contents.save("a.ipynb", notebook(paired("x = 1")))
    notebook_file = place.put("new/a.ipynb", (place.home / "a.ipynb").read_bytes())
    text = place.put("new/a.py", (place.home / "a.py").read_text().replace("x = 1", "x = 2"))
    time = notebook_file.stat().st_mtime + seconds
    os.utime(text, (time, time))
    if is_shown:
        assert sources_of(await contents.get("new/a.ipynb")) == ["x = 2"]
    else:
        with pytest.raises(Conflict):
            await contents.get("new/a.ipynb")


async def test_a_text_opens_as_a_notebook_and_is_saved_as_the_same_text(place: Place, contents: Contents) -> None:
    text = "# %% [markdown]\n# # Title\n\n# %%\nx = 1\n"
    file = place.put("a.py", text)
    model = await contents.get("a.py", type="notebook", hash=True)
    assert (model.type, model.format, sources_of(model)) == ("notebook", "json", ["# Title", "x = 1"])
    assert model.hash == hashlib.sha256(text.encode()).hexdigest()
    again = await contents.get("a.py", type="notebook")
    assert content_of(again) == content_of(model)  # with the same cell ids
    await contents.save("a.py", notebook(content_of(model)))
    assert file.read_text() == text
    assert (await contents.get("a.py")).type == "file"


async def test_a_databricks_source_opens_and_comes_back_byte_for_byte(place: Place, contents: Contents) -> None:
    text = "# Databricks notebook source\n# MAGIC %md\n# MAGIC # Hi\n\n# COMMAND ----------\n\nx = 1\n"
    file = place.put("a.py", text)
    model = await contents.get("a.py", type="notebook")
    assert sources_of(model) == ["# Hi", "x = 1"]
    await contents.save("a.py", notebook(content_of(model)))
    assert file.read_text() == text


async def test_markdown_opens_as_a_notebook(place: Place, contents: Contents) -> None:
    place.put("a.md", "# Title\n\n```python\nx = 1\n```\n")
    assert sources_of(await contents.get("a.md", type="notebook")) == ["# Title", "x = 1"]


async def test_a_text_that_cannot_be_a_notebook_is_said_so(place: Place, contents: Contents) -> None:
    place.put("a.md", b"\xff\xfe")
    with pytest.raises(BadRequest, match="UTF-8"):
        await contents.get("a.md", type="notebook")


async def test_a_folder_chooses_the_pairing_for_jupytext_and_the_hub(place: Place, contents: Contents) -> None:
    place.put("course/jupytext.toml", 'formats = "ipynb,md"\n')
    await contents.save("course/week/a.ipynb", notebook(made("x = 1"))) if (place.make_folder("course/week")) else None
    assert "x = 1" in (place.home / "course/week/a.md").read_text()
    await contents.choose(Choices(pair="ipynb,py:light"))
    await contents.save("a.ipynb", notebook(made("x = 1")))
    assert "x = 1" in (place.home / "a.py").read_text()


@pytest.mark.parametrize(
    "formats", ["ipynb,../x//py", "ipynb,/etc//py", "ipynb,md:pandoc", "ipynb,.x//py", "ipynb", "x" * 999]
)
async def test_formats_that_the_hub_does_not_keep_do_not_hinder_a_save(
    place: Place, contents: Contents, formats: str
) -> None:
    await contents.save("a.ipynb", notebook(made("x = 1", jupytext={"formats": formats})))
    assert {file.name for file in place.home.iterdir()} == {"a.ipynb", ".ipynb_checkpoints"}


async def test_a_text_in_a_folder_below_is_kept_too(place: Place, contents: Contents) -> None:
    await contents.save("d.ipynb", notebook(made("x = 1", jupytext={"formats": "ipynb,scripts//py:percent"})))
    edit(place, "scripts/d.py", "x = 1", "x = 2")
    assert sources_of(await contents.get("d.ipynb")) == ["x = 2"]
    assert sources_of(await contents.get("scripts/d.py", type="notebook")) == ["x = 2"]


async def test_renaming_one_renames_the_other(place: Place, contents: Contents) -> None:
    await contents.save("a.ipynb", notebook(paired("x = 1")))
    await contents.rename("a.ipynb", "b.ipynb")
    assert (place.home / "b.py").exists() and not (place.home / "a.py").exists()
    edit(place, "b.py", "x = 1", "x = 2")
    assert sources_of(await contents.get("b.ipynb")) == ["x = 2"]


async def test_a_broken_notebook_changes_neither(place: Place, contents: Contents) -> None:
    await contents.save("a.ipynb", notebook(paired("x = 1")))
    before = [(place.home / name).read_bytes() for name in ("a.ipynb", "a.py")]
    with pytest.raises(NotebookInvalid):
        await contents.save("a.ipynb", notebook({**paired("x = 2"), "cells": [{"cell_type": "x"}]}))
    assert [(place.home / name).read_bytes() for name in ("a.ipynb", "a.py")] == before


async def test_a_new_text_notebook_is_made_as_jupytexts_menu_asks(place: Place, contents: Contents) -> None:
    model = await contents.new_untitled("", "notebook", "py:percent")
    assert (model.path, model.type) == ("Untitled.py", "notebook")
    assert "format_name: percent" in (place.home / "Untitled.py").read_text()
    assert sources_of(await contents.get("Untitled.py", type="notebook")) == []


async def test_who_renames_the_text_keeps_both(place: Place, contents: Contents) -> None:
    await contents.save("a.ipynb", notebook(paired("x = 1")))
    edit(place, "a.ipynb", "x = 1", "x = 3")
    edit(place, "a.py", "x = 1", "x = 2")
    await contents.rename("a.py", "mine.py")
    assert sources_of(await contents.get("a.ipynb")) == ["x = 3"]
    assert "x = 2" in (place.home / "mine.py").read_text()


async def test_a_changed_text_stays_the_newer_one_until_the_notebook_is_saved(place: Place, contents: Contents) -> None:
    await contents.save("a.ipynb", notebook(paired("x = 1")))
    edit(place, "a.py", "x = 1", "x = 2")
    for _ in range(2):
        assert sources_of(await contents.get("a.ipynb")) == ["x = 2"]
