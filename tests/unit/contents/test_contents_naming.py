"""hub.contents.naming: names for new things."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.contents.naming import checkpoint_name, copy_names, untitled_names
from hub.errors import BadRequest

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=255)


@pytest.mark.parametrize(
    ("type", "ext", "names"),
    [
        ("notebook", ".ipynb", ["Untitled.ipynb", "Untitled1.ipynb", "Untitled2.ipynb"]),
        ("notebook", "", ["Untitled.ipynb", "Untitled1.ipynb", "Untitled2.ipynb"]),
        ("file", ".txt", ["untitled.txt", "untitled1.txt", "untitled2.txt"]),
        ("file", "", ["untitled", "untitled1", "untitled2"]),
        ("directory", "", ["Untitled Folder", "Untitled Folder 1", "Untitled Folder 2"]),
    ],
)
def test_untitled_things_are_numbered_as_in_jupyter(type: str, ext: str, names: list[str]) -> None:
    assert list(islice(untitled_names(type, ext), 3)) == names


@pytest.mark.parametrize("ext", ["/x", "a/../../b", ".\0", "." * 400])
def test_a_suffix_cannot_be_a_path(ext: str) -> None:
    with pytest.raises(BadRequest):
        untitled_names("file", ext)


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("a.ipynb", ["a.ipynb", "a-Copy1.ipynb", "a-Copy2.ipynb"]),
        ("a-Copy1.ipynb", ["a.ipynb", "a-Copy1.ipynb", "a-Copy2.ipynb"]),
        ("a.b.ipynb", ["a.b.ipynb", "a.b-Copy1.ipynb", "a.b-Copy2.ipynb"]),
        ("a.tar.gz", ["a.tar.gz", "a-Copy1.tar.gz", "a-Copy2.tar.gz"]),
        ("Makefile", ["Makefile", "Makefile-Copy1", "Makefile-Copy2"]),
    ],
)
def test_copies_are_numbered_as_in_jupyter(name: str, names: list[str]) -> None:
    assert list(islice(copy_names(name), 3)) == names


def test_checkpoints_keep_the_last_suffix() -> None:
    assert checkpoint_name("a.ipynb") == "a-checkpoint.ipynb"
    assert checkpoint_name("a.tar.gz") == "a.tar-checkpoint.gz"
    assert checkpoint_name("Makefile") == "Makefile-checkpoint"
    assert checkpoint_name(".bashrc") == ".bashrc-checkpoint"


@given(NAMES)
def test_numbers_and_checkpoints_never_make_a_name_too_long(name: str) -> None:
    if len(name.encode()) <= 255:
        assert all(len(made.encode()) <= 255 for made in islice(copy_names(name), 20))
        assert len(checkpoint_name(name).encode()) <= 255
