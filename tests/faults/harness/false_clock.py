"""A wall clock that jumps: libfaketime beneath the hub's processes, told by a file by how much it is wrong."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.conftest import missing


class FalseClock:
    """The wall clock of processes that are started with `settings`. Monotonic clocks stay right, as they would."""

    def __init__(self) -> None:
        found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not found:
            missing("libfaketime", "apt-get install libfaketime")
        self._library = found[0]
        with tempfile.NamedTemporaryFile("w", prefix="kh-clock-", dir="/tmp", delete=False) as made:
            made.write("+0\n")
        self._file = Path(made.name)
        self._file.chmod(0o644)

    @property
    def settings(self) -> dict[str, str]:
        """The environment of a process that shall have this clock."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",  # the file is read once a second, not at every look at the clock
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def be_wrong_by(self, seconds: int) -> None:
        """From now on the wall clock is wrong by so much."""
        self._file.write_text(f"{seconds:+d}\n")

    def remove(self) -> None:
        """Remove the file."""
        self._file.unlink(missing_ok=True)
