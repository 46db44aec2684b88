"""Folders as archives, made while they are sent (hub.contents.archive, archive_walk, archive_formats)."""

from __future__ import annotations

import io
import os
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from hub.contents import archive_formats
from hub.contents.archive import MOST_STEPS, PIECE_BYTES, Archive
from hub.contents.archive_walk import NOTE, Entry
from hub.contents.service import Contents
from hub.errors import BadRequest, NotFound, TooLarge
from tests.unit.contents.conftest import SECRET, Place

ALL = sorted(archive_formats.FORMATS)


async def collect(contents: Contents, path: str = "", format_name: str = "zip", follow_links: bool = True) -> bytes:
    async with await contents.open_archive(path, "alice", format_name, follow_links) as archive:
        return b"".join([piece async for piece in archive.pieces()])


def unpack(data: bytes, format_name: str) -> dict[str, bytes | None]:
    """The archive's entries, folders as None."""
    if format_name == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            return {i.filename.rstrip("/"): None if i.is_dir() else archive.read(i) for i in archive.infolist()}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found: dict[str, bytes | None] = {}
        for member in tar:
            file = tar.extractfile(member)
            found[member.name] = file.read() if file else None
        return found


@pytest.mark.parametrize("format_name", ALL)
async def test_every_format_holds_the_folder(place: Place, contents: Contents, format_name: str) -> None:
    place.put("d/größe 😀.txt", "ü" * 1000, mode=0o640)
    place.put("d/deep/er/x.bin", os.urandom(700_000))
    place.put("d/empty")
    place.make_folder("d/nothing in it")
    place.put("d/.hidden/x", "x")
    place.put("d/" + "n" * 200 + "/" + "m" * 200, "long")
    found = unpack(await collect(contents, "d", format_name), format_name)
    assert found["d/größe 😀.txt"] == ("ü" * 1000).encode()
    assert found["d/deep/er/x.bin"] == (place.home / "d/deep/er/x.bin").read_bytes()
    assert found["d/empty"] == b""
    assert found["d/nothing in it"] is None
    assert found["d/" + "n" * 200 + "/" + "m" * 200] == b"long"
    assert set(found) == {
        *("d", "d/größe 😀.txt", "d/deep", "d/deep/er", "d/deep/er/x.bin", "d/empty", "d/nothing in it"),
        *("d/" + "n" * 200, "d/" + "n" * 200 + "/" + "m" * 200),
    }


async def test_what_is_compressed_already_is_stored(place: Place, contents: Contents) -> None:
    place.put("a.PNG", "x" * 1000)
    place.put("a.csv", "x" * 1000)
    with zipfile.ZipFile(io.BytesIO(await collect(contents))) as archive:
        assert archive.getinfo("alice/a.PNG").compress_type == zipfile.ZIP_STORED
        assert archive.getinfo("alice/a.csv").compress_size < 100


async def test_the_home_is_called_by_its_users_name(place: Place, contents: Contents) -> None:
    place.put("a")
    async with await contents.open_archive("", "alice", "zip") as archive:
        assert (archive.filename, archive.content_type) == ("alice.zip", "application/zip")
    assert set(unpack(await collect(contents), "zip")) == {"alice", "alice/a"}


async def test_names_that_are_not_utf8_and_backslashes_are_kept_in_other_words(
    place: Place, contents: Contents
) -> None:
    place.put(os.fsdecode(b"d/x\xff"), "1")
    place.put("d/a\\..\\evil", "2")
    assert set(unpack(await collect(contents, "d"), "zip")) == {"d", "d/x_xff", "d/a_.._evil"}
    assert {r"d/x\xff", r"d/a\..\evil"} <= set(unpack(await collect(contents, "d", "tgz"), "tgz"))


@pytest.mark.parametrize("format_name", ["zip", "tgz"])
async def test_nothing_outside_the_home_gets_in(place: Place, contents: Contents, format_name: str) -> None:
    place.put("real.txt", "mine")
    place.link("good", "real.txt")
    place.link("out", place.secret)
    place.link("up", "../../" + place.secret.name)
    place.link("sibling", place.sibling)
    place.link("loop", ".")
    place.link("etc", "/etc")
    os.mkfifo(place.home / "fifo")
    data = await collect(contents, "", format_name)
    found = unpack(data, format_name)
    assert found["alice/good"] == b"mine"
    assert SECRET.encode() not in b"".join(content or b"" for content in found.values())
    assert set(found) == {"alice", "alice/real.txt", "alice/good", f"alice/{NOTE}"}
    assert b"alice/out" in (found[f"alice/{NOTE}"] or b"")
    without = unpack(await collect(contents, "", format_name, follow_links=False), format_name)
    assert set(without) == {"alice", "alice/real.txt"}


async def test_what_cannot_be_read_is_named_and_keeps_nothing_else(place: Place, contents: Contents) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs another user's file")
    place.put("a", "x")
    foreign = place.put("foreign", "theirs", mode=0o600)
    os.chown(foreign, 0, 0)
    found = unpack(await collect(contents), "zip")
    assert found["alice/a"] == b"x" and "alice/foreign" not in found
    assert b"alice/foreign" in (found[f"alice/{NOTE}"] or b"")


@pytest.mark.parametrize("format_name", ["zip", "tgz"])
@pytest.mark.parametrize("size", [100, 3 * PIECE_BYTES])
async def test_files_that_change_while_they_are_read_do_not_break_the_archive(
    place: Place, contents: Contents, format_name: str, size: int
) -> None:
    first = place.put("d/changing", os.urandom(3 * PIECE_BYTES))
    async with await contents.open_archive("d", "alice", format_name) as archive:
        pieces = archive.pieces()
        data = [await anext(pieces)]
        with first.open("r+b") as file:
            file.truncate(size)
            file.seek(0, os.SEEK_END)
            file.write(b"grown" * 1000 if size > 100 else b"")
        data += [piece async for piece in pieces]
    found = unpack(b"".join(data), format_name)
    assert len(found["d/changing"] or b"") <= 3 * PIECE_BYTES


async def test_nothing_but_a_piece_is_held(place: Place, contents: Contents) -> None:
    big = place.put("d/big")
    with big.open("wb") as file:
        for _ in range(60):
            file.write(os.urandom(1024 * 1024))
    tracemalloc.start()
    total = 0
    async with await contents.open_archive("d", "alice", "tgz") as archive:
        async for piece in archive.pieces():
            total += len(piece)
            assert len(piece) < 4 * PIECE_BYTES
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total > 60 * 1024 * 1024
    assert peak < 8 * 1024 * 1024


async def test_files_of_mostly_holes_are_left_out_once_they_are_too_many(place: Place, contents: Contents) -> None:
    place.put("d/small", "x")
    os.truncate(place.put("d/holes"), 2**40)
    found = unpack(await collect(contents, "d", "txz"), "txz")
    assert set(found) == {"d", "d/small", f"d/{NOTE}"}
    assert b"d/holes (mostly empty space)" in (found[f"d/{NOTE}"] or b"")


@pytest.mark.parametrize("format_name", ["zip", "tbz2"])
async def test_a_piece_comes_soon_however_little_the_files_are_compressed_to(
    place: Place, contents: Contents, format_name: str
) -> None:
    size = 3 * MOST_STEPS * 256 * 1024
    os.truncate(place.put("d/zeros"), size)
    async with await contents.open_archive("d", "alice", format_name) as archive:
        pieces = [piece async for piece in archive.pieces()]
    assert len(pieces) >= 3
    assert len(unpack(b"".join(pieces), format_name)["d/zeros"] or b"") == size


async def test_one_that_is_broken_off_leaves_no_open_folder(place: Place, contents: Contents) -> None:
    for number in range(10):
        place.put(f"d/{number}/x", os.urandom(PIECE_BYTES))
    before = len(list(Path("/proc/self/fd").iterdir()))
    archives: list[Archive] = []
    for _ in range(5):
        async with await contents.open_archive("d", "alice", "zip") as archive:
            await anext(archive.pieces())
            archives.append(archive)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


async def test_what_is_no_folder_or_no_format_is_refused(place: Place, contents: Contents) -> None:
    place.put("file")
    place.put(".hidden/x")
    place.link("out", "/etc")
    for path in ("file", "nothing", ".hidden", "out", "../x"):
        with pytest.raises((NotFound, BadRequest)):
            await contents.open_archive(path, "alice", "zip")
    with pytest.raises(BadRequest, match="rar"):
        await contents.open_archive("", "alice", "rar")


async def test_a_zip_has_a_bound_of_entries(place: Place, contents: Contents, monkeypatch: pytest.MonkeyPatch) -> None:
    small = archive_formats.Format("zip", "application/zip", archive_formats.pack_zip, most_entries=4)
    monkeypatch.setitem(archive_formats.FORMATS, "zip", small)
    for number in range(4):
        place.put(f"d/{number}")
    await collect(contents, "d")
    place.put("d/more/one")
    with pytest.raises(TooLarge, match=r"tar\.gz"):
        await contents.open_archive("d", "alice", "zip")


def test_a_zip_is_written_so_that_large_files_fit_and_any_time_can_be_told() -> None:
    entries = [
        Entry("large", 0o644, -1e9, 2**31, False, iter([b"x" * 100])),
        Entry("small", 0o644, 1e12, 1, False, iter([b"y"])),
        Entry("never", 0o644, 1e300, 0, False, iter(())),
    ]
    data = b"".join(archive_formats.pack_zip(iter(entries)))
    assert data[4:6] == b"-\0", "version 4.5: the sizes behind the data have 64 bits"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.read("large") == b"x" * 100
        assert [archive.getinfo(name).date_time[0] for name in ("large", "small", "never")] == [1980, 2107, 1980]
