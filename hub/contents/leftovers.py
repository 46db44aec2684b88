"""Clearing away drafts and uploads that were never finished: those that nobody has written for a day."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta

from hub.contents import trees
from hub.contents.beneath import Folder
from hub.contents.drafts import PREFIX
from hub.contents.stats import time_of
from hub.errors import HubError

STALE = timedelta(days=1)


def drafts_among(names: Iterable[str]) -> list[str]:
    """Those of the names that are drafts' names."""
    return [name for name in names if name.startswith(PREFIX)]


def remove_stale(folder: Folder, now: datetime, names: Iterable[str] | None = None) -> None:
    """Remove the old drafts in `folder`. `names` are its drafts, if they are known already.

    What cannot be removed is left; it is hidden, and tried again the next time.
    """
    for name in drafts_among(folder.names()) if names is None else names:
        with suppress(OSError, HubError, UnicodeEncodeError):
            found = folder.find(name)
            if found is None or now - time_of(found.st_mtime) < STALE:
                continue
            if stat.S_ISDIR(found.st_mode):
                trees.remove(folder, name)
            else:
                folder.remove_file(name)
