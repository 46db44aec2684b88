"""proxy.core.known_routes: what the proxy lets in while the hub restarts, and what it does not."""

from __future__ import annotations

import msgspec
import pytest

from proxy.contract.route import KernelRoute, RouteQuestion
from proxy.core.known_routes import AWAY_SECONDS, FRESH_SECONDS, MOST, KnownRoutes

QUESTION = RouteQuestion("/user/ada/api/kernels/k/channels", "session_id=1", "hub", "https", "10.0.0.1", cookie="a=1")
ROUTE = KernelRoute("sign-in-1", "u1", "w1", "k", "/run/w1", 1000)


@pytest.fixture
def known() -> KnownRoutes:
    known = KnownRoutes()
    known.learn(QUESTION, ROUTE, 100.0)
    return known


def test_who_was_let_in_a_moment_ago_is_let_in_again(known: KnownRoutes) -> None:
    another_tab = msgspec.structs.replace(QUESTION, query="session_id=2", user_agent="another")
    assert known.find(another_tab, 103.0) == ROUTE


@pytest.mark.parametrize(
    "change",
    [
        {"cookie": "a=2"},
        {"cookie": ""},
        {"authorization": "token x"},
        {"path": "/user/ada/api/kernels/other/channels"},
        {"origin": "https://evil.example"},
        {"sec_fetch_site": "cross-site"},
        {"host": "other"},
        {"scheme": "http"},
        {"address": "10.0.0.2"},
        {"query": "session_id=1&token=x"},
    ],
)
def test_nobody_else_is(known: KnownRoutes, change: dict[str, str]) -> None:
    assert known.find(msgspec.structs.replace(QUESTION, **change), 101.0) is None


def test_a_token_in_the_address_is_asked_for_like_any_other_credential(known: KnownRoutes) -> None:
    by_token = msgspec.structs.replace(QUESTION, cookie="", query="session_id=1&token=secret")
    known.learn(by_token, ROUTE, 100.0)
    assert known.find(msgspec.structs.replace(by_token, query="session_id=2&token=secret"), 101.0) == ROUTE
    for query in ("session_id=1", "session_id=1&token=", "token=other", "session_id=1&%74oken=other"):
        assert known.find(msgspec.structs.replace(by_token, query=query), 101.0) is None


def test_who_was_signed_out_is_not(known: KnownRoutes) -> None:
    known.confirm(["sign-in-1"], ["sign-in-1"], 101.0)
    assert known.find(QUESTION, 101.0) is None


def test_who_was_refused_since_is_not(known: KnownRoutes) -> None:
    known.learn(QUESTION, None, 101.0)
    assert known.find(QUESTION, 101.0) is None


def test_an_answer_that_is_older_than_a_sign_out_may_take_counts_only_when_it_was_confirmed(known: KnownRoutes) -> None:
    later = 100.0 + FRESH_SECONDS + 1
    known.confirm(["sign-in-2"], [], later)
    assert known.find(QUESTION, later) is None
    known.confirm(["sign-in-1"], [], later)
    assert known.find(QUESTION, later) == ROUTE


def test_a_hub_that_stays_away_lets_nobody_in(known: KnownRoutes) -> None:
    assert known.find(QUESTION, 100.0 + AWAY_SECONDS) == ROUTE
    assert known.find(QUESTION, 100.1 + AWAY_SECONDS) is None


def test_what_is_known_is_bounded_and_holds_no_credentials(known: KnownRoutes) -> None:
    for number in range(MOST):
        known.learn(msgspec.structs.replace(QUESTION, cookie=f"secret-{number}"), ROUTE, 100.0)
    assert known.find(QUESTION, 100.0) is None
    assert b"secret" not in b"".join(known._known)
