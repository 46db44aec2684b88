"""hub.domain.quota: who may have how much."""

from __future__ import annotations

import pytest

from hub.domain.quota import Disk, Quota, Use, disk_state, limits_of, quota_of, refuse_container, refuse_kernel
from hub.domain.workspace import Limits

GIB = 1024**3


def test_without_groups_the_hubs_own_quota_holds() -> None:
    assert quota_of(Quota(kernels=5), []) == Quota(kernels=5)
    assert quota_of(Quota(), [{}, {"profiles": ["x"]}]).is_unlimited


def test_a_group_says_otherwise_and_of_several_the_most_counts() -> None:
    groups = [{"quotas": {"kernels": 2, "hours_per_week": 4.5}}, {"quotas": {"kernels": 3}}]
    assert quota_of(Quota(containers=1, kernels=10), groups) == Quota(containers=1, kernels=3, hours_per_week=4.5)


def test_what_is_no_number_in_a_groups_properties_says_nothing() -> None:
    assert quota_of(Quota(kernels=5), [{"quotas": {"kernels": "many"}}]) == Quota(kernels=5)


def test_limits_of_groups_replace_the_profiles() -> None:
    profile = Limits(2 * GIB, 2.0, 512)
    assert limits_of(profile, []) == profile
    groups = [{"limits": {"memory_bytes": 8 * GIB}}, {"limits": {"memory_bytes": 4 * GIB, "cpus": 4}}]
    assert limits_of(profile, groups) == Limits(8 * GIB, 4, 512)


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (Use(containers=0, hours=0.0), None),
        (Use(containers=1), "1 container at once"),
        (Use(containers=0, hours=9.99), None),
        (Use(containers=0, hours=10.0), "10 hours of containers"),
    ],
)
def test_a_container_is_refused_at_the_quota_with_what_to_do(use: Use, words: str | None) -> None:
    refused = refuse_container(Quota(containers=1, hours_per_week=10), use)
    assert (refused is None) if words is None else (refused is not None and words in refused)


def test_a_kernel_is_refused_at_the_quota() -> None:
    assert refuse_kernel(Quota(kernels=2), Use(kernels=1)) is None
    assert "2 kernels at once" in (refuse_kernel(Quota(kernels=2), Use(kernels=2)) or "")
    assert refuse_kernel(Quota(), Use(kernels=63)) is None


def test_a_home_is_nearly_full_before_it_is_full() -> None:
    quota = Quota(disk_bytes=100)
    assert [disk_state(quota, size) for size in (None, 0, 89, 90, 99, 100, 200)] == [
        *(Disk.FINE, Disk.FINE, Disk.FINE, Disk.NEARLY_FULL, Disk.NEARLY_FULL, Disk.FULL, Disk.FULL)
    ]
    assert disk_state(quota, 105, slack=1.1) is Disk.NEARLY_FULL
    assert disk_state(Quota(), 10**15) is Disk.FINE
