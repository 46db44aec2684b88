"""Files for downloads (hub.contents.raw)."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from hub.contents.raw import CHUNK_BYTES
from hub.contents.service import Contents
from hub.errors import BadRequest, NotFound
from tests.unit.contents.conftest import Place


async def test_the_bytes_come_in_pieces(place: Place, contents: Contents) -> None:
    data = os.urandom(3 * CHUNK_BYTES + 5)
    place.put("a.bin", data)
    async with await contents.open_raw("a.bin") as raw:
        assert (raw.name, raw.size_bytes) == ("a.bin", len(data))
        pieces = [piece async for piece in raw.chunks()]
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) == CHUNK_BYTES


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (5, 10), (90, 200), (100, None), (50, 50), (60, 50)])
async def test_a_range_is_read_alone(place: Place, contents: Contents, start: int, stop: int | None) -> None:
    data = bytes(range(100))
    place.put("a.bin", data)
    async with await contents.open_raw("a.bin") as raw:
        assert b"".join([piece async for piece in raw.chunks(start, stop)]) == data[start:stop]


async def test_a_file_replaced_meanwhile_is_read_as_it_was_opened(place: Place, contents: Contents) -> None:
    place.put("a.txt", "old")
    async with await contents.open_raw("a.txt") as raw:
        (place.home / "a.txt").unlink()
        place.put("a.txt", "new, and longer")
        assert [piece async for piece in raw.chunks()] == [b"old"]


async def test_a_file_that_shrinks_ends_early(place: Place, contents: Contents) -> None:
    file = place.put("a.txt", "x" * 1000)
    async with await contents.open_raw("a.txt") as raw:
        os.truncate(file, 10)
        assert [len(piece) async for piece in raw.chunks()] == [10]


async def test_leaving_closes_the_descriptor(place: Place, contents: Contents) -> None:
    place.put("a.txt", "x")
    async with await contents.open_raw("a.txt") as raw:
        pass
    with pytest.raises(ValueError, match="closed"):
        await raw.read(0, 1)


@pytest.mark.parametrize(
    ("name", "type"),
    [
        ("a.ipynb", "application/x-ipynb+json"),
        ("a.txt", "text/plain; charset=UTF-8"),
        ("a.html", "text/html"),
        ("a.png", "image/png"),
        ("a.tar.gz", "application/gzip"),
        ("a.csv.bz2", "application/octet-stream"),
        ("Makefile", "application/octet-stream"),
    ],
)
async def test_the_content_type_follows_from_the_name(place: Place, contents: Contents, name: str, type: str) -> None:
    file = place.put(name, "x")
    async with await contents.open_raw(name) as raw:
        assert raw.content_type == type
        assert raw.modified_at == datetime.fromtimestamp(file.stat().st_mtime, UTC)


async def test_folders_and_what_is_not_there_cannot_be_opened(place: Place, contents: Contents) -> None:
    place.make_folder("d")
    with pytest.raises(BadRequest):
        await contents.open_raw("d")
    with pytest.raises(NotFound):
        await contents.open_raw("no.txt")
