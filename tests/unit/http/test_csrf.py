"""A state-changing request is believed only with all that a page of ours would send."""

from __future__ import annotations

import pytest

from hub.errors import RequestForged
from hub.http.csrf import check_site, check_token

HOST = {"Host": "hub.example.edu"}


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "Same-Origin"])
def test_another_site_is_refused_by_fetch_metadata(site: str) -> None:
    with pytest.raises(RequestForged):
        check_site({**HOST, "Sec-Fetch-Site": site})


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_our_own_pages_and_the_address_bar_pass(site: str) -> None:
    check_site({**HOST, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"})


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "https://evil.example",
        "https://hub.example.edu.evil.example",
        "https://evil-hub.example.edu",
        "https://hub.example.edu:444",
        "https://hub.example.edu@evil.example",
        "file://hub.example.edu",
        "hub.example.edu",
        "https://[::1",
    ],
)
def test_another_origin_is_refused(origin: str) -> None:
    with pytest.raises(RequestForged):
        check_site({**HOST, "Origin": origin})


@pytest.mark.parametrize("header", ["Origin", "Referer"])
def test_our_own_origin_passes_in_any_case_of_letters(header: str) -> None:
    check_site({**HOST, header: "https://HUB.example.edu"})


def test_the_referer_counts_where_there_is_no_origin() -> None:
    with pytest.raises(RequestForged):
        check_site({**HOST, "Referer": "https://evil.example/hub.example.edu"})


def test_without_a_host_nothing_matches() -> None:
    with pytest.raises(RequestForged):
        check_site({"Origin": "https://"})


@pytest.mark.parametrize("given", [None, "", "x", "good ", "\udcff"])
def test_a_wrong_token_is_refused(given: str | None) -> None:
    with pytest.raises(RequestForged):
        check_token("good", given)


def test_an_empty_expectation_is_met_by_nothing() -> None:
    for given in (None, ""):
        with pytest.raises(RequestForged):
            check_token("", given)


def test_the_right_token_passes() -> None:
    check_token("good", "good")
