"""Cookies are read strictly, tokens have a checksum, and nothing reveals a secret."""

from __future__ import annotations

import time

import pytest

from hub.auth.cookies import form_cookie_name, form_token, read_cookie, sign_in_cookie_name
from hub.auth.digests import digest_of, is_token_value, new_secret, new_token_value


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("kernelhub=a", "a"),
        ("x=1; kernelhub=a;y=2", "a"),
        ('kernelhub="a"', "a"),
        ("kernelhub=a; kernelhub=a", "a"),
        ("kernelhub=a; kernelhub=b", None),
        ("Kernelhub=a", None),
        ("xkernelhub=a", None),
        ("kernelhub=", None),
        ("kernelhub", None),
        ("", None),
        ("kernelhub=a; " + "x" * 20_000, None),
    ],
)
def test_one_unambiguous_cookie_is_read_and_nothing_else(header: str, value: str | None) -> None:
    assert read_cookie(header, "kernelhub") == value


def test_a_header_of_many_parts_is_read_in_no_time() -> None:
    before = time.process_time()
    read_cookie("a=b;" * 4000 + "kernelhub=x", "kernelhub")
    assert time.process_time() - before < 0.2, "of the processor, of which half a millisecond is needed"


def test_over_https_only_the_host_bound_cookies_count() -> None:
    assert sign_in_cookie_name(secure=True).startswith("__Host-")
    assert form_cookie_name(secure=True).startswith("__Host-")
    assert read_cookie("kernelhub=a", sign_in_cookie_name(secure=True)) is None


def test_the_form_token_depends_on_the_cookie_and_does_not_hold_it() -> None:
    secret = new_secret()
    assert form_token(secret) == form_token(secret) != form_token(new_secret())
    assert secret not in form_token(secret)
    assert digest_of(secret).hex() != form_token(secret)


def test_tokens_are_recognised_and_typing_errors_too() -> None:
    value = new_token_value()
    assert value.startswith("hub_")
    assert is_token_value(value)
    assert len({new_token_value() for _ in range(100)}) == 100
    wrong = value[:10] + ("A" if value[10] != "A" else "B") + value[11:]
    for other in (wrong, value[:-1], value + "0", "", "hub_", "x" * 100_000, "hub_\udcff" + "0" * 8):
        assert not is_token_value(other)
