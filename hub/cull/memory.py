"""What the culler remembers from one look to the next, all on the monotonic clock. No I/O.

Warnings are remembered here and nowhere else: after a start of the hub, a silent agent, or a gap in looking, nobody can
be sure that a warning was seen, so it begins anew. Postponements are promises: they come from the database.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hub.domain.culling import NOTHING, Decision, Rule, Standing
from hub.domain.ids import KernelId, WorkspaceId
from hub.store.culling import Postponement

SLACK = timedelta(seconds=10)
"""How much later than a postponement a kernel must have been used for it to be used again."""


@dataclass(slots=True)
class Seen:
    """One kernel, or (for `kernel_id` None) one container. Times are monotonic seconds, None: never."""

    warned_of: Rule | None = None
    warned_at: float = 0.0
    used_at: float | None = None
    """When something that its agent does not count was last seen to use it: background work, an open tab."""
    worked_at: float | None = None
    """When it was last seen to work in the background."""
    stuck_at: float | None = None


@dataclass(frozen=True, slots=True)
class _PutOff:
    row: Postponement
    asked_at: float
    until: float


@dataclass(slots=True)
class Remembered:
    """One workspace."""

    looked_at: float
    empty_at: float | None = None
    age_at_first: timedelta | None = None
    first_at: float = 0.0
    seen: dict[KernelId | None, Seen] = field(default_factory=dict)
    put_off: dict[tuple[KernelId | None, Rule], _PutOff] = field(default_factory=dict)

    def of(self, kernel_id: KernelId | None) -> Seen:
        """What is remembered of a kernel, or of the container."""
        return self.seen.setdefault(kernel_id, Seen())

    def age(self, told: float | None, by_the_wall: timedelta | None, now: float) -> timedelta | None:
        """How old the container is: as its agent tells, or else as the wall clock said at the first look."""
        if told is not None:
            return timedelta(seconds=told)
        if self.age_at_first is None:
            self.age_at_first, self.first_at = by_the_wall, now
        if self.age_at_first is None:
            return None
        return max(NOTHING, self.age_at_first) + timedelta(seconds=now - self.first_at)

    def standing(self, kernel_id: KernelId | None, rules: Iterable[Rule], now: float) -> Standing:
        """How it stands with its user; of several postponements, the one that holds longest."""
        seen = self.seen.get(kernel_id)
        put_off = [one for rule in rules if (one := self.put_off.get((kernel_id, rule))) is not None]
        longest = max(put_off, key=lambda one: one.until, default=None)
        warned = seen is not None and seen.warned_of is not None
        return Standing(
            warned_of=seen.warned_of if seen is not None else None,
            warned_for=timedelta(seconds=now - seen.warned_at) if seen is not None and warned else None,
            put_off_for=timedelta(seconds=max(0.0, longest.until - now)) if longest is not None else NOTHING,
            times=longest.row.times if longest is not None else 0,
            put_off=timedelta(seconds=longest.row.seconds) if longest is not None else NOTHING,
        )

    def put_off_until(self, row: Postponement, wall: datetime, now: float) -> None:
        """Take a postponement from the database. One that is known keeps its time, whatever the wall clock does."""
        key = (row.kernel_id, row.rule)
        known = self.put_off.get(key)
        if known is not None and known.row == row:
            return
        left = max(NOTHING, min(row.until - wall, row.until - row.asked_at))
        since = max(NOTHING, wall - row.asked_at)
        self.put_off[key] = _PutOff(row, now - since.total_seconds(), now + left.total_seconds())

    def used_again(self, kernel_id: KernelId, idle_for: timedelta | None, now: float) -> list[Postponement]:
        """The postponement of a kernel that was used since; `idle_for` None: it is used now. It is forgotten."""
        key = (kernel_id, Rule.KERNEL_IDLE)
        one = self.put_off[key]
        if idle_for is not None and idle_for + SLACK >= timedelta(seconds=now - one.asked_at):
            return []
        return [self.put_off.pop(key).row]

    def take_note(self, decision: Decision, now: float) -> bool:
        """Remember a warning that was given now, or forget one that does not hold any more. Whether that is news."""
        seen = self.of(decision.kernel_id)
        if decision.is_warned:
            if seen.warned_of is decision.rule:
                return False
            seen.warned_of, seen.warned_at = decision.rule, now
            return True
        news, seen.warned_of = seen.warned_of is not None, None
        return news


class Memory:
    """All workspaces that are looked at."""

    def __init__(self) -> None:
        self._workspaces: dict[WorkspaceId, Remembered] = {}

    def look(self, workspace_id: WorkspaceId, now: float, longest_gap: timedelta) -> Remembered:
        """What is remembered of a workspace that is looked at now; after a longer gap, nothing but promises."""
        known = self._workspaces.get(workspace_id)
        if known is None or now - known.looked_at > longest_gap.total_seconds():
            known = self._workspaces[workspace_id] = _promises(known, now)
        known.looked_at = now
        return known

    def find(self, workspace_id: WorkspaceId) -> Remembered | None:
        """What is remembered of a workspace, or None."""
        return self._workspaces.get(workspace_id)

    def lose(self, workspace_id: WorkspaceId) -> None:
        """It could not be looked at: warnings and counts begin anew, promises stay."""
        known = self._workspaces.get(workspace_id)
        if known is not None:
            self._workspaces[workspace_id] = _promises(known, known.looked_at)

    def lose_warnings(self) -> None:
        """All warnings begin anew."""
        for known in self._workspaces.values():
            for seen in known.seen.values():
                seen.warned_of = None

    def keep_only(self, workspace_ids: Iterable[WorkspaceId]) -> None:
        """Forget workspaces that do not run any more."""
        for gone in self._workspaces.keys() - set(workspace_ids):
            del self._workspaces[gone]


def _promises(known: Remembered | None, looked_at: float) -> Remembered:
    """What is left of what was remembered after a gap: promises, and the container's age."""
    if known is None:
        return Remembered(looked_at)
    return Remembered(looked_at, None, known.age_at_first, known.first_at, put_off=known.put_off)
