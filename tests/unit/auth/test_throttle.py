"""Delays grow, end, and hit the guesser rather than the owner."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from hub.auth.throttle import FORGET_SECONDS, MAX_KEYS, Kind, Throttle, delay_after
from proxy.kit.clock import ManualClock


def fail(throttle: Throttle, times: int, account: str = "alice", address: str = "a") -> None:
    for _ in range(times):
        throttle.failed(account, address)


def test_the_first_few_mistakes_cost_nothing() -> None:
    throttle = Throttle(ManualClock())
    fail(throttle, 4)
    assert throttle.wait_seconds("alice", "a", known_address=False) == 0


def test_the_delay_doubles_up_to_its_end() -> None:
    waits = []
    throttle = Throttle(ManualClock())
    fail(throttle, 4)
    for _ in range(12):
        fail(throttle, 1)
        waits.append(throttle.wait_seconds("alice", "a", known_address=True))
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_waiting_ends_the_delay() -> None:
    clock = ManualClock()
    throttle = Throttle(clock)
    fail(throttle, 8)
    wait = throttle.wait_seconds("alice", "a", known_address=False)
    clock.advance(timedelta(seconds=wait))
    assert throttle.wait_seconds("alice", "a", known_address=False) == 0


def test_success_forgets_ones_own_mistakes() -> None:
    throttle = Throttle(ManualClock())
    fail(throttle, 4)
    fail(throttle, 1)
    throttle.succeeded("alice", "a")
    fail(throttle, 4)
    assert throttle.wait_seconds("alice", "a", known_address=False) == 0


def test_an_hour_without_mistakes_forgets_them() -> None:
    clock = ManualClock()
    throttle = Throttle(clock)
    fail(throttle, 1000)
    clock.advance(timedelta(seconds=FORGET_SECONDS))
    fail(throttle, 1)
    assert throttle.wait_seconds("alice", "a", known_address=False) == 0


def test_guesses_from_many_addresses_are_slowed_but_not_at_the_owners() -> None:
    throttle = Throttle(ManualClock())
    for number in range(100):
        fail(throttle, 1, address=f"bot{number}")
    assert throttle.wait_seconds("alice", "another bot", known_address=False) == 60
    assert throttle.wait_seconds("alice", "home", known_address=True) == 0


def test_guesses_at_many_accounts_from_one_address_are_slowed() -> None:
    throttle = Throttle(ManualClock())
    for number in range(120):
        fail(throttle, 1, account=f"user{number}")
    assert throttle.wait_seconds("somebody", "a", known_address=False) == 10


def test_a_guessers_own_account_does_not_buy_guesses() -> None:
    throttle = Throttle(ManualClock())
    for number in range(120):
        fail(throttle, 1, account=f"user{number}")
        fail(throttle, 1, account="mallory")
        throttle.succeeded("mallory", "a")
    assert throttle.wait_seconds("somebody", "a", known_address=False) == 10


def test_a_class_behind_one_address_is_not_held_up() -> None:
    throttle = Throttle(ManualClock())
    for number in range(90):
        fail(throttle, 1, account=f"student{number}")
        fail(throttle, 1, account=f"student{number}")
        throttle.succeeded(f"student{number}", "school")
    assert throttle.wait_seconds("student7", "school", known_address=False) == 0


def test_a_flood_of_names_does_not_grow_memory_without_end() -> None:
    throttle = Throttle(ManualClock())
    for number in range(MAX_KEYS):
        fail(throttle, 1, account=f"user{number}", address=f"address{number}")
    assert len(throttle._failures) == MAX_KEYS


@given(st.sampled_from(Kind), st.integers(0, 10_000))
def test_no_delay_is_a_lock_out(kind: Kind, count: int) -> None:
    assert 0 <= delay_after(kind.value, count) <= kind.value.longest_seconds <= 300
