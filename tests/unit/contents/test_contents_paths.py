"""hub.contents.paths: what a client may name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.contents.paths import MAX_NAME_BYTES, parse_path, refuse_hidden, refuse_hidden_change
from hub.errors import BadRequest, HubError, NotFound

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(st.text(max_size=300))
def test_any_text_gives_a_path_beneath_or_a_refusal(text: str) -> None:
    try:
        path = parse_path(text)
    except HubError:
        return
    assert not path.raw.startswith(b"/")
    assert b"\0" not in path.raw
    assert not set(path.parts) & {"", ".", ".."}
    assert all(len(part.encode()) <= MAX_NAME_BYTES for part in path.parts)


@given(st.lists(NAMES.filter(lambda name: name not in (".", "..")), max_size=6))
def test_names_survive_as_they_are(names: list[str]) -> None:
    path = parse_path("/".join(names))
    assert list(path.parts) == names
    assert parse_path(str(path)) == path


@given(st.lists(NAMES, max_size=4), st.lists(NAMES, max_size=4))
def test_dots_that_climb_are_refused_wherever_they_stand(before: list[str], after: list[str]) -> None:
    with pytest.raises((NotFound, BadRequest)):
        parse_path("/".join([*before, "..", *after]))


@pytest.mark.parametrize("text", ["", "/", "//", ".", "./", "/./"])
def test_the_home_itself_has_many_spellings(text: str) -> None:
    assert parse_path(text).parts == ()
    assert parse_path(text).raw == b"."


def test_slashes_are_normalised() -> None:
    assert str(parse_path("/a//b/./c/")) == "a/b/c"


def test_a_backslash_is_an_ordinary_character() -> None:
    assert parse_path(r"..\..\etc").parts == (r"..\..\etc",)


def test_the_percent_sign_is_not_decoded_again() -> None:
    assert parse_path("a%2f..%2fb").parts == ("a%2f..%2fb",)


@pytest.mark.parametrize("text", ["a\0b", "\0", "../etc/passwd", "a/../../b", "..", "a/.."])
def test_paths_that_lead_out_are_as_good_as_missing(text: str) -> None:
    with pytest.raises(NotFound):
        parse_path(text)


@pytest.mark.parametrize("text", ["x" * 256, "é" * 128, "a/" * 2001 + "a", "\ud800"])
def test_names_that_linux_cannot_have_are_refused(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_path(text)
    assert len(caught.value.message) < 250


def test_hidden_is_any_name_with_a_dot_before_it() -> None:
    assert parse_path("a/.b/c").hidden
    assert parse_path(".bashrc").hidden
    assert not parse_path("a.b/c.").hidden


def test_hidden_files_are_missing_to_readers_and_refused_to_writers() -> None:
    hidden = parse_path("d/.x/y")
    with pytest.raises(NotFound):
        refuse_hidden(hidden, allow_hidden=False)
    with pytest.raises(BadRequest):
        refuse_hidden_change(hidden, allow_hidden=False)
    refuse_hidden(hidden, allow_hidden=True)
    refuse_hidden_change(hidden, allow_hidden=True)
