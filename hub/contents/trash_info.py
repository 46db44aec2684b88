"""What a trash remembers of a deleted file: the text of its ``.trashinfo``, and names in the trash. Pure.

The form is freedesktop.org's (Trash specification 1.0), so that tools in the user's container (`trash-list`,
`gio trash`) read what the hub writes, and the hub what they write.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from hub.contents.paths import MAX_NAME_BYTES, ApiPath, parse_path
from hub.errors import HubError

SUFFIX = ".trashinfo"
LONGEST_NAME = MAX_NAME_BYTES - len(SUFFIX)
"""In bytes: the name that a deleted file has in the trash must leave room for the suffix."""
MAX_INFO_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class TrashRules:
    """How deleting works.

    `homes`: the paths that a home has in containers, the usual one first; what other tools delete is written
    with one of them. `days`: how long a deleted file stays in the trash.
    """

    homes: tuple[str, ...]
    days: int


@dataclass(frozen=True, slots=True)
class TrashInfo:
    """Where a deleted file was (None: nowhere in the home, or not known) and when it was deleted, if known."""

    origin: ApiPath | None
    deleted_at: datetime | None


NOT_KNOWN = TrashInfo(None, None)


def info_text(origin: ApiPath, deleted_at: datetime, rules: TrashRules) -> bytes:
    """The content of a ``.trashinfo``. Containers' clocks show UTC, so the date, which has no zone, is UTC too."""
    path = quote(f"{rules.homes[0].rstrip('/')}/{origin}")
    moment = deleted_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"[Trash Info]\nPath={path}\nDeletionDate={moment}\n".encode("ascii")


def read_info(data: bytes, rules: TrashRules) -> TrashInfo:
    """What a ``.trashinfo`` says; whoever wrote it, and whatever it is."""
    values: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        key, is_pair, value = line.partition("=")
        if is_pair:
            values.setdefault(key.strip(), value.strip())
    return TrashInfo(_origin(values.get("Path", ""), rules), _moment(values.get("DeletionDate", "")))


def _origin(quoted: str, rules: TrashRules) -> ApiPath | None:
    path = unquote(quoted)
    if path.startswith("/"):
        homes = [home.rstrip("/") + "/" for home in rules.homes]
        home = next((home for home in homes if path.startswith(home)), None)
        if home is None:
            return None
        path = path.removeprefix(home)
    try:
        origin = parse_path(path)
    except HubError:
        return None
    return origin if origin.parts else None


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
