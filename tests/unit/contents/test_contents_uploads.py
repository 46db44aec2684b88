"""Uploads in chunks (hub.contents.uploads)."""

from __future__ import annotations

import base64
import hashlib
import os
from datetime import timedelta
from pathlib import Path

import pytest

from hub.contents.models import Saved, SaveRequest
from hub.contents.service import Contents, ContentsOfUsers
from hub.errors import BadRequest, Conflict, NotFound
from tests.unit.contents.conftest import Place, raw, text, user


async def send(contents: Contents, path: str, chunk: int, data: bytes) -> Saved:
    content = raw(base64.b64encode(data).decode())
    return await contents.save(path, SaveRequest(type="file", format="base64", content=content, chunk=chunk))


def drafts(place: Place) -> list[Path]:
    return sorted(place.home.rglob(".~kernelhub-upload-*"))


async def test_an_upload_appears_when_it_is_complete(place: Place, contents: Contents) -> None:
    pieces = [os.urandom(100_000) for _ in range(12)]
    for number, piece in enumerate(pieces[:-1], start=1):
        saved = await send(contents, "big.bin", number, piece)
        assert saved.created
        assert not (place.home / "big.bin").exists()
        assert (await contents.get("")).content == []
    saved = await send(contents, "big.bin", -1, pieces[-1])
    assert (saved.created, saved.model.size, saved.model.content) == (True, 1_200_000, None)
    whole = (place.home / "big.bin").read_bytes()
    assert hashlib.sha256(whole).digest() == hashlib.sha256(b"".join(pieces)).digest()
    assert (place.home / "big.bin").stat().st_mode & 0o777 == 0o644
    assert (place.home / "big.bin").stat().st_uid == place.uid
    assert drafts(place) == []


async def test_the_old_file_is_there_until_the_new_one_is_complete(place: Place, contents: Contents) -> None:
    file = place.put("a.txt", "old", mode=0o600)
    await send(contents, "a.txt", 1, b"ne")
    assert file.read_text() == "old"
    assert not (await send(contents, "a.txt", -1, b"w")).created
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o600)


async def test_uploads_to_several_paths_go_on_side_by_side(place: Place, contents: Contents) -> None:
    names = ["a.txt", "b.txt", "d/a.txt"]
    place.make_folder("d")
    for chunk in (1, 2, 3, -1):
        for name in names:
            await send(contents, name, chunk, f"{name}{chunk};".encode())
    for name in names:
        assert (place.home / name).read_text() == "".join(f"{name}{chunk};" for chunk in (1, 2, 3, -1))


async def test_text_chunks_are_joined(place: Place, contents: Contents) -> None:
    await contents.save("a.txt", text("grö", chunk=1))
    await contents.save("a.txt", text("ße", chunk=-1))
    assert (place.home / "a.txt").read_text() == "größe"


@pytest.mark.parametrize("chunks", [[2], [-1], [1, 3], [1, 2, 2], [1, 2, 4], [1, -1, -1], [1, -1, 2]])
async def test_a_chunk_out_of_order_is_refused_and_the_file_left_alone(
    place: Place, contents: Contents, chunks: list[int]
) -> None:
    file = place.put("a.txt", "old")
    for chunk in chunks[:-1]:
        await send(contents, "a.txt", chunk, b"x")
    before = file.read_bytes()
    with pytest.raises(Conflict, match="start it again"):
        await send(contents, "a.txt", chunks[-1], b"y")
    assert file.read_bytes() == before


async def test_a_second_upload_to_the_same_path_waits_until_the_first_is_quiet(
    place: Place, contents: Contents
) -> None:
    await send(contents, "a.txt", 1, b"first")
    os.utime(drafts(place)[0], (place.clock.now().timestamp(),) * 2)
    with pytest.raises(Conflict, match="being uploaded already"):
        await send(contents, "a.txt", 1, b"second")
    place.clock.advance(timedelta(seconds=11))
    await send(contents, "a.txt", 1, b"second")
    await send(contents, "a.txt", -1, b"!")
    assert (place.home / "a.txt").read_text() == "second!"
    assert drafts(place) == []


async def test_an_upload_goes_on_in_another_hub_process(place: Place, contents: Contents) -> None:
    await send(contents, "a.txt", 1, b"1")
    other = ContentsOfUsers(place.homes, place.secret.parent / "state", place.clock)
    await send(other.of(user(1)), "a.txt", -1, b"2")
    await other.close()
    assert (place.home / "a.txt").read_text() == "12"


async def test_abandoned_uploads_are_removed_after_a_day(place: Place, contents: Contents) -> None:
    await send(contents, "a.txt", 1, b"x" * 1000)
    os.utime(drafts(place)[0], (place.clock.now().timestamp(),) * 2)
    place.clock.advance(timedelta(hours=23))
    await contents.get("")
    assert len(drafts(place)) == 1
    place.clock.advance(timedelta(hours=2))
    await contents.get("")
    assert drafts(place) == []


@pytest.mark.parametrize(
    "request_",
    [
        SaveRequest(type="file", format="text", content=raw("x"), chunk=0),
        SaveRequest(type="file", format="text", content=raw("x"), chunk=-2),
        SaveRequest(type="notebook", format="json", content=raw({}), chunk=1),
        SaveRequest(type="directory", chunk=1),
        SaveRequest(type="file", format="text", chunk=1),
        SaveRequest(type="file", content=raw("x"), chunk=1),
        SaveRequest(type="file", format="base64", content=raw("é"), chunk=1),
    ],
)
async def test_a_wrong_chunk_is_refused(place: Place, contents: Contents, request_: SaveRequest) -> None:
    with pytest.raises(BadRequest):
        await contents.save("a.txt", request_)
    assert list(place.home.iterdir()) == []


async def test_an_upload_needs_a_folder_and_no_folder_in_its_place(place: Place, contents: Contents) -> None:
    place.make_folder("d")
    with pytest.raises(NotFound):
        await send(contents, "no/a.txt", 1, b"x")
    with pytest.raises(BadRequest):
        await send(contents, "d", 1, b"x")


async def test_a_draft_replaced_by_a_link_is_not_followed(place: Place, contents: Contents) -> None:
    await send(contents, "a.txt", 1, b"x")
    target = place.put("target.txt", "mine")
    draft = drafts(place)[0]
    draft.unlink()
    place.link(draft.name, target)
    with pytest.raises((NotFound, BadRequest)):
        await send(contents, "a.txt", -1, b"y")
    assert target.read_text() == "mine"
