"""What roles of learning platforms mean, and what their courses are called here."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.groups import normalise_group_name
from hub.domain.lti import group_name, membership_role


@given(st.text(max_size=200), st.text(max_size=300), st.integers(1, 999))
def test_a_courses_group_always_has_a_name_that_groups_may_have(platform: str, label: str, number: int) -> None:
    name = group_name(platform, label, number)
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name)
    assert normalise_group_name(name) == name


def test_numbers_tell_courses_of_one_name_apart_however_long_it_is() -> None:
    names = {group_name("school", "x" * 100, number) for number in range(1, 200)}
    assert len(names) == 199


@given(st.lists(st.text(max_size=80), max_size=5))
def test_whatever_a_platform_sends_as_roles_is_read_without_an_error(roles: list[str]) -> None:
    assert membership_role(roles) in (None, "member", "owner")


@pytest.mark.parametrize(
    "role", ["http://purl.imsglobal.org/vocab/lis/v2/membership#Manager", "#Instructor", "instructor"]
)
def test_other_roles_are_nobody(role: str) -> None:
    assert membership_role([role]) is None
