"""Lives of containers in the database: written as workspaces change, counted by day, person and group."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hub.domain.history import HUB_WAS_DOWN, Begin, Change, End, Outcome, Range, Run
from hub.domain.ids import GroupId, UserId, WorkspaceId, new_id
from hub.domain.users import Group, Role, User
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.history_counts import HistoryCounts
from hub.store.engine import Store
from hub.store.history import Of
from proxy.kit.clock import ManualClock

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
EVERYBODY = Of()


def workspace(user_id: str, profile: str = "p") -> Workspace:
    limits = Limits(None, None, None)
    return Workspace(
        WorkspaceId(f"w-{user_id}-{profile}"), UserId(user_id), profile, WorkspaceState.RUNNING, "image", limits
    )


async def live(store: Store, user_id: str, asked_at: datetime, *changes: tuple[Change, timedelta]) -> None:
    ws = workspace(user_id)
    async with store.unit() as unit:
        await unit.lives.record(ws, ws, Begin(), user_id, asked_at)
        for change, after in changes:
            await unit.lives.record(ws, ws, change, "hub", asked_at + after)


async def a_life(store: Store, user_id: str, asked_at: datetime, hours: float = 1.0, start: float = 2.0) -> None:
    began = timedelta(seconds=start)
    end = (End(Outcome.ENDED, "idle"), began + timedelta(hours=hours))
    await live(store, user_id, asked_at, (Run({"created": 5}), began), end)


async def test_a_life_has_its_start_its_phases_its_end_and_what_it_used(store: Store) -> None:
    ws = workspace("ada")
    async with store.unit() as unit:
        await unit.lives.record(ws, ws, Begin(), "ada", NOW)
        await unit.lives.record(ws, ws, Run({"queued": 1, "created": 900}), "hub", NOW + timedelta(seconds=2))
        await unit.lives.kernel_started(ws.id)
        await unit.lives.kernel_started(ws.id)
        await unit.lives.used(ws.id, 12.5, 2**31)
        await unit.lives.record(ws, ws, End(Outcome.ENDED, "idle"), "root", NOW + timedelta(seconds=3602))
        await unit.lives.kernel_started(ws.id)
    async with store.reading() as unit:
        [life] = await unit.lives.list_for("ada")
        assert await unit.lives.find_open(ws.id) is None
    assert (life.start_ms, life.seconds, life.kernels_started) == (2000, 3600.0, 2)
    assert (life.outcome, life.reason, life.ended_by) == (Outcome.ENDED, "idle", "root")
    assert (life.cpu_seconds, life.peak_memory_bytes, dict(life.phases)) == (12.5, 2**31, {"queued": 1, "created": 900})


async def test_a_start_that_follows_on_one_that_never_ended_closes_it(store: Store) -> None:
    await live(store, "ada", NOW)
    await live(store, "ada", NOW + timedelta(hours=1))
    async with store.reading() as unit:
        newest, older = await unit.lives.list_for("ada")
    assert newest.outcome is Outcome.STARTING
    assert older.outcome is Outcome.LOST


async def test_open_lives_without_a_container_are_closed_when_a_hub_starts(store: Store) -> None:
    async with store.unit() as unit:
        ada = await unit.users.add("ada", Role.USER, NOW)
        await unit.workspaces.add(workspace(ada.id))
    await live(store, ada.id, NOW, (Run({}), timedelta(seconds=1)))
    await live(store, "gone", NOW, (Run({}), timedelta(seconds=1)))
    async with store.unit() as unit:
        assert await unit.lives.close_lost(HUB_WAS_DOWN, NOW + timedelta(hours=1)) == 1
    async with store.reading() as unit:
        [gone] = await unit.lives.list_for("gone")
        [runs] = await unit.lives.list_for(ada.id)
    assert (gone.outcome, gone.reason) == (Outcome.LOST, HUB_WAS_DOWN)
    assert runs.outcome is Outcome.RUNNING


async def test_days_people_times_and_failures_are_counted(store: Store) -> None:
    yesterday = NOW - timedelta(days=1)
    await a_life(store, "ada", yesterday, start=1.0)
    await a_life(store, "ada", NOW - timedelta(hours=5), start=3.04)
    await a_life(store, "bob", NOW - timedelta(hours=5), start=5.0)
    for minutes in (1, 2):
        failed = (End(Outcome.FAILED, "no image", "x"), timedelta(0))
        await live(store, "eve", NOW - timedelta(minutes=minutes), failed)
    span = Range.of_last(2, NOW)
    async with store.reading() as unit:
        [failure] = await unit.lives.failures(EVERYBODY, span)
    counts = await HistoryCounts(store, ManualClock(NOW)).count(EVERYBODY, span)
    assert [(day.asked, day.failed, day.people) for day in counts.days] == [(1, 0, 1), (4, 2, 3)]
    assert counts.tenths == {span.first: {10: 1}, span.last: {30: 1, 50: 1}}
    assert (failure.reason, failure.count, failure.people) == ("no image", 2, 1)
    assert failure.last_at == NOW - timedelta(minutes=1)


async def test_only_members_of_a_group_are_counted_for_its_owner(store: Store) -> None:
    group = Group(GroupId(new_id()), "physics", NOW)
    async with store.unit() as unit:
        people: list[User] = [await unit.users.add(name, Role.USER, NOW) for name in ("ada", "bob")]
        await unit.groups.add(group)
        await unit.groups.add_member(group.id, people[0].id)
    for each in people:
        await a_life(store, each.id, NOW - timedelta(hours=3))
    counts = HistoryCounts(store, ManualClock(NOW))
    span = Range.of_last(7, NOW)
    assert set((await counts.count(EVERYBODY, span)).seconds) == {each.id for each in people}
    assert set((await counts.count(Of(frozenset({group.id}), frozenset()), span)).seconds) == {people[0].id}
    assert (await counts.count(Of(frozenset(), frozenset()), span)).seconds == {}


async def test_what_is_kept_in_memory_is_what_the_database_says(store: Store) -> None:
    span, clock = Range.of_last(45, NOW), ManualClock(NOW - timedelta(days=59))
    counts = HistoryCounts(store, clock)
    for days in range(59, -1, -3):
        await counts.count(EVERYBODY, Range.of_last(60, clock.now()))  # before this day's life: it must be read again
        await a_life(store, f"u{days % 7}", clock.now(), hours=days + 1.0)
        clock.advance(timedelta(days=3))
    kept = await counts.count(EVERYBODY, span)
    read_now = await HistoryCounts(store, clock).count(EVERYBODY, span)
    assert kept == read_now
    assert kept.days[-1].day == span.last - 2
    days_seen = [days for days in range(59, -1, -3) if days < 45]
    assert len(kept.days) == len(days_seen)
    assert sum(kept.starts.values()) == len(days_seen)
    assert sum(kept.people_by_week.values()) <= len(days_seen)
    assert sum(kept.seconds.values()) == sum((days + 1.0) * 3600 for days in days_seen)


async def test_a_life_that_ends_weeks_later_is_not_missed(store: Store) -> None:
    long_ago = NOW - timedelta(days=30)
    await a_life(store, "ada", long_ago - timedelta(days=20))
    ws = workspace("bob")
    async with store.unit() as unit:
        await unit.lives.record(ws, ws, Begin(), "bob", long_ago)
        await unit.lives.record(ws, ws, Run({}), "hub", long_ago)
    counts = HistoryCounts(store, ManualClock(NOW))
    span = Range.of_last(60, NOW)
    assert (await counts.count(EVERYBODY, span)).seconds["bob"] == 30 * 86400
    async with store.unit() as unit:
        await unit.lives.record(ws, ws, End(Outcome.ENDED, "idle"), "hub", NOW)
    assert (await counts.count(EVERYBODY, span)).seconds["bob"] == 30 * 86400
