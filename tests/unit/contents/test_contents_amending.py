"""A notebook changed by the hub: only if it is what was read, trusted as it was, as any save writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from hub.contents.large import Data
from hub.contents.service import Contents
from hub.errors import BadRequest, Conflict, NotebookInvalid, NotFound
from tests.unit.contents.conftest import Place

RICH = [{"output_type": "display_data", "data": {"text/html": "<b>x</b>"}, "metadata": {}}]


def document(text: str = "1", outputs: list[Any] | None = None, **metadata: Any) -> bytes:
    cell: dict[str, Any] = {"cell_type": "code", "id": "a", "metadata": {}, "source": text, "outputs": outputs or [],
            "execution_count": None}  # fmt: skip
    return json.dumps({"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}).encode()


def to(data: bytes | None) -> Callable[[Data], Data | None]:
    return lambda _data: data


@pytest.fixture
def file(place: Place) -> Any:
    return place.put("a.ipynb", document(), mode=0o640)


async def test_it_is_written_as_jupyter_writes(contents: Contents, file: Any) -> None:
    assert await contents.amend("a.ipynb", to(document("2")))
    text = file.read_text()
    assert text.startswith('{\n "cells": [\n') and text.endswith("}\n") and '"source": [\n    "2"\n   ]' in text
    assert file.stat().st_mode & 0o777 == 0o640


async def test_no_change_writes_nothing(contents: Contents, file: Any) -> None:
    before = file.stat()
    assert not await contents.amend("a.ipynb", to(None))
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("how", ["rewritten", "replaced", "gone"])
async def test_what_somebody_else_changed_meanwhile_is_not_overwritten(
    place: Place, contents: Contents, file: Any, how: str
) -> None:
    def change(_data: Data) -> Data:
        if how == "gone":
            file.unlink()
        elif how == "replaced":
            place.put("b", document("9")).replace(file)
        else:
            file.write_bytes(document("9"))
        return document("2")

    with pytest.raises((Conflict, NotFound)):
        await contents.amend("a.ipynb", change)
    assert [path.name for path in file.parent.iterdir()] == ([] if how == "gone" else ["a.ipynb"])
    if how != "gone":
        assert file.read_bytes() == document("9")


async def test_what_does_not_follow_the_format_is_not_written(contents: Contents, file: Any) -> None:
    with pytest.raises(NotebookInvalid):
        await contents.amend("a.ipynb", to(document(outputs=[{"output_type": "stream"}])))
    assert file.read_bytes() == document()


async def test_a_trusted_notebook_stays_trusted_and_another_does_not_become_so(contents: Contents, file: Any) -> None:
    await contents.amend("a.ipynb", to(document("2", RICH)))
    assert not await trusted(contents)
    await contents.trust("a.ipynb")
    await contents.amend("a.ipynb", to(document("3", RICH)))
    assert await trusted(contents)


async def trusted(contents: Contents) -> bool:
    model = await contents.get("a.ipynb")
    content = json.loads(bytes(model.content))  # type: ignore[arg-type]
    return bool(content["cells"][0]["metadata"]["trusted"])


async def test_it_is_shown_amended_while_the_file_stays(contents: Contents, file: Any) -> None:
    model, _ = await contents.stream("a.ipynb", hash=True, amend=to(document("2")))
    plain, _ = await contents.stream("a.ipynb", hash=True)
    assert b'"source":"2"' in bytes(model.content)  # type: ignore[arg-type]
    assert model.hash == plain.hash
    assert file.read_bytes() == document()


async def test_notebooks_that_keep_no_outputs_get_none(contents: Contents, place: Place, file: Any) -> None:
    await contents.choose_for_folder("", "save", None)
    with pytest.raises(BadRequest, match="without outputs"):
        await contents.amend("a.ipynb", to(document("2")))
    with pytest.raises(BadRequest, match="kept as text"):
        await contents.amend("a.py", to(document("2")))
    with pytest.raises(BadRequest, match="hidden"):
        await contents.amend(".hidden.ipynb", to(document("2")))
