"""What paired files were when they last said the same: a digest for each, per user, in the hub's own folder.

So it is known which of the two somebody changed since, which times cannot tell after a ``git clone``.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from hub.contents.kept import KeptFile

MOST = 500


class PairRecord(msgspec.Struct, frozen=True):
    """The files of one pair: path to SHA-256 in hexadecimal; the notebook's path is first.

    `digests` are of when they last said the same, ``""`` for a text that is newer than its notebook. `seen` are of when
    somebody last opened or saved the notebook: what a tab may overwrite.
    """

    digests: dict[str, str]
    seen: dict[str, str]
    formats: str
    language_extension: str | None = None


class PairRecords:
    """One user's records, of the 500 pairs that were last opened or saved. Blocking; for worker threads."""

    def __init__(self, file: Path) -> None:
        self._kept: KeptFile[list[PairRecord]] = KeptFile(file, list[PairRecord], [])

    def find(self, path: str) -> PairRecord | None:
        """The record of the pair that the file at `path` belongs to."""
        return next((record for record in self._kept.read() if path in record.digests), None)

    def put(self, record: PairRecord) -> None:
        """Keep the record. Older ones of any of its files are forgotten."""
        with self._kept.changing():
            records = self._kept.read()
            if record in records:
                return
            others = [one for one in records if not one.digests.keys() & record.digests.keys()]
            self._kept.write([*others, record][-MOST:])

    def forget(self, path: str) -> None:
        """Forget the pair that the file at `path` belonged to."""
        with self._kept.changing():
            records = self._kept.read()
            left = [record for record in records if path not in record.digests]
            if len(left) < len(records):
                self._kept.write(left)
