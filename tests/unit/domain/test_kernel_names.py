"""Names of kernels across profiles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.kernel_names import Choice, Offer, choose, default_kernel, guess, list_kernels, shown_name

DATASCIENCE = Offer("datascience", ("python3", "bash"), "python3")
STATISTICS = Offer("statistics", ("ir", "python3"), "ir")

names = st.text("ab.", min_size=1, max_size=4).filter(lambda name: not name.startswith("."))
profiles = st.lists(st.text("ab", min_size=1, max_size=2), unique=True, min_size=1, max_size=4)


@st.composite
def offers(draw: st.DrawFn) -> list[Offer]:
    made = []
    for profile in draw(profiles):
        kernels = tuple(draw(st.lists(names, unique=True, max_size=4)))
        made.append(Offer(profile, kernels, draw(st.sampled_from([*kernels, "", "gone"]))))
    return made


def test_the_first_profile_keeps_the_bare_name_and_a_later_one_is_told_apart() -> None:
    listed = list_kernels([DATASCIENCE, STATISTICS])
    assert list(listed) == ["python3", "bash", "ir", "python3.statistics"]
    assert listed["python3.statistics"] == Choice("statistics", "python3", "python3.statistics")
    assert listed["ir"].profile == "statistics"


@pytest.mark.parametrize(
    ("wanted", "place", "listed_as"),
    [
        ("python3", "datascience", "python3"),
        ("python3.datascience", "datascience", "python3"),
        ("python3.statistics", "statistics", "python3.statistics"),
        ("ir.statistics", "statistics", "ir"),
    ],
)
def test_the_qualified_form_is_always_understood_and_answered_by_the_listed_name(
    wanted: str, place: str, listed_as: str
) -> None:
    choice = choose(wanted, list_kernels([DATASCIENCE, STATISTICS]))
    assert choice is not None and (choice.profile, choice.listed) == (place, listed_as)


@pytest.mark.parametrize("wanted", ["julia", "ir.datascience", "python3.gpu", ".statistics", "", "."])
def test_what_no_profile_has_is_nothing(wanted: str) -> None:
    assert choose(wanted, list_kernels([DATASCIENCE, STATISTICS])) is None


def test_a_kernel_that_is_not_listed_is_looked_for_where_its_name_says_else_in_the_first_profile() -> None:
    assert guess("new", ["datascience", "statistics"]) == Choice("datascience", "new", "new")
    assert guess("new.statistics", ["datascience", "statistics"]) == Choice("statistics", "new", "new.statistics")
    assert guess("python3.11", ["datascience", "statistics"]) == Choice("datascience", "python3.11", "python3.11")


def test_the_default_is_the_first_profiles_default_by_its_listed_name() -> None:
    both = [DATASCIENCE, STATISTICS]
    assert default_kernel(both, list_kernels(both)) == "python3"
    assert default_kernel(both[::-1], list_kernels(both[::-1])) == "ir"
    assert default_kernel([Offer("empty", ()), STATISTICS], list_kernels([STATISTICS])) == "ir"
    assert default_kernel([Offer("a", ("x",), "gone")], list_kernels([Offer("a", ("x",))])) == "x"
    assert default_kernel([], {}) == ""


@given(offers())
def test_every_kernel_of_every_profile_has_exactly_one_name_and_it_leads_to_that_kernel(made: list[Offer]) -> None:
    listed = list_kernels(made)
    every = [(offer.profile, kernel) for offer in made for kernel in offer.kernels]
    assert [(choice.profile, choice.kernel) for choice in listed.values()] == every
    for name, choice in listed.items():
        assert choose(name, listed) == choice and choice.listed == name


@given(offers())
def test_a_profile_added_at_the_end_changes_no_name(made: list[Offer]) -> None:
    before, after = list_kernels(made[:-1]), list_kernels(made)
    assert {name: after[name] for name in before} == before


@given(offers())
def test_there_is_a_default_as_soon_as_there_is_a_kernel(made: list[Offer]) -> None:
    listed = list_kernels(made)
    default = default_kernel(made, listed)
    assert default in listed if listed else default == ""


def test_people_see_which_profile_a_kernel_is_of() -> None:
    assert shown_name("R", "Statistics") == "R (Statistics)"
    assert shown_name("Python 3 (ipykernel)", "datascience") == "Python 3 (datascience)"
