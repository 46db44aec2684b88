"""Addresses as people paste them."""

from __future__ import annotations

import pytest

from hub.errors import BadRequest
from hub.remote.address import HubAddress, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://h/user/ada/", HubAddress("https://h", "ada")),
        (" https://h/user/ada ", HubAddress("https://h", "ada")),
        ("https://h/user/ada/lab?token=secret", HubAddress("https://h", "ada", "secret")),
        ("https://h/user/ada/lab/tree/user/bob/x.ipynb", HubAddress("https://h", "ada")),
        ("https://h:8000/labs/user/a%40b/tree", HubAddress("https://h:8000/labs", "a@b")),
        ("http://[::1]:8000/hub/home", HubAddress("http://[::1]:8000")),
        ("https://h/lab", HubAddress("https://h")),
        ("https://h", HubAddress("https://h")),
        ("https://name:password@h/", HubAddress("https://h")),
    ],
)
def test_an_address_is_taken_apart(text: str, address: HubAddress) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "hub.example.org", "ftp://h/", "https://", "https://h:port/", "https://[/"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_address(text)


def test_names_are_quoted_in_the_users_address() -> None:
    assert parse_address("https://h/user/a%2Fb/").user_url == "https://h/user/a%2Fb/"
    with pytest.raises(BadRequest):
        _ = parse_address("https://h/").user_url
