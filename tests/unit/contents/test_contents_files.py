"""Files and folders: reading, saving, listing (hub.contents.documents, saving, listing)."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest

from hub.contents.models import Limits, Model, SaveRequest
from hub.contents.service import Contents
from hub.errors import BadRequest, Forbidden, NotFound, TooLarge
from tests.unit.contents.conftest import Place, raw, text, user


async def test_a_text_file_is_shown_as_jupyter_shows_it(place: Place, contents: Contents) -> None:
    file = place.put("d/ä.txt", "größe\n")
    shown = msgspec.json.decode(msgspec.json.encode(await contents.get("d/ä.txt", hash=True)))
    times = {"created": shown.pop("created"), "last_modified": shown.pop("last_modified")}
    assert shown == {
        "name": "ä.txt",
        "path": "d/ä.txt",
        "type": "file",
        "writable": True,
        "mimetype": "text/plain",
        "size": 8,
        "format": "text",
        "content": "größe\n",
        "hash": hashlib.sha256("größe\n".encode()).hexdigest(),
        "hash_algorithm": "sha256",
    }
    assert all(time.endswith("Z") for time in times.values())
    assert times["last_modified"] == datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat().replace(
        "+00:00", "Z"
    )


async def test_without_content_there_is_neither_content_nor_format(place: Place, contents: Contents) -> None:
    place.put("a.txt", "x")
    model = await contents.get("a.txt", content=False)
    assert (model.content, model.format, model.hash, model.hash_algorithm) == (None, None, None, None)


async def test_the_hash_is_the_same_with_and_without_content(place: Place, contents: Contents) -> None:
    place.put("a.ipynb", '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    with_content = await contents.get("a.ipynb", hash=True)
    without = await contents.get("a.ipynb", content=False, hash=True)
    assert with_content.hash == without.hash is not None


async def test_bytes_that_are_not_text_come_as_base64(place: Place, contents: Contents) -> None:
    data = bytes(range(256))
    place.put("a.bin", data)
    place.put("unknown", data)
    model = await contents.get("a.bin")
    assert (model.format, base64.b64decode(str(model.content))) == ("base64", data)
    assert (await contents.get("unknown")).mimetype == "application/octet-stream"
    with pytest.raises(BadRequest, match="not UTF-8"):
        await contents.get("a.bin", format="text")


async def test_text_can_be_asked_for_as_base64(place: Place, contents: Contents) -> None:
    place.put("a.txt", "hello")
    assert (await contents.get("a.txt", format="base64")).content == base64.b64encode(b"hello").decode()


async def test_a_notebook_can_be_asked_for_as_a_file(place: Place, contents: Contents) -> None:
    place.put("a.ipynb", "broken {")
    assert (await contents.get("a.ipynb", type="file", format="text")).content == "broken {"


@pytest.mark.parametrize(
    ("path", "type"), [("d", "file"), ("d", "notebook"), ("a.txt", "directory"), ("a.txt", "link")]
)
async def test_the_wrong_type_is_a_bad_request(place: Place, contents: Contents, path: str, type: str) -> None:
    place.put("a.txt")
    place.make_folder("d")
    with pytest.raises(BadRequest):
        await contents.get(path, type=type)


@pytest.mark.parametrize("path", [".hidden", "d/.hidden/x.txt", ".d/x.txt"])
async def test_hidden_files_cannot_be_read_or_changed(place: Place, contents: Contents, path: str) -> None:
    place.put(path, "secret")
    place.put("a.txt", "x")
    for missing in (contents.get(path), contents.get(path, content=False), contents.open_raw(path)):
        with pytest.raises(NotFound):
            await missing
    for change in (
        contents.save(path, text("x")),
        contents.delete(path),
        contents.rename(path, "b.txt"),
        contents.rename("a.txt", path + "2"),
        contents.create_checkpoint(path),
        contents.copy("a.txt", path),
    ):
        with pytest.raises(BadRequest):
            await change
    with pytest.raises(NotFound):
        await contents.copy(path, "")
    assert not await contents.exists(path)
    assert (place.home / path).read_text() == "secret"


async def test_hidden_files_are_there_when_they_are_allowed(make_place: Callable[..., Place]) -> None:
    place = make_place(limits=Limits(allow_hidden=True))
    contents = place.service.of(user(1))
    await contents.save(".bashrc", text("x"))
    assert [m.name for m in await children(contents, "")] == [".bashrc"]


async def test_a_folder_lists_files_notebooks_and_folders(place: Place, contents: Contents) -> None:
    place.put("d/a.txt", "12345")
    place.put("d/b.ipynb", "{}")
    place.put("d/c.png", "x")
    place.make_folder("d/e")
    for name in ("__pycache__", "x.pyc", "x.pyo", "x~", ".DS_Store", ".ipynb_checkpoints", ".hidden"):
        place.put(f"d/{name}", "x")
    model = await contents.get("d")
    assert (model.type, model.format, model.size, model.mimetype) == ("directory", "json", None, None)
    listed = {m.path: (m.type, m.size, m.mimetype) for m in await children(contents, "d")}
    assert listed == {
        "d/a.txt": ("file", 5, "text/plain"),
        "d/b.ipynb": ("notebook", 2, None),
        "d/c.png": ("file", 1, "image/png"),
        "d/e": ("directory", None, None),
    }
    assert all(m.content is None and m.format is None and m.hash is None for m in await children(contents, "d"))


async def test_the_home_has_an_empty_name(contents: Contents) -> None:
    model = await contents.get("")
    assert (model.name, model.path, model.type, model.content) == ("", "", "directory", [])


async def test_a_folder_without_content_is_not_read(place: Place, contents: Contents) -> None:
    place.make_folder("d")
    model = await contents.get("d", content=False)
    assert (model.type, model.content, model.format) == ("directory", None, None)


async def test_a_folder_with_5000_files_is_listed_whole(place: Place, contents: Contents) -> None:
    folder = place.make_folder("many")
    for number in range(5000):
        (folder / f"file{number}.txt").touch()
    assert len(await children(contents, "many")) == 5000


async def test_a_new_file_is_created_and_an_old_one_kept_in_its_mode(place: Place, contents: Contents) -> None:
    first = await contents.save("a.sh", text("1"))
    assert first.created
    assert (place.home / "a.sh").stat().st_mode & 0o7777 == 0o644
    (place.home / "a.sh").chmod(0o750)
    second = await contents.save("a.sh", text("2"))
    assert not second.created
    assert (place.home / "a.sh").stat().st_mode & 0o7777 == 0o750
    assert (place.home / "a.sh").read_text() == "2"
    assert (second.model.content, second.model.format, second.model.size) == (None, None, 1)
    assert place.leftovers() == []


async def test_what_is_saved_belongs_to_the_user(place: Place, contents: Contents) -> None:
    await contents.save("a.txt", text("1"))
    await contents.save("d", SaveRequest(type="directory"))
    await contents.save("b.ipynb", SaveRequest(type="notebook"))
    for path in place.home.rglob("*"):
        assert (path.stat().st_uid, path.stat().st_gid) == (place.uid, place.homes.gid)


async def test_base64_is_decoded(place: Place, contents: Contents) -> None:
    wrapped = base64.encodebytes(bytes(range(256))).decode()
    await contents.save("a.bin", SaveRequest(type="file", format="base64", content=raw(wrapped)))
    assert (place.home / "a.bin").read_bytes() == bytes(range(256))


@pytest.mark.parametrize(
    "request_",
    [
        SaveRequest(type="file", format="base64", content=raw("not base64é")),
        SaveRequest(type="file", format="base64", content=raw("abc")),
        SaveRequest(type="file", format="base64", content=raw("!!!!")),
        SaveRequest(type="file", format="json", content=raw("x")),
        SaveRequest(type="file", content=raw("x")),
        SaveRequest(type="file", format="text", content=raw({"a": 1})),
        SaveRequest(type="file", format="text", content=msgspec.Raw(rb'"\ud800"')),
        SaveRequest(type="file", format="text"),
        SaveRequest(content=raw("x")),
        SaveRequest(type="socket", format="text", content=raw("x")),
        SaveRequest(type="directory"),
    ],
)
async def test_a_wrong_body_leaves_the_old_file(place: Place, contents: Contents, request_: SaveRequest) -> None:
    place.put("a.txt", "old")
    with pytest.raises(BadRequest):
        await contents.save("a.txt", request_)
    assert (place.home / "a.txt").read_text() == "old"
    assert place.leftovers() == []


async def test_a_new_file_without_content_is_empty(place: Place, contents: Contents) -> None:
    assert (await contents.save("a.txt", SaveRequest())).created
    assert (await contents.save("b.ipynb", SaveRequest())).model.type == "notebook"
    assert (place.home / "a.txt").read_bytes() == b""


async def test_a_folder_is_made_once(place: Place, contents: Contents) -> None:
    assert (await contents.save("d", SaveRequest(type="directory"))).created
    assert not (await contents.save("d", SaveRequest(type="directory"))).created
    assert (place.home / "d").stat().st_mode & 0o7777 == 0o755
    with pytest.raises(BadRequest):
        await contents.save("d", text("x"))


async def test_a_missing_folder_is_named(contents: Contents) -> None:
    with pytest.raises(NotFound, match="No such directory: no/such"):
        await contents.save("no/such/a.txt", text("x"))


@pytest.mark.parametrize("type", ["file", "directory", "notebook"])
async def test_the_home_itself_cannot_be_saved(contents: Contents, type: str) -> None:
    with pytest.raises(BadRequest):
        await contents.save("", SaveRequest(type=type, format="text", content=raw("x")))


async def test_a_read_only_file_is_not_replaced(place: Place, contents: Contents) -> None:
    place.put("a.txt", "old", mode=0o444)
    assert not (await contents.get("a.txt", content=False)).writable
    with pytest.raises(Forbidden):
        await contents.save("a.txt", text("new"))
    assert (place.home / "a.txt").read_text() == "old"


async def test_files_over_the_limit_are_refused_not_loaded(make_place: Callable[..., Place]) -> None:
    place = make_place(limits=Limits(document_bytes=10))
    contents = place.service.of(user(1))
    place.put("ten.txt", "x" * 10)
    place.put("eleven.txt", "x" * 11)
    assert (await contents.get("ten.txt")).content == "x" * 10
    with pytest.raises(TooLarge):
        await contents.get("eleven.txt")
    assert (await contents.get("eleven.txt", content=False)).size == 11


async def test_two_users_have_nothing_in_common(place: Place, contents: Contents) -> None:
    await contents.save("a.txt", text("mine"))
    other = place.service.of(user(10))
    assert await children(other, "") == []
    with pytest.raises(NotFound):
        await other.get("a.txt")


async def test_strange_file_times_do_no_harm(place: Place, contents: Contents) -> None:
    file = place.put("a.txt", "x")
    os.utime(file, ns=(0, -(2**62)))
    assert (await contents.get("a.txt")).content == "x"
    assert len(await children(contents, "")) == 1


async def children(contents: Contents, path: str) -> list[Model]:
    content = (await contents.get(path)).content
    assert isinstance(content, list)
    return content
