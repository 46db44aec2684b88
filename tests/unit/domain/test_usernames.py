"""User names: one spelling each, and nothing that could be taken for a path, an option or another name."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.domain.users import MAX_USERNAME_CHARS, InvalidUsername, normalise_username

CANONICAL = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("bob", "bob"),
        ("Bob", "bob"),
        ("BOB", "bob"),
        ("ｂｏｂ", "bob"),  # full-width letters
        ("\u212aatja", "katja"),  # the Kelvin sign
        ("ﬁona", "fiona"),  # a ligature
        ("Strauß", "strauss"),
        ("bob²", "bob2"),
        ("a+b", "a+b"),
        ("a-2db", "a-2db"),
        ("ada.lovelace@example.edu", "ada.lovelace@example.edu"),
        ("0", "0"),
        ("a..b", "a..b"),
        ("a" * MAX_USERNAME_CHARS, "a" * MAX_USERNAME_CHARS),
    ],
)
def test_spellings_that_people_take_for_the_same_name_are_the_same_name(raw: str, canonical: str) -> None:
    assert normalise_username(raw) == canonical


REFUSED = {
    "empty": "",
    "zero-width space": "bob\u200b",
    "zero-width joiner": "bo\u200db",
    "right-to-left override": "bob\u202e",
    "byte order mark": "\ufeffbob",
    "soft hyphen": "bo\u00adb",
    "dotless i": "adm\u0131n",
    "capital I with a dot": "adm\u0130n",
    "Cyrillic a": "\u0430dmin",
    "Greek omicron": "b\u03bfb",
    "combining accent": "bo\u0301b",
    "encoded slash": "a%2fb",
    "doubly encoded slash": "a%252fb",
    "slash": "a/b",
    "backslash": "a\\b",
    "full-width slash": "a\uff0fb",
    "division slash": "a\u2215b",
    "inner space": "a b",
    "no-break space": "a\u00a0b",
    "leading space": " bob",
    "trailing space": "bob ",
    "trailing tab": "bob\t",
    "newline inside": "bob\nalice",
    "trailing newline": "bob\n",
    "carriage return": "bob\r",
    "line separator": "bob\u2028",
    "escape": "bob\x1b[2J",
    "NUL": "bob\0",
    "lone surrogate": "bob\ud800",
    "dot": ".",
    "two dots": "..",
    "encoded dots": "%2e%2e",
    "one-dot leader": "\u2024\u2024",
    "hidden": ".bob",
    "option": "-rf",
    "plus first": "+bob",
    "at first": "@bob",
    "underscore first": "_bob",
    "colon": "a:b",
    "quote": "bob'--",
    "markup": "<b>",
    "dollar": "$HOME",
    "65 characters": "a" * 65,
    "65 characters once folded": "ß" * 33,
    "5,000 characters": "a" * 5000,
    "a million characters": "a" * 1_000_000,
    "one that expands": "\ufdfa" * 64,
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_names_that_could_be_taken_for_something_else_are_refused(raw: str) -> None:
    with pytest.raises(InvalidUsername):
        normalise_username(raw)


@pytest.mark.parametrize("raw", ["hub", "HUB", "user", "static", "internal", "health", "metrics", "api", "me", "ｍｅ"])
def test_names_that_the_hub_uses_in_its_own_addresses_are_refused(raw: str) -> None:
    with pytest.raises(InvalidUsername, match="used by the hub"):
        normalise_username(raw)


def test_the_refusal_says_what_is_allowed_and_does_not_repeat_what_was_sent() -> None:
    with pytest.raises(InvalidUsername) as refused:
        normalise_username("x" * 1000 + "\x1b")
    assert "64 characters" in str(refused.value)
    assert len(str(refused.value)) < 200


def test_names_that_differ_only_at_their_end_stay_different() -> None:
    assert normalise_username("a" * 63 + "b") != normalise_username("a" * 63 + "c")


@given(st.text(max_size=100) | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,70}", fullmatch=True))
@example("\u1e9e")  # capital sharp s: folds to two letters
def test_every_name_is_either_canonical_afterwards_or_refused(raw: str) -> None:
    try:
        name = normalise_username(raw)
    except InvalidUsername:
        return
    assert CANONICAL.fullmatch(name)
    assert normalise_username(name) == name


@given(st.from_regex(r"[a-z0-9][a-z0-9._@+-]{0,63}", fullmatch=True))
def test_no_canonical_name_but_the_reserved_ones_is_changed_or_refused(name: str) -> None:
    try:
        assert normalise_username(name) == name
        assert normalise_username(name.upper()) == name
        assert normalise_username(unicodedata.normalize("NFD", name)) == name
    except InvalidUsername as refused:
        assert "used by the hub" in str(refused)
