"""Large requests and large content: by way of files, with the same outcome as small ones by way of memory."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import nbformat
import pytest

from hub.contents import documents, notebook_process, pair_files
from hub.contents.file_content import encode_base64, encode_text
from hub.contents.large import Large, Scratch, ScratchFile
from hub.contents.models import Saved
from hub.contents.raw import RawFile
from hub.contents.service import Contents
from hub.errors import BadRequest, Conflict, NoSpace, NotebookInvalid, TooLarge, TooManyRequests
from hub.notebook_files.choices import Choices
from tests.conftest import missing
from tests.unit.contents.conftest import IS_ROOT, Place, user

HTML = {"output_type": "display_data", "metadata": {}, "data": {"text/html": "<b>x</b>"}}


def document(source: str = "1", trusted: bool = True, **metadata: Any) -> dict[str, Any]:
    cell = {"cell_type": "code", "id": "c1", "execution_count": None, "source": source}
    cells = [{**cell, "metadata": {"trusted": trusted}, "outputs": [HTML]}]
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def as_jupyter_writes(content: dict[str, Any]) -> bytes:
    for cell in content["cells"]:
        cell["metadata"].pop("trusted", None)
    return (nbformat.writes(nbformat.from_dict(content)) + "\n").encode()


async def save(contents: Contents, path: str, body: object) -> Saved:
    """Save by way of a file, as if the request were large."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await contents.save_large(path, await contents.spool().add(data))


def notebook(content: object) -> dict[str, Any]:
    return {"type": "notebook", "format": "json", "content": content}


async def test_a_notebook_is_written_as_jupyter_writes_it_and_trusted(place: Place, contents: Contents) -> None:
    saved = await save(contents, "a.ipynb", notebook(document("größe = 1")))
    assert saved.created and saved.model.type == "notebook"
    assert (place.home / "a.ipynb").read_bytes() == as_jupyter_writes(document("größe = 1"))
    assert (place.home / "a.ipynb").stat().st_uid == place.uid
    shown = await contents.get("a.ipynb")
    assert isinstance(shown.content, msgspec.Raw)
    assert json.loads(bytes(shown.content))["cells"][0]["metadata"] == {"trusted": True}
    assert len(await contents.list_checkpoints("a.ipynb")) == 1
    assert not (await save(contents, "a.ipynb", notebook(document("x", trusted=False)))).created
    shown = await contents.get("a.ipynb")
    assert isinstance(shown.content, msgspec.Raw)
    assert json.loads(bytes(shown.content))["cells"][0]["metadata"] == {"trusted": False}
    assert place.leftovers() == []


async def test_a_save_without_a_change_keeps_every_byte_also_of_a_large_one(place: Place, contents: Contents) -> None:
    big = {"numbers": [1.0, 2.5], "text": "x" * 5_000_000}
    before = json.dumps(json.loads(as_jupyter_writes(document(**big))), indent=5).encode()
    file = place.put("a.ipynb", before)
    await save(contents, "a.ipynb", notebook(document(numbers=[1, 2.5], text=big["text"])))
    assert file.read_bytes() == before
    await save(contents, "a.ipynb", notebook(document(numbers=[1, 3], text=big["text"])))
    assert file.read_bytes() == as_jupyter_writes(document(numbers=[1, 3], text=big["text"]))


async def test_a_file_that_is_no_notebook_is_not_overwritten(place: Place, contents: Contents) -> None:
    file = place.put("a.ipynb", "<<<<<<< HEAD")
    with pytest.raises(Conflict, match="not a notebook"):
        await save(contents, "a.ipynb", notebook(document()))
    assert file.read_text() == "<<<<<<< HEAD"


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b'{"type": "notebook", "content": {', BadRequest, "not valid JSON"),
        (b'{"type": "notebook", "content": "\xff"}', BadRequest, "can't decode"),
        (b"[" * 100_000, BadRequest, "not"),
        ({"type": 5, "content": {}}, BadRequest, "not as expected"),
        (notebook([]), NotebookInvalid, "not a notebook"),
        (notebook({**document(), "cells": [{"cell_type": "code"}]}), NotebookInvalid, "as it was before"),
        ({**notebook(document()), "copy_from": "b.ipynb"}, BadRequest, "Cannot copy"),
        ({"type": "notebook"}, BadRequest, "has no content"),
        ({"content": document()}, BadRequest, "of which type"),
        ({**notebook(document()), "chunk": 1}, BadRequest, "."),
        ({"type": "file", "format": "base64", "content": "?"}, BadRequest, "not valid base64"),
        ({"type": "file", "format": "text", "content": 5}, BadRequest, "must be a string"),
        ({"type": "directory"}, BadRequest, "not a directory"),
    ],
)
async def test_what_is_refused_leaves_the_file_as_it_was(
    place: Place, contents: Contents, body: object, kind: type[Exception], words: str
) -> None:
    file = place.put("a.ipynb", as_jupyter_writes(document()))
    with pytest.raises(kind, match=words):
        await save(contents, "a.ipynb", body)
    assert file.read_bytes() == as_jupyter_writes(document())
    assert place.leftovers() == []


async def test_the_content_of_files_and_chunks_comes_that_way_too(place: Place, contents: Contents) -> None:
    assert (await save(contents, "a.txt", {"type": "file", "format": "text", "content": "größe"})).created
    assert (place.home / "a.txt").read_text() == "größe"
    await save(contents, "b.bin", {"type": "strange", "format": "base64", "content": "aG\nk="})
    assert (place.home / "b.bin").read_bytes() == b"hi"
    await save(contents, "new.ipynb", {"content": document()})
    assert (await contents.get("new.ipynb")).type == "notebook"
    await save(contents, "up.bin", {"type": "file", "format": "text", "content": "one", "chunk": 1})
    await save(contents, "up.bin", {"type": "file", "format": "text", "content": "two", "chunk": -1})
    assert (place.home / "up.bin").read_text() == "onetwo"
    await save(contents, "folder", {"type": "directory"})
    assert (place.home / "folder").is_dir()


async def test_choices_hold_and_pairs_are_kept_in_step(place: Place, contents: Contents) -> None:
    await contents.choose(Choices(strip="save"))
    paired = document("x = 1", jupytext={"formats": "ipynb,py:percent"})
    await save(contents, "a.ipynb", notebook(paired))
    assert json.loads((place.home / "a.ipynb").read_text())["cells"][0]["outputs"] == []
    assert "x = 1" in (place.home / "a.py").read_text()


async def test_a_large_pair_is_written_and_opened_as_a_small_one(
    place: Place, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (documents, notebook_process, pair_files):
        monkeypatch.setattr(module, "LARGE_BYTES", 0)
    monkeypatch.setattr("hub.contents.pairing.LARGE_BYTES", 0)
    await save(contents, "a.ipynb", notebook(document("x = 1", jupytext={"formats": "ipynb,py:percent"})))
    file = place.home / "a.py"
    place.put("a.py", file.read_text().replace("x = 1", "x = 2"))
    shown = await contents.get("a.ipynb")
    assert isinstance(shown.content, msgspec.Raw)
    cell = json.loads(bytes(shown.content))["cells"][0]
    assert (cell["source"], cell["outputs"], cell["metadata"]["trusted"]) == ("x = 2", [HTML], True)


@pytest.mark.parametrize("data", [as_jupyter_writes(document("ü" * 50)), "ü\0\n".encode() * 50, b"\xff\xfe" * 51, b""])
@pytest.mark.parametrize("format", [None, "base64"])
@pytest.mark.parametrize("type", [None, "file"])
async def test_large_content_is_streamed_as_small_content_is_told(
    place: Place,
    contents: Contents,
    monkeypatch: pytest.MonkeyPatch,
    data: bytes,
    format: str | None,
    type: str | None,
) -> None:
    place.put("a.ipynb", data)
    small = await contents.get("a.ipynb", type=type, format=format, hash=True)
    monkeypatch.setattr(documents, "LARGE_BYTES", 0)
    assert await contents.get("a.ipynb", type=type, format=format, hash=True) == small
    model, large = await contents.stream("a.ipynb", type=type, format=format, hash=True)
    assert isinstance(large, RawFile) and model.content is None
    async with large:
        assert await large.read(0, 10_000) == msgspec.json.encode(small.content)


@pytest.mark.parametrize("sizes", [[], [1], [2], [3], [4, 4, 4], [1, 1, 1, 1], [5, 0, 7]])
def test_pieces_give_the_json_of_the_whole(sizes: list[int]) -> None:
    text = 'aü\U0001f600\\"\n\x01zyxwvutsrq'.encode()
    pieces = [text[sum(sizes[:n]) : sum(sizes[: n + 1])] for n in range(len(sizes))] + [text[sum(sizes) :]]
    assert json.loads(b"".join(encode_text(iter(pieces)))) == text.decode()
    whole = msgspec.json.encode(text)
    assert b"".join(encode_base64(iter(pieces))) == whole  # msgspec writes bytes as base64
    with pytest.raises(UnicodeDecodeError):
        b"".join(encode_text(iter([text, b"\xc3"])))


async def test_a_file_over_the_limit_is_refused_before_it_is_copied(make_place: Callable[..., Place]) -> None:
    place = make_place()
    with place.put("a.ipynb").open("r+b") as file:
        file.truncate(200 * 1024**2)
    with pytest.raises(TooLarge):
        await place.service.of(user(1)).stream("a.ipynb")


async def test_one_process_at_a_time_for_each_user(
    contents: Contents, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebook_process, "WAIT_SECONDS", 0.05)
    with notebook_process._lanes["u1"]:
        with pytest.raises(TooManyRequests):
            await save(contents, "a.ipynb", notebook(document()))
        assert (await save(place.service.of(user(10)), "a.ipynb", notebook(document()))).created
    monkeypatch.setattr(notebook_process, "_inside", threading.BoundedSemaphore(1))
    with notebook_process._inside, pytest.raises(TooManyRequests):
        await save(contents, "a.ipynb", notebook(document()))


def open_scratch_files(folder: Path) -> list[str]:
    links = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names of what may vanish
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))  # noqa: PTH115
        except OSError:
            continue
    return [link for link in links if link.startswith(str(folder))]


async def test_nothing_is_left_in_the_folder_or_open(
    place: Place, contents: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "LARGE_BYTES", 0)
    scratch = tmp_path / "state" / "scratch"
    spool = contents.spool()
    body = await spool.add(json.dumps(notebook(document())).encode())
    assert len(open_scratch_files(scratch)) == 1
    await contents.save_large("a.ipynb", body)
    model, large = await contents.stream("a.ipynb")
    assert large is not None and len(open_scratch_files(scratch)) == 1
    large.close()
    del spool, body, model
    with pytest.raises(NotebookInvalid):
        await save(contents, "a.ipynb", notebook([]))
    place.put("broken.ipynb", "{")
    with pytest.raises(BadRequest):
        await contents.stream("broken.ipynb", type="notebook")
    assert open_scratch_files(scratch) == []
    assert list(scratch.iterdir()) == []
    assert scratch.stat().st_mode & 0o077 == 0


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Scratch]:
    """A folder on a disk of 64 KiB."""
    disk = tmp_path / "full"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=65536", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True) if IS_ROOT else None
    if done is None or done.returncode != 0:
        missing("the right to mount a tmpfs", "run the tests as root, outside of containers that forbid it")
    yield Scratch(disk)
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_of_the_hub_is_said(full: Scratch, tmp_path: Path) -> None:
    with pytest.raises(NoSpace, match="disk of the hub"):
        full.fill([b"x" * 100_000])
    process = notebook_process.NotebookProcess(full, "u1")
    given = Scratch(tmp_path / "roomy").fill([as_jupyter_writes(document("x" * 100_000))])
    with pytest.raises(NoSpace, match="disk of the hub"):
        process.show(Large(given, ""), "a.ipynb", True)
    assert isinstance(full.fill([b"x" * 30_000]), ScratchFile)
