"""Outputs in the file are a choice: of the user, or of the nearest folder that says something."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from hub.contents.service import Contents
from hub.errors import BadRequest, NotFound
from hub.notebook_files.choices import MAX_FILE_BYTES, Choices
from tests.unit.contents.conftest import Place, notebook

OUTPUT = {"output_type": "execute_result", "execution_count": 3, "metadata": {}, "data": {"text/plain": "3"}}


def cell(source: str, **metadata: Any) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": f"id-{source}",
        "metadata": metadata,
        "execution_count": 3,
        "outputs": [OUTPUT],
        "source": source,
    }


NOTEBOOK = {
    "cells": [
        cell("a", scrolled=True, mine=1),
        cell("b", keep_output=True),
        cell("c", tags=["keep_output"]),
        cell("d", init_cell=True),
        {"cell_type": "markdown", "id": "m", "metadata": {}, "source": "# x"},
    ],
    "metadata": {"widgets": {"x": 1}, "kernelspec": {"name": "p", "display_name": "P"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


def on_disk(place: Place, name: str = "a.ipynb") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place.home / name).read_text())
    return found


def outputs_of(saved: dict[str, Any]) -> list[int]:
    return [len(cell["outputs"]) for cell in saved["cells"] if cell["cell_type"] == "code"]


async def test_outputs_stay_unless_somebody_says_otherwise(place: Place, contents: Contents) -> None:
    await contents.save("a.ipynb", notebook(NOTEBOOK))
    assert outputs_of(on_disk(place)) == [1, 1, 1, 1]


async def test_a_save_leaves_out_what_nbstripout_leaves_out(place: Place, contents: Contents) -> None:
    place.put(".kernelhub.toml", '[notebooks]\nstrip = "save"\nstrip_keys = ["cell.metadata.mine"]\n')
    await contents.save("a.ipynb", notebook(NOTEBOOK))
    saved = on_disk(place)
    assert outputs_of(saved) == [0, 1, 1, 1]
    assert [one.get("execution_count") for one in saved["cells"]] == [None] * 5
    assert [one["outputs"][0]["execution_count"] for one in saved["cells"][1:4]] == [None] * 3
    assert saved["cells"][0]["metadata"] == {}
    assert saved["metadata"] == {"kernelspec": {"name": "p", "display_name": "P"}}
    assert [one["id"] for one in saved["cells"]] == ["id-a", "id-b", "id-c", "id-d", "m"]


async def test_front_ends_see_no_foreign_change_after_a_stripped_save(contents: Contents) -> None:
    await contents.choose(Choices(strip="save"))
    saved = await contents.save("a.ipynb", notebook(NOTEBOOK))
    first = await contents.get("a.ipynb", content=False, hash=True)
    await contents.save("a.ipynb", notebook(NOTEBOOK))
    second = await contents.get("a.ipynb", content=False, hash=True)
    assert saved.model.last_modified == first.last_modified
    assert first.hash == second.hash


async def test_the_nearest_folder_decides_then_the_user(place: Place, contents: Contents) -> None:
    await contents.choose(Choices(strip="download"))
    place.put("course/.kernelhub.toml", '[notebooks]\nstrip = "save"\n')
    place.put("course/kept/.kernelhub.toml", '[notebooks]\nstrip = "never"\n')
    found = [(await contents.choices(path)).strip for path in ("a.ipynb", "course/b.ipynb", "course/kept/c.ipynb")]
    assert found == ["download", "save", "never"]


@pytest.mark.parametrize(
    "text",
    [
        "[notebooks",
        '[notebooks]\nstrip = "always"\n',
        "notebooks = 1",
        "x" * (MAX_FILE_BYTES + 1),
        "a = " + "[" * 9000,
        '[notebooks]\nstrip_keys = ["x"]\n',
        b"\xff",
        "a = " + "1" * 5000,
        "[" + "a." * 4000 + "a]\n" + "a." * 4000 + "b = 1",
    ],
    ids=range(9),
)
async def test_a_wrong_file_is_named_and_says_nothing(place: Place, contents: Contents, text: str | bytes) -> None:
    place.put(".kernelhub.toml", text)
    await contents.save("a.ipynb", notebook(NOTEBOOK))
    assert outputs_of(on_disk(place)) == [1, 1, 1, 1]
    said = await contents.look_up_choices("")
    assert len(said[0].problems) == 1
    assert ".kernelhub.toml" in said[0].problems[0]


async def test_a_file_that_is_a_link_or_a_fifo_says_nothing(place: Place, contents: Contents) -> None:
    place.link(".kernelhub.toml", place.secret)
    assert (await contents.choices("a.ipynb")).strip is None
    assert (await contents.look_up_choices(""))[0].problems == [".kernelhub.toml cannot be read."]


async def test_a_page_writes_the_files_and_takes_them_away(place: Place, contents: Contents) -> None:
    place.make_folder("course")
    await contents.choose_for_folder("course", "save", "ipynb,py:percent")
    assert 'strip = "save"' in (place.home / "course/.kernelhub.toml").read_text()
    assert (place.home / "course/jupytext.toml").read_text() == 'formats = "ipynb,py:percent"\n'
    found = await contents.choices("course/a.ipynb")
    assert (found.strip, found.pair) == ("save", "ipynb,py:percent")
    await contents.choose_for_folder("course", None, None)
    assert list((place.home / "course").iterdir()) == []


async def test_a_file_that_says_more_is_left_alone(place: Place, contents: Contents) -> None:
    file = place.put("course/.kernelhub.toml", '[notebooks]\nstrip = "save"\nstrip_keys = ["metadata.x"]\n')
    with pytest.raises(BadRequest, match="by hand"):
        await contents.choose_for_folder("course", "never", None)
    assert "strip_keys" in file.read_text()
    with pytest.raises(NotFound):
        await contents.choose_for_folder("nowhere", "never", None)
    with pytest.raises((BadRequest, NotFound)):
        await contents.choose_for_folder("../x", "never", None)


async def test_a_download_without_outputs(place: Place, contents: Contents) -> None:
    await contents.save("a.ipynb", notebook(NOTEBOOK))
    stripped = await contents.without_outputs("a.ipynb")
    assert isinstance(stripped, bytes) and outputs_of(json.loads(stripped)) == [0, 1, 1, 1]
    assert outputs_of(on_disk(place)) == [1, 1, 1, 1]
    place.put("b.ipynb", b"{")
    with pytest.raises(BadRequest, match="cannot be left out"):
        await contents.without_outputs("b.ipynb")


async def test_colabs_metadata_survive_an_open_and_a_save(place: Place, contents: Contents) -> None:
    colab = {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": None,
                "metadata": {
                    "cellView": "form",
                    "colab": {"base_uri": "https://localhost:8080/", "height": 34},
                    "id": "Yk1pcWJzYQ9x",
                    "outputId": "0b7c7f1e-6c5f-4c3d-dc41-5f3c7a5c1d2e",
                },
                "outputs": [],
                "source": ['#@title Settings { run: "auto" }\n', 'rate = 0.1 #@param {type:"slider", min:0, max:1}\n'],
            },
            {"cell_type": "markdown", "metadata": {"id": "Bq0sJ2xYQ9x1"}, "source": ["# Colab"]},
        ],
        "metadata": {
            "accelerator": "GPU",
            "colab": {"collapsed_sections": ["Bq0sJ2xYQ9x1"], "gpuType": "T4", "name": "a.ipynb", "provenance": []},
            "kernelspec": {"display_name": "Python 3", "name": "python3"},
            "language_info": {"name": "python"},
            "widgets": {"application/vnd.jupyter.widget-state+json": {"00": {"model_name": "LayoutModel"}}},
        },
        "nbformat": 4,
        "nbformat_minor": 0,
    }
    data = (json.dumps(colab, indent=1, sort_keys=True) + "\n").encode()
    file = place.put("a.ipynb", data)
    model = await contents.get("a.ipynb")
    assert isinstance(model.content, msgspec.Raw)
    await contents.save("a.ipynb", notebook(msgspec.json.decode(model.content)))
    assert file.read_bytes() == data
