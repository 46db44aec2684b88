"""Which profiles a user may use, what they are called, and where the home is in each."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from hub.config import Profile, Settings
from hub.domain.ids import UserId
from hub.domain.users import Role, User
from hub.workspaces.profiles import labels_of, profiles_of, within_home

ADA = User(UserId("a"), 1, "ada", Role.USER, datetime(2026, 1, 1, tzinfo=UTC))


def test_the_default_profile_comes_first_and_the_others_as_they_are_configured() -> None:
    settings = Settings(default_profile="b", profiles={"z": Profile(), "a": Profile(), "b": Profile(), "c": Profile()})
    assert list(profiles_of(settings, ADA)) == ["b", "z", "a", "c"]


def test_a_profile_is_called_by_its_display_name_if_that_is_set_and_its_own() -> None:
    profiles = {
        "named": Profile(display_name="Statistics"),
        "plain": Profile(),
        "one": Profile(display_name="Twin"),
        "two": Profile(display_name="Twin"),
        "blank": Profile(display_name=" "),
    }
    labels = labels_of(profiles)
    assert labels == {"named": "Statistics", "plain": "plain", "one": "one", "two": "two", "blank": "blank"}


@pytest.mark.parametrize("name", ["a.b", "", "a/b", "ä", "x" * 41])
def test_a_profile_whose_name_cannot_end_a_kernels_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="letters, digits, - and _"):
        Settings(default_profile=name, profiles={name: Profile()})


@pytest.mark.parametrize(
    ("path", "relative"),
    [
        ("/home/jovyan/a/b.py", "a/b.py"),
        ("/srv/me/a.py", "a.py"),
        ("~/a.py", "a.py"),
        ("/home/jovyan", ""),
        ("~", ""),
        ("/home/jovyanx/a.py", None),
        ("/usr/lib/a.py", None),
        ("a.py", None),
        ("~root/a.py", None),
    ],
)
def test_a_path_in_any_of_a_users_containers_is_a_path_in_the_one_home(path: str, relative: str | None) -> None:
    assert within_home({"a": Profile(), "b": Profile(home="/srv/me/")}, path) == relative
