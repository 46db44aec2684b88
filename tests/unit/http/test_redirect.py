"""No redirect leads away from the hub (T-OR, the list of Jupyter's eight open redirects and their cousins)."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.http.redirect import MAX_TARGET_CHARS, is_local, safe_redirect

HOST = "https://hub.example.edu"
DEFAULT = "/hub/home"

OPEN_REDIRECTS = [
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/%09/evil.example",
    "/\t/evil.example",
    "\t//evil.example",
    " //evil.example",
    "/%2f/evil.example",
    "/%2f%2fevil.example",
    "/%252f%252fevil.example",
    "http:///evil.example",
    "https:evil.example",
    "https://evil.example/hub/home",
    "hub.example.edu//evil.example",
    "https://hub.example.edu//evil.example",
    "hub.example.edu@evil.example",
    "//hub.example.edu@evil.example",
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "data:text/html,x",
    "/..//evil.example",
    "/hub/..//evil.example",
    "/hub/../../evil.example",
    "/hub/%2e%2e//evil.example",
    "/hub/%2e%2e/evil.example",
    "/user/%252e%252e//evil.example",
    "/%5cevil.example",
    "/hub/%5c%5cevil.example",
    "/hub//evil.example",
    "/user//evil.example",
    "/user/./x",
    "/hub/home\r\nSet-Cookie: a=b",
    "/hub/home\n",
    "/hub/%0d%0aSet-Cookie:a=b",
    "/hub/\x00",
    "/hub/" + "a" * 8192,
    "",
    "hub/home",
    ".",
    "?next=//evil.example",
    "#//evil.example",
]


@pytest.mark.parametrize("target", OPEN_REDIRECTS)
def test_no_attack_is_followed(target: str) -> None:
    assert safe_redirect(target, DEFAULT) == DEFAULT


@pytest.mark.parametrize("target", ["/hub/logout", "/hub/logout?x=1", "/hub/login", "/hub/login/", "/elsewhere", "/"])
def test_signing_in_does_not_lead_to_signing_out_nor_out_of_the_hubs_paths(target: str) -> None:
    assert safe_redirect(target, DEFAULT) == DEFAULT


@pytest.mark.parametrize(
    "target",
    [
        "/hub/home",
        "/user/alice/lab",
        "/user/alice/lab/tree/a%20b/100%25.ipynb?reset&path=a//b",
        "/hub/user-redirect/git-pull?repo=https%3A%2F%2Fgithub.com%2Fx%2Fy&urlpath=lab%2Ftree%2F",
        "/user/alice/lab/tree/x.ipynb#cell-id=3",
        "/user/a@b.example/lab/",
    ],
)
def test_what_links_to_notebooks_hold_is_followed_unchanged(target: str) -> None:
    assert safe_redirect(target, DEFAULT) == target


def test_letters_outside_ascii_are_encoded_for_the_header() -> None:
    assert safe_redirect("/user/alice/lab/tree/ä／b.ipynb", DEFAULT) == ("/user/alice/lab/tree/%C3%A4%EF%BC%8Fb.ipynb")


def test_a_target_that_is_too_long_is_none() -> None:
    assert is_local("/hub/" + "a" * (MAX_TARGET_CHARS - 5))
    assert not is_local("/hub/" + "a" * (MAX_TARGET_CHARS - 4))


@given(st.text(alphabet="/\\.:@%25cfe?#\t\r\n ahub", max_size=24).map(lambda tail: "/hub/" + tail) | st.text())
def test_whatever_is_followed_stays_on_the_host_also_after_decoding(target: str) -> None:
    followed = safe_redirect(target, DEFAULT)
    assert followed.isascii()
    assert followed.startswith(("/hub/", "/user/"))
    assert not followed.startswith("//")
    joined = urlsplit(urljoin(HOST + "/hub/login", followed))
    assert (joined.scheme, joined.netloc) == ("https", "hub.example.edu")
    assert joined.path.startswith(("/hub/", "/user/"))
