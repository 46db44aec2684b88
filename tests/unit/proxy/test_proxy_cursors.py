"""Cursors: where sessions stand, in files that outlive a proxy."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from proxy.core.executions import Executions
from proxy.core.tagged import Effect, Step
from proxy.io.cursors import KEPT_SECONDS, USER_SLOTS, Cursor, Cursors, SessionKey

KEY = SessionKey("u", "k", "s")
ONE, TWO, THREE = (bytes([n]) * 8 for n in (1, 2, 3))
NAME = b"kh-" + b"a" * 32


def opened(folder: Path | None, now: float = 1000.0, slots: int = 16) -> Cursors:
    cursors = Cursors(folder, lambda: now, slots)
    cursors.open()
    return cursors


def claimed(cursors: Cursors, key: SessionKey = KEY, base: int = 5) -> Cursor:
    cursor, _ = cursors.claim(key, base, NAME)
    assert cursor is not None
    return cursor


def killed(cursors: Cursors) -> None:
    """The process is gone: its lock with it, and nothing else happened."""
    fcntl.flock(cursors._file, fcntl.LOCK_UN)
    os.close(cursors._file)
    cursors._file = -1


def test_a_session_that_never_was_begins_at_the_journals_end() -> None:
    _, former = opened(None).claim(KEY, 5, NAME)
    assert former is None


def test_who_left_goes_on_from_what_is_known_to_be_received() -> None:
    cursors = opened(None)
    cursor = claimed(cursors)
    cursor.reach(ONE)
    cursor.acknowledge(ONE, Executions().dump())
    cursor.reach(TWO)
    cursors.release(cursor)
    _, former = cursors.claim(KEY, 9, b"another")
    assert former is not None
    assert (former.identity, former.base, former.routing_id) == (ONE, 5, NAME)


def test_of_a_proxy_that_was_killed_what_was_written_counts(tmp_path: Path) -> None:
    cursors = opened(tmp_path)
    cursor = claimed(cursors)
    cursor.acknowledge(ONE, Executions().dump())
    cursor.reach(TWO)
    open_ones = Executions()
    open_ones.note(Effect(Step.INPUT, "m", 7))
    cursor.note(open_ones)
    killed(cursors)
    _, former = opened(tmp_path).claim(KEY, 9, b"another")
    assert former is not None
    assert (former.identity, former.routing_id) == (TWO, NAME)
    found = former.executions.find("m")
    assert found is not None
    assert found.count == 7
    assert len(list(tmp_path.glob("cursors-*"))) == 1


def test_what_a_killed_proxy_was_about_to_write_counts_as_written_unless_the_socket_was_full(tmp_path: Path) -> None:
    for settle, expected in ((False, TWO), (True, ONE)):
        folder = tmp_path / str(settle)
        cursors = opened(folder)
        cursor = claimed(cursors)
        cursor.reach(ONE)
        cursor.intend(TWO)
        if settle:
            cursor.settle()
        killed(cursors)
        _, former = opened(folder).claim(KEY, 9, b"another")
        assert former is not None
        assert former.identity == expected


def test_a_proxy_that_lives_beside_is_asked_what_is_known_to_be_received(tmp_path: Path) -> None:
    one, other = opened(tmp_path), opened(tmp_path)
    cursor = claimed(one)
    cursor.acknowledge(ONE, Executions().dump())
    cursor.reach(TWO)
    moved, former = other.claim(KEY, 9, b"another")
    assert former is not None
    assert former.identity == ONE
    assert moved is not None
    moved.acknowledge(THREE, Executions().dump())
    cursor.acknowledge(TWO, Executions().dump())  # late: the client is elsewhere
    other.release(moved)
    _, again = one.claim(KEY, 9, b"another")
    assert again is not None
    assert again.identity == THREE


def test_a_proxy_that_closed_leaves_what_is_known_to_be_received(tmp_path: Path) -> None:
    cursors = opened(tmp_path)
    cursor = claimed(cursors)
    cursor.acknowledge(ONE, Executions().dump())
    cursor.reach(TWO)
    cursors.close()
    _, former = opened(tmp_path).claim(KEY, 9, b"another")
    assert former is not None
    assert former.identity == ONE


def test_a_session_is_forgotten_after_a_day(tmp_path: Path) -> None:
    cursors = opened(tmp_path)
    cursors.release(claimed(cursors))
    cursors.close()
    _, former = opened(tmp_path, 1000.0 + KEPT_SECONDS + 1).claim(KEY, 9, b"another")
    assert former is None


def test_sessions_of_others_do_not_push_out_those_that_are_connected() -> None:
    cursors = opened(None, slots=4)
    mine = claimed(cursors)
    mine.acknowledge(ONE, Executions().dump())
    for number in range(20):
        cursor, _ = cursors.claim(SessionKey("v", "k", str(number)), 0, NAME)
        assert cursor is not None
        cursors.release(cursor)
    assert mine.acknowledged == ONE
    held = [cursors.claim(SessionKey("w", "k", str(number)), 0, NAME)[0] for number in range(5)]
    assert held.count(None) == 2  # four places, one of them mine


def test_one_user_has_so_many_and_no_more() -> None:
    cursors = opened(None, slots=USER_SLOTS * 2)
    for number in range(USER_SLOTS + 50):
        cursor, _ = cursors.claim(SessionKey("u", "k", str(number)), 0, NAME)
        assert cursor is not None
        cursors.release(cursor)
    assert len(cursors._places) == USER_SLOTS


def test_files_that_are_none_of_ours_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "cursors-1-junk").write_bytes(b"junk")
    (tmp_path / "cursors-2-empty").touch()
    assert opened(tmp_path).claim(KEY, 5, NAME)[1] is None


def test_a_session_stands_elsewhere_until_its_connection_there_has_ended(tmp_path: Path) -> None:
    one, other = opened(tmp_path), opened(tmp_path)
    cursor, _ = one.claim(KEY, 5, NAME, 7)
    assert cursor is not None
    with (
        other.elsewhere(KEY) as standing,
        one.elsewhere(KEY) as own,
        other.elsewhere(SessionKey("u", "k", "t")) as none,
    ):
        assert [(found.path, found.order) for found in standing] == [(one.path, 7)]
        assert (own, none) == ([], [])
        assert (one.stands(KEY), other.stands(KEY), other.stands(SessionKey("u", "k", "t"))) == (True, True, False)
        one.release(cursor)
        assert not standing[0].stands
    with other.elsewhere(KEY) as standing:
        assert standing == []
    assert not one.stands(KEY) and not other.stands(KEY)


def test_that_a_session_had_another_name_is_remembered(tmp_path: Path) -> None:
    cursors = opened(tmp_path)
    cursors.release(claimed(cursors))
    cursors.rename(KEY, b"kh-new")
    for _ in range(2):
        cursor, former = cursors.claim(KEY, 9, b"another")
        assert former is not None and cursor is not None
        assert (former.routing_id, former.is_renamed) == (b"kh-new", True)
        cursors.release(cursor)
