"""Token buckets."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hub.errors import TooManyRequests
from hub.http.rate_limit import MAX_BUCKETS, RateLimit, address_key
from proxy.kit.clock import ManualClock


def test_a_minutes_requests_may_come_at_once_and_then_evenly() -> None:
    clock = ManualClock()
    limit = RateLimit("requests", 60, clock)
    standings = [limit.take("a") for _ in range(60)]
    assert standings[0] and standings[0].left == 59
    with pytest.raises(TooManyRequests) as refused:
        limit.take("a")
    assert refused.value.retry_after_seconds == 1
    clock.advance(timedelta(seconds=1))
    assert limit.take("a")
    with pytest.raises(TooManyRequests):
        limit.take("a")
    assert limit.take("b"), "another asker has a bucket of their own"


def test_whoever_is_refused_does_not_pay_for_it() -> None:
    clock = ManualClock()
    limit = RateLimit("requests", 6, clock)
    for _ in range(6):
        limit.take("a")
    for _ in range(50):
        with pytest.raises(TooManyRequests) as refused:
            limit.take("a")
        assert refused.value.retry_after_seconds == 10
    clock.advance(timedelta(seconds=10))
    assert limit.take("a")


def test_no_quota_is_no_limit() -> None:
    limit = RateLimit("requests", 0, ManualClock())
    assert all(limit.take("a") is None for _ in range(10_000))


def test_askers_are_forgotten_when_there_are_too_many() -> None:
    limit = RateLimit("requests", 1, ManualClock())
    for number in range(MAX_BUCKETS + 1):
        limit.take(str(number))
    with pytest.raises(TooManyRequests):
        limit.take(str(MAX_BUCKETS))
    assert limit.take("0"), "the oldest was forgotten"


def test_the_headers_follow_the_draft() -> None:
    standing = RateLimit("requests", 60, ManualClock()).take("a")
    assert standing is not None
    assert standing.headers() == {"RateLimit-Policy": '"requests";q=60;w=60', "RateLimit": '"requests";r=59;t=1'}


def test_an_ipv6_address_counts_with_its_network() -> None:
    assert address_key("2001:db8::1") == address_key("2001:db8::ffff:2") != address_key("2001:db8:0:1::1")
    assert address_key("192.0.2.1") != address_key("192.0.2.2")
    assert address_key("?") == "?"
