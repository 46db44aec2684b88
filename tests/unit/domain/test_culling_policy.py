"""Rules laid over each other: the nearest counts, groups' owners within their cap; and quiet hours in their zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.culling_policy import (
    SPANS,
    CullingPolicy,
    GroupLayers,
    Layer,
    longer,
    quiet_for,
    read_quiet,
    resolve,
)

HOUR = timedelta(hours=1)
BASE = CullingPolicy(kernel_idle=4 * HOUR, workspace_empty=HOUR)
NOBODY = Layer("", {})
limits = st.none() | st.timedeltas(timedelta(0), timedelta(days=100))


def said(source: str, **values: Any) -> Layer:
    return Layer(source, values)


def test_without_rules_the_settings_hold() -> None:
    policy = resolve(BASE, None, [], None)
    assert policy == BASE and policy.source("kernel_idle") == "the hub's settings"


def test_the_nearest_layer_that_says_something_counts_field_by_field() -> None:
    profile = said("the profile gpu", kernel_idle=HOUR, max_age=24 * HOUR)
    group = GroupLayers(said("the group physics", kernel_idle=8 * HOUR))
    user = said("an administrator, for this user", max_age=None)
    policy = resolve(BASE, profile, [group], user)
    assert (policy.kernel_idle, policy.max_age, policy.workspace_empty) == (8 * HOUR, None, HOUR)
    assert policy.source("kernel_idle") == "the group physics"
    assert policy.source("max_age") == "an administrator, for this user"
    assert policy.source("workspace_empty") == "the hub's settings"


def test_of_several_groups_the_most_generous_counts() -> None:
    short = GroupLayers(
        said("a", kernel_idle=HOUR, cull_connected=True, busy_cpu=None, quiet=(read_quiet("mon 08:00-09:00"),))
    )
    long = GroupLayers(
        said("b", kernel_idle=2 * HOUR, cull_connected=False, busy_cpu=0.1, quiet=(read_quiet("tue 08:00-09:00"),))
    )
    for groups in ([short, long], [long, short]):
        policy = resolve(BASE, None, groups, None)
        assert (policy.kernel_idle, policy.cull_connected, policy.busy_cpu) == (2 * HOUR, False, 0.1)
        assert len(policy.quiet) == 2 and policy.source("kernel_idle") == "b"
    assert resolve(BASE, None, [short, GroupLayers(said("c", kernel_idle=None))], None).kernel_idle is None


def test_an_owner_may_shorten_but_not_lengthen_beyond_what_holds() -> None:
    for wanted, comes in ((HOUR, HOUR), (8 * HOUR, 4 * HOUR), (None, 4 * HOUR)):
        group = GroupLayers(NOBODY, said("an owner", kernel_idle=wanted))
        assert resolve(BASE, None, [group], None).kernel_idle == comes


def test_an_owner_may_lengthen_up_to_the_administrators_cap() -> None:
    cap = Layer("the group physics", {}, allows_owners=True, owners_up_to=6 * HOUR)
    for wanted, comes in ((5 * HOUR, 5 * HOUR), (8 * HOUR, 6 * HOUR), (None, 6 * HOUR)):
        group = GroupLayers(cap, said("an owner", kernel_idle=wanted))
        assert resolve(BASE, None, [group], None).kernel_idle == comes
    unbounded = Layer("the group physics", {}, allows_owners=True, owners_up_to=None)
    assert resolve(BASE, None, [GroupLayers(unbounded, said("an owner", kernel_idle=None))], None).kernel_idle is None


def test_an_owner_says_nothing_of_what_is_not_theirs() -> None:
    group = GroupLayers(
        NOBODY, said("an owner", max_age=None, quiet=(read_quiet("daily 00:00-24:00"),), busy_cpu=0.001)
    )
    assert resolve(BASE, None, [group], None) == BASE


@given(limits, limits, limits, st.booleans(), limits)
def test_no_owner_gets_beyond_the_cap_or_what_holds_without_them(
    held: timedelta | None,
    administrators: timedelta | None,
    wanted: timedelta | None,
    capped: bool,
    cap: timedelta | None,
) -> None:
    base = CullingPolicy(kernel_idle=held, workspace_empty=HOUR)
    layer = Layer("", {"kernel_idle": administrators}, allows_owners=capped, owners_up_to=cap if capped else None)
    without = resolve(base, None, [GroupLayers(layer)], None).kernel_idle
    result = resolve(base, None, [GroupLayers(layer, said("an owner", kernel_idle=wanted))], None).kernel_idle
    most = longer(without, cap) if capped else without
    assert longer(result, most) == most


@given(st.dictionaries(st.sampled_from(SPANS), limits), st.dictionaries(st.sampled_from(SPANS), limits))
def test_another_group_never_takes_time_away(one: dict[str, Any], other: dict[str, Any]) -> None:
    alone = resolve(BASE, None, [GroupLayers(Layer("a", one))], None)
    both = resolve(BASE, None, [GroupLayers(Layer("a", one)), GroupLayers(Layer("b", other))], None)
    for name in one:
        assert longer(getattr(alone, name), getattr(both, name)) == getattr(both, name)


@pytest.mark.parametrize(
    ("text", "zone", "moment", "hours"),
    [
        ("mon-fri 08:00-18:00", "UTC", "2026-11-23T12:00", 6),
        ("mon-fri 08:00-18:00", "UTC", "2026-11-22T12:00", 0),
        ("mon-fri 08:00-18:00", "UTC", "2026-11-23T18:00", 0),
        ("mon-fri 08:00-18:00", "America/New_York", "2026-11-23T22:00", 1),
        ("daily 22:00-06:00", "UTC", "2026-11-23T23:00", 7),
        ("daily 22:00-06:00", "UTC", "2026-11-23T05:00", 1),
        ("sun 22:00-06:00", "UTC", "2026-11-23T05:00", 1),
        ("mon 22:00-06:00", "UTC", "2026-11-23T05:00", 0),
        ("fri-mon 00:00-24:00", "UTC", "2026-11-20T12:00", 84),
        ("sat,sun 00:00-24:00", "Europe/Berlin", "2026-10-24T22:00", 25),
    ],
)
def test_quiet_hours_last_until_they_end_on_the_clocks_of_their_zone(
    text: str, zone: str, moment: str, hours: int
) -> None:
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert quiet_for([read_quiet(text, zone)], now) == hours * HOUR


def test_where_it_is_always_quiet_nothing_ever_comes_near() -> None:
    assert quiet_for([read_quiet("daily 00:00-24:00")], datetime(2026, 11, 22, tzinfo=UTC)) > timedelta(days=7)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mon",
        "mon 8-9",
        "mun 08:00-09:00",
        "mon-fry 08:00-09:00",
        "mon 24:00-25:00",
        "mon 23:00-24:30",
        "mon,, 08:00-09:00",
    ],
)
def test_what_is_no_time_of_the_week_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"mon-fri|24:00"):
        read_quiet(text)
