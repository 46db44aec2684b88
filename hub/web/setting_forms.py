"""Settings as forms: values as people write them, and back. Pure.

What people write is kept as they wrote it until it is right, and every mistake is told at its field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic import ValidationError

from hub.config import GIB, Profile
from hub.config.values import Section

S = TypeVar("S", bound=Section)
Field = Callable[[str], str]
"""Gives a form's field by its name, empty if it is absent."""

_NEVER = frozenset({"", "never", "no", "none", "0"})
_SIZE = re.compile(r"([0-9]+(?:[.,][0-9]+)?)\s*(gib|gb|g|mib|mb|m)?\Z", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
MAX_VARIABLES = 100
MOST_RESTARTS = 1000
MOST_JOURNAL_BYTES = 256 * 1024**2


class WrongForm(ValueError):
    """What is wrong, by the field's name, each in a sentence."""

    def __init__(self, mistakes: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {why}" for name, why in mistakes.items()))
        self.mistakes = dict(mistakes)


def made(shape: type[S], values: Mapping[str, Any], mistakes: Mapping[str, str] | None = None) -> S:
    """A section of these values. Raises WrongForm with every mistake, those found before included."""
    found = dict(mistakes or {})
    try:
        section = shape.model_validate(dict(values))
    except ValidationError as error:
        for each in error.errors():
            name = str(each["loc"][0]) if each["loc"] else "form"
            found.setdefault(name, str(each["msg"]).removeprefix("Value error, "))
        raise WrongForm(found) from error
    if found:
        raise WrongForm(found)
    return section


def span_text(span: timedelta | None) -> str:
    """A span as people write it: ``15m``; nothing is ``never``."""
    if span is None:
        return "never"
    seconds = span.total_seconds()
    for size, unit in ((7 * 86400, "w"), (86400, "d"), (3600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:g}s"


def span_or_never(text: str) -> str | None:
    """A span as settings read it, None for never."""
    return None if text.strip().lower() in _NEVER else text.strip().lower().replace(" ", "")


def size_text(size: int | None) -> str:
    """A size in GB (of 1,024 MB), or MB below one; nothing for no limit."""
    if size is None:
        return ""
    return f"{size / GIB:g} GB" if size >= GIB else f"{size / 1024**2:g} MB"


def read_size(text: str) -> int | None:
    """Bytes of ``2``, ``2 GB`` or ``512 MB`` (GiB and MiB mean the same); None of nothing. Raises ValueError."""
    if not text.strip():
        return None
    found = _SIZE.match(text.strip())
    if found is None:
        raise ValueError("a size is a number of GB, or with its unit: 2, 512 MB")
    unit = 1024**2 if (found[2] or "g").lower().startswith("m") else GIB
    return int(float(found[1].replace(",", ".")) * unit)


def read_journal_size(text: str) -> int:
    """Bytes of a journal, as `read_size` reads them; nothing means none. Raises ValueError."""
    size = read_size(text) or 0
    if size > MOST_JOURNAL_BYTES:
        raise ValueError(f"at most {size_text(MOST_JOURNAL_BYTES)}; 0 keeps nothing")
    return size


def read_restarts(text: str) -> int:
    """How often a kernel is started again. Raises ValueError."""
    wanted = text.strip()
    if not (wanted.isascii() and wanted.isdigit() and int(wanted[:9]) <= MOST_RESTARTS):
        raise ValueError(f"a whole number from 0 (never) to {MOST_RESTARTS}")
    return int(wanted)


def read_restarts_within(text: str) -> str:
    """The time in which restarts are counted, as settings read it. Raises ValueError."""
    wanted = text.strip().lower().replace(" ", "")
    try:
        Profile.model_validate({"restarts_within": wanted})
    except ValidationError as error:
        raise ValueError("a time from 1s to 1d, such as 90s, 5m or 1h") from error
    return wanted


def read_moment(text: str) -> datetime | None:
    """A moment of a form (``2026-11-22T18:00``, in UTC), None of nothing. Raises ValueError."""
    if not text.strip():
        return None
    moment = datetime.fromisoformat(text.strip())
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def moment_text(moment: datetime | None) -> str:
    """A moment as a form has it, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M") if moment is not None else ""


def environment_text(environment: Mapping[str, str]) -> str:
    """Variables, one on a line."""
    return "\n".join(f"{name}={value}" for name, value in environment.items())


def read_environment(text: str) -> dict[str, str]:
    """Variables of lines ``NAME=value``. Raises ValueError."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        name, equals, value = line.partition("=")
        if not equals or not _VARIABLE.match(name.strip()):
            raise ValueError(f"{line[:40]!r} is not NAME=value")
        found[name.strip()] = value.strip()
    if len(found) > MAX_VARIABLES:
        raise ValueError(f"at most {MAX_VARIABLES} variables")
    return found


def gpus_text(gpus: int | list[str]) -> str:
    """GPUs as people write them: how many, ``all``, or which."""
    if isinstance(gpus, list):
        return ", ".join(gpus)
    return "all" if gpus < 0 else str(gpus or "")


def read_gpus(text: str) -> int | list[str]:
    """How many GPUs, or which. Raises ValueError."""
    wanted = text.strip().lower()
    if wanted in {"", "0", "none"}:
        return 0
    if wanted == "all":
        return -1
    if wanted.isascii() and wanted.isdigit():
        return int(wanted)
    if wanted.startswith("-"):
        raise ValueError("write how many, all, or the engine's ids of GPUs")
    return words_of(text)


def words_of(text: str) -> list[str]:
    """Names separated by commas or lines, each once."""
    return list(dict.fromkeys(part.strip() for part in re.split(r"[,\n]", text) if part.strip()))


_OF_KERNELS: dict[str, Callable[[str], Any]] = {
    "restarts": read_restarts,
    "restarts_within": read_restarts_within,
    "journal_bytes": read_journal_size,
}


def profile_fields(profile: Profile) -> dict[str, str]:
    """A profile as its form has it."""
    return {
        "display_name": profile.display_name,
        "image": profile.image,
        "memory_bytes": size_text(profile.memory_bytes),
        "cpus": f"{profile.cpus:g}" if profile.cpus is not None else "",
        "pids": str(profile.pids) if profile.pids is not None else "",
        "tmp_bytes": size_text(profile.tmp_bytes),
        "gpus": gpus_text(profile.gpus),
        "network": profile.network,
        "environment": environment_text(profile.environment),
        "spare_kernels": str(profile.spare_kernels),
        "restarts": str(profile.restarts),
        "restarts_within": span_text(profile.restarts_within),
        "journal_bytes": size_text(profile.journal_bytes),
        "kernels": ", ".join(profile.kernels),
        "groups": ", ".join(profile.groups),
        "roles": ", ".join(profile.roles),
    }


def read_profile(fields: Mapping[str, str], before: Profile | None = None) -> Profile:
    """The profile that a form describes; what the form has no field for stays as it was `before`.

    Raises WrongForm with the mistake of each field.
    """
    mistakes: dict[str, str] = {}

    def read(name: str, reader: Callable[[str], Any]) -> Any:
        try:
            return reader(fields.get(name, ""))
        except ValueError as error:
            mistakes[name] = str(error)
            return None

    values: dict[str, Any] = {
        "display_name": fields.get("display_name", "").strip() or fields.get("name", ""),
        "image": fields.get("image", "").strip(),
        "memory_bytes": read("memory_bytes", read_size),
        "cpus": fields.get("cpus", "").strip().replace(",", ".") or None,
        "pids": fields.get("pids", "").strip() or None,
        "tmp_bytes": read("tmp_bytes", read_size),
        "gpus": read("gpus", read_gpus),
        "network": fields.get("network", "none"),
        "environment": read("environment", read_environment),
        "spare_kernels": fields.get("spare_kernels", "").strip() or 0,
        "kernels": words_of(fields.get("kernels", "")),
        "groups": words_of(fields.get("groups", "")),
        "roles": words_of(fields.get("roles", "")),
    }
    for name, reader in _OF_KERNELS.items():
        if fields.get(name, "").strip() and (found := read(name, reader)) is not None:
            values[name] = found
        elif name in fields:
            values[name] = getattr(Profile(), name)  # emptied: as in a new profile
    if not values["image"] or values["image"].startswith("-") or not values["image"].isprintable():
        mistakes["image"] = "name an image that the engine has"
    if values["gpus"] is None:
        del values["gpus"]
    if values["tmp_bytes"] is None:
        del values["tmp_bytes"]
    if "environment" in mistakes:
        del values["environment"]
    known = before.model_dump(exclude=set(values)) if before is not None else {}
    return made(Profile, {**known, **values}, mistakes)
