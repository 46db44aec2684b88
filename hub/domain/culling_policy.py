"""What holds for one container when idle things end: layers of rules, laid over each other; and quiet hours. Pure.

The hub's settings, then the profile, then the user's groups, then the user: each says only what differs. What an
administrator writes may shorten and lengthen. What a group's owner writes may lengthen up to what the administrator
allows for that group, and no further (`Layer.owners_up_to`). Of several groups the most generous value counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

SETTINGS_SOURCE = "the hub's settings"
SPANS = ("kernel_idle", "workspace_empty", "max_age", "kernel_stuck", "pause_after")
"""Fields that are a span, or None for never: the longer, the more generous."""
OVERRIDABLE = (*SPANS, "cull_connected", "busy_cpu", "quiet")
FOR_OWNERS = ("kernel_idle", "workspace_empty")
"""What a group's owner may say for the members."""
MAX_QUIET_SPANS = 50
_WEEK = timedelta(days=8)
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_QUIET = re.compile(r"([a-z,-]+)\s+([0-2]?[0-9]):([0-5][0-9])\s*-\s*([0-2]?[0-9]):([0-5][0-9])\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class QuietSpan:
    """Times of the week at which nothing is ended: on these days (0 is Monday), from and to minutes after midnight.

    `to_minute` at or before `from_minute` lies on the next day. `zone` is an IANA time zone.
    """

    days: frozenset[int]
    from_minute: int
    to_minute: int
    zone: str = "UTC"

    def ends_at(self, now: datetime) -> datetime | None:
        """When the span that `now` lies in ends, in UTC; None when `now` lies in none."""
        zone = ZoneInfo(self.zone)
        today = now.astimezone(zone).date()
        for day in (today, today - timedelta(days=1)):
            if day.weekday() not in self.days:
                continue
            midnight = datetime.combine(day, time(), zone)
            last = self.to_minute + (1440 if self.to_minute <= self.from_minute else 0)
            begin, end = (_at_minute(midnight, minute) for minute in (self.from_minute, last))
            if begin <= now < end:
                return end
        return None


def _at_minute(midnight: datetime, minute: int) -> datetime:
    """A minute of a local day as the clocks on the wall show it, in UTC."""
    return (midnight.replace(tzinfo=None) + timedelta(minutes=minute)).replace(tzinfo=midnight.tzinfo).astimezone(UTC)


def read_quiet(text: str, zone: str = "UTC") -> QuietSpan:
    """A span as people write it: ``mon-fri 08:00-18:00``, ``sat,sun 00:00-24:00``, ``daily 22:00-06:00``.

    Raises ValueError with what was expected.
    """
    found = _QUIET.match(text.strip().lower())
    if found is None:
        raise ValueError(
            f"{text[:60]!r} is not like “mon-fri 08:00-18:00”, “sat,sun 00:00-24:00” or “daily 22:00-06:00”"
        )
    begin, end = int(found[2]) * 60 + int(found[3]), int(found[4]) * 60 + int(found[5])
    if begin >= 1440 or end > 1440:
        raise ValueError(f"{text[:60]!r} has a time after midnight; the last is 24:00")
    return QuietSpan(_days(found[1], text), begin, end, zone)


def _days(words: str, text: str) -> frozenset[int]:
    if words in ("daily", "mon-sun"):
        return frozenset(range(7))
    days: set[int] = set()
    for part in words.split(","):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            raise ValueError(f"{text[:60]!r}: days are {', '.join(_DAYS)}, a range such as mon-fri, or daily")
        at, end = _DAYS.index(first), _DAYS.index(last or first)
        days |= {(at + step) % 7 for step in range((end - at) % 7 + 1)}
    return frozenset(days)


def quiet_for(spans: Iterable[QuietSpan], now: datetime) -> timedelta:
    """How long quiet hours last from `now` on, spans that follow each other joined; zero when it is not quiet now.

    Where it is always quiet, more than a week.
    """
    known, moment = tuple(spans), now
    while moment - now < _WEEK:
        ends = [end for span in known if (end := span.ends_at(moment)) is not None]
        if not ends:
            break
        moment = max(ends)
    return moment - now


@dataclass(frozen=True, slots=True)
class CullingPolicy:
    """When things end. None for a span means never.

    `kernel_idle`: how long a kernel may be idle; `workspace_empty`: how long a container may be without kernels,
    terminals, running programs and open connections; `cull_connected`: whether a kernel with an open but idle tab may
    be ended too; `max_age`: from which age on a container ends at its next rest; `kernel_stuck`: how long a kernel may
    be stuck; `pause_after`: how long a container may be idle before it is paused. `busy_cpu`: the part of a processor
    above which a kernel counts as used though no cell runs, None: it never does. `quiet`: when nothing ends.

    `warning`: how long before its end something is warned of. `postpone`: by how long a warning puts the end off,
    at most `postpone_times` times and by `postpone_total` altogether. `sources`: who said a field, by its name.
    """

    kernel_idle: timedelta | None
    workspace_empty: timedelta | None
    cull_connected: bool = True
    max_age: timedelta | None = None
    kernel_stuck: timedelta | None = None
    pause_after: timedelta | None = None
    busy_cpu: float | None = None
    quiet: tuple[QuietSpan, ...] = ()
    warning: timedelta = timedelta(minutes=10)
    postpone: timedelta = timedelta(hours=1)
    postpone_times: int = 3
    postpone_total: timedelta = timedelta(hours=8)
    sources: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), compare=False)

    def warning_before(self, limit: timedelta) -> timedelta:
        """How long before an end at this limit the warning comes: never more than half of the limit."""
        return min(self.warning, limit / 2)

    def source(self, name: str) -> str:
        """Who said what holds for a field."""
        return self.sources.get(name, SETTINGS_SOURCE)


@dataclass(frozen=True, slots=True)
class Layer:
    """What somebody says for some: `values` has only the fields that are said, a span of None meaning never.

    `owners_up_to`: up to which span owners of this group may lengthen (None: as they like), if `allows_owners`.
    """

    source: str
    values: Mapping[str, Any]
    allows_owners: bool = False
    owners_up_to: timedelta | None = None


@dataclass(frozen=True, slots=True)
class GroupLayers:
    """Both layers of one group of the user's."""

    administrators: Layer
    owners: Layer | None = None


def resolve(
    base: CullingPolicy, profile: Layer | None, groups: Sequence[GroupLayers], user: Layer | None
) -> CullingPolicy:
    """What holds for a user's container of a profile. The nearest layer that says something counts, field by field."""
    held = _over(base, profile) if profile is not None else base
    of_groups = [_of_group(held, group) for group in groups]
    for name in OVERRIDABLE:
        said = [found[name] for found in of_groups if name in found]
        if said:
            best = _most_generous(name, [value for value, _ in said])
            source = next((source for value, source in said if value == best), "several groups")
            held = _over(held, Layer(source, {name: best}))
    return _over(held, user) if user is not None else held


def _over(policy: CullingPolicy, layer: Layer) -> CullingPolicy:
    said = {name: value for name, value in layer.values.items() if name in OVERRIDABLE}
    if not said:
        return policy
    sources = MappingProxyType({**policy.sources, **dict.fromkeys(said, layer.source)})
    return replace(policy, **said, sources=sources)


def _of_group(held: CullingPolicy, group: GroupLayers) -> dict[str, tuple[Any, str]]:
    """What a group says in the end, and who said it: its owners' word within what the administrators allow."""
    administrators, owners = group.administrators, group.owners
    found = {name: (value, administrators.source) for name, value in administrators.values.items()}
    for name, wanted in owners.values.items() if owners is not None else ():
        if owners is not None and name in FOR_OWNERS:
            otherwise = found[name][0] if name in found else getattr(held, name)
            found[name] = (within_cap(wanted, otherwise, administrators), owners.source)
    return found


def within_cap(wanted: timedelta | None, otherwise: timedelta | None, administrators: Layer) -> timedelta | None:
    """What an owner's span comes to: no longer than what holds without it, or than the cap where there is one."""
    most = longer(otherwise, administrators.owners_up_to) if administrators.allows_owners else otherwise
    return wanted if longer(wanted, most) == most else most


def longer(one: timedelta | None, other: timedelta | None) -> timedelta | None:
    """The longer of two spans; None is for ever."""
    return None if one is None or other is None else max(one, other)


def _most_generous(name: str, values: Sequence[Any]) -> Any:
    if name in SPANS:
        return _fold(values, longer)
    if name == "cull_connected":
        return all(values)
    if name == "busy_cpu":
        said = [value for value in values if value is not None]
        return min(said) if said else None
    return tuple(dict.fromkeys(span for value in values for span in value))


def _fold(values: Sequence[Any], choose: Callable[[Any, Any], Any]) -> Any:
    best = values[0]
    for value in values[1:]:
        best = choose(best, value)
    return best
