"""Archive formats, written in one go: entries in, bytes out, nothing kept but the piece at hand.

(A ZIP ends with a list of all its entries, which does have to be kept: hence `Format.most_entries`.)
"""

from __future__ import annotations

import bz2
import lzma
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from hub.contents.archive_walk import Entry

_LEVEL = 1  # a download waits for the compression: the lowest level is three times as fast and nearly as small
_ZIP64_FROM = 2**31
_COMPRESSED = (
    *(".png", ".jpg", ".jpeg", ".gif", ".webp", ".mp3", ".mp4", ".m4a", ".mkv", ".webm", ".ogg", ".pdf"),
    *(".zip", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".whl", ".npz", ".parquet", ".docx", ".xlsx", ".pptx"),
)
"""Ends of names of files that are compressed already; a ZIP takes them as they are."""
_TAR_BLOCK = 512
_TAR_RECORD = 20 * _TAR_BLOCK


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Format:
    """A format: what its files' names end in, their type, and how entries become bytes.

    `most_entries`: of so many at most can one archive be made; None: any number.
    """

    suffix: str
    mime_type: str
    pack: Callable[[Iterator[Entry]], Iterator[bytes]]
    most_entries: int | None = None


def pack_zip(entries: Iterator[Entry]) -> Iterator[bytes]:
    """A ZIP: deflated, names in UTF-8, ZIP64 where it has to be."""
    sink = _Sink()
    archive = zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL)  # type: ignore[call-overload]
    try:
        for entry in entries:
            if entry.is_folder:
                archive.writestr(_zip_info(entry), b"")
                continue
            with archive.open(_zip_info(entry), "w", force_zip64=entry.size >= _ZIP64_FROM) as target:
                for piece in entry.pieces:
                    target.write(piece)
                    yield sink.take()
            yield sink.take()
    finally:
        archive.close()
    yield sink.take()


def pack_tar(entries: Iterator[Entry], compressor: _Compressor) -> Iterator[bytes]:
    """A tape archive (POSIX.1-2001, "pax"), compressed. What got shorter while it was read is filled with zeros."""
    written = 0
    for entry in entries:
        header = _tar_info(entry).tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        yield compressor.compress(header)
        read = 0
        for piece in entry.pieces:
            read += len(piece)
            yield compressor.compress(piece)
        full = -(-entry.size // _TAR_BLOCK) * _TAR_BLOCK
        written += len(header) + full
        for zeros in _zeros(full - read):
            yield compressor.compress(zeros)
    end = 2 * _TAR_BLOCK
    yield compressor.compress(bytes(end + -(written + end) % _TAR_RECORD))
    yield compressor.flush()


def _zip() -> Format:
    return Format("zip", "application/zip", pack_zip, most_entries=200_000)


def _tar(suffix: str, mime_type: str, make: Callable[[], _Compressor]) -> Format:
    return Format(suffix, mime_type, lambda entries: pack_tar(entries, make()))


_GZIP = _tar("tar.gz", "application/gzip", lambda: zlib.compressobj(_LEVEL, zlib.DEFLATED, 31))
_BZIP2 = _tar("tar.bz2", "application/x-bzip2", lambda: bz2.BZ2Compressor(_LEVEL))
_XZ = _tar("tar.xz", "application/x-xz", lambda: lzma.LZMACompressor(preset=_LEVEL))

FORMATS = {
    "zip": _zip(),
    **dict.fromkeys(("tgz", "tar.gz"), _GZIP),
    **dict.fromkeys(("tbz", "tbz2", "tar.bz", "tar.bz2"), _BZIP2),
    **dict.fromkeys(("txz", "tar.xz"), _XZ),
}
"""By the names that clients call them."""


class _Sink:
    """Where `zipfile` writes to; without `tell` and `seek`, so that it never looks back."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        data, self._data = bytes(self._data), bytearray()
        return data


def _zip_info(entry: Entry) -> zipfile.ZipInfo:
    # To Windows a backslash divides names, and one at the wrong place leads out of the folder.
    name = entry.name.replace("\\", "_") + ("/" if entry.is_folder else "")
    info = zipfile.ZipInfo(name, _zip_time(entry.modified_at))
    kind = 0o040000 if entry.is_folder else 0o100000
    info.external_attr = (kind | entry.mode) << 16 | (0x10 if entry.is_folder else 0)
    is_stored = entry.is_folder or name.lower().endswith(_COMPRESSED)
    info.compress_type = zipfile.ZIP_STORED if is_stored else zipfile.ZIP_DEFLATED
    info.file_size = entry.size
    return info


def _zip_time(moment: float) -> tuple[int, int, int, int, int, int]:
    """A ZIP's times begin in 1980 and end in 2107."""
    earliest, latest = (1980, 1, 1, 0, 0, 0), (2107, 12, 31, 23, 59, 58)
    try:
        found = time.gmtime(moment)[:6]
    except (ValueError, OverflowError, OSError):
        return earliest
    return min(max(found, earliest), latest)


def _tar_info(entry: Entry) -> tarfile.TarInfo:
    info = tarfile.TarInfo(entry.name)
    info.type = tarfile.DIRTYPE if entry.is_folder else tarfile.REGTYPE
    info.mode = entry.mode & 0o777
    info.mtime = max(0, int(entry.modified_at))
    info.size = entry.size
    return info


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield bytes(min(count, 256 * 1024))
        count -= 256 * 1024
