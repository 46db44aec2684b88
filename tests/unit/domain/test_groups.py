"""What groups may be called, and what they may say."""

from __future__ import annotations

import pytest

from hub.domain.groups import InvalidGroup, check_properties, normalise_display_name, normalise_group_name


@pytest.mark.parametrize(
    ("raw", "name"),
    [("Physics 101", "Physics 101"), ("  maths ", "maths"), ("ｍaths", "maths"), ("Ökologie", "Ökologie")],
)
def test_names_have_one_spelling(raw: str, name: str) -> None:
    assert normalise_group_name(raw) == name


@pytest.mark.parametrize(
    "raw", ["", " ", "..", ".x", "-rf", "a/b", "a\\b", "a%2f", "a!group=b", "a=b", "<b>", "a\nb", "a\u200bb", "x" * 129]
)
def test_names_that_an_address_or_a_permission_could_not_hold_are_refused(raw: str) -> None:
    with pytest.raises(InvalidGroup):
        normalise_group_name(raw)


def test_display_names_are_one_line() -> None:
    assert normalise_display_name(" Physics <101> ") == "Physics <101>"
    for wrong in ("a\nb", "x" * 201):
        with pytest.raises(InvalidGroup):
            normalise_display_name(wrong)


def test_properties_of_others_are_kept() -> None:
    given = {"term": {"year": 2026}, "limits": {"memory_bytes": 1024, "cpus": 0.5, "pids": None}}
    assert check_properties(given) == given


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "1", 2**53, float("nan"), float("inf")])
def test_whole_numbers_are_above_zero(wrong: object) -> None:
    with pytest.raises(InvalidGroup, match=r"quotas\.kernels"):
        check_properties({"quotas": {"kernels": wrong}})
