"""What strangers send cannot disturb the log."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.http.access_log import MAX_SHOWN_CHARS, printable, shown_path


@given(st.text())
def test_whatever_is_logged_is_one_short_printable_line(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) <= MAX_SHOWN_CHARS * 10 + 1


def test_control_and_direction_characters_are_escaped() -> None:
    assert printable("a\r\n\x1b[2J\u202eb\u200b") == "a\\r\\n\\x1b[2J\\u202eb\\u200b"


def test_long_text_is_cut() -> None:
    assert len(printable("x" * 1_000_000)) == MAX_SHOWN_CHARS + 1


def test_the_secret_of_a_one_time_link_is_not_shown() -> None:
    assert shown_path("/hub/setup/abcDEF_-1") == "/hub/setup/…"
    assert shown_path("/hub/invitation/abc/def") == "/hub/invitation/…"
    assert shown_path("/hub/login") == "/hub/login"
