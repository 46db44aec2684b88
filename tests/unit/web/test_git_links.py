"""hub.web.git_links: what links may ask for."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest

from hub.errors import BadRequest
from hub.http.redirect import is_local
from hub.web.git_links import GitLink, read_link


def read(query: str, *hosts: str) -> GitLink:
    fields = parse_qs(query)
    return read_link(lambda name: fields.get(name, [""])[-1], hosts)


def test_a_link_of_nbgitpullers_generator_is_understood() -> None:
    link = read(
        "repo=https%3A%2F%2Fgithub.com%2Fdata-8%2Fmaterials-fa17&urlpath=lab%2Ftree%2Fmaterials-fa17%2Flab%201.ipynb"
        "%3Fautodecode&branch=gh-pages&depth=1"
    )
    assert link == GitLink(
        "https://github.com/data-8/materials-fa17",
        "gh-pages",
        "materials-fa17",
        1,
        "lab/tree/materials-fa17/lab%201.ipynb?autodecode",
    )


@pytest.mark.parametrize(
    "query, target, place",
    [
        ("repo=https://h/a/course.git", "course", "lab/tree/course"),
        ("repo=https://h/a/course/", "course", "lab/tree/course"),
        ("repo=https://h/a/c&targetPath=week 1/c", "week 1/c", "lab/tree/week%201/c"),
        ("repo=https://h/a/c&targetPath=/x/", "x", "lab/tree/x"),
        ("repo=https://h/a/c&urlpath=/tree/c/a.ipynb", "c", "tree/c/a.ipynb"),
        ("repo=https://h/a/c&urlpath=nbclassic/notebooks/c/ü.ipynb", "c", "nbclassic/notebooks/c/%C3%BC.ipynb"),
        ("repo=https://h/a/c&urlpath=rstudio/", "c", "lab/tree/c"),
        ("repo=https://h/a/c&urlpath=logout", "c", "lab/tree/c"),
        ("repo=https://h/a/c&urlpath=//evil.example/lab", "c", "lab/tree/c"),
        ("repo=https://h/a/c&urlpath=lab/../../../hub/logout", "c", "lab/tree/c"),
        ("repo=https://h/a/c&urlpath=lab/%252e%252e/x", "c", "lab/tree/c"),
        ("repo=https://h/a/c&urlpath=https://evil.example", "c", "lab/tree/c"),
        ("repo=https://h/a/c&urlpath=lab/tree/c%0d%0aSet-Cookie:x", "c", "lab/tree/c%0D%0ASet-Cookie:x"),
        ("repo=https://h/a/c&subPath=a b.ipynb&app=notebook", "c", "tree/c/a%20b.ipynb"),
        ("repo=https://h/a/c&subPath=x.ipynb", "c", "lab/tree/c/x.ipynb"),
    ],
)
def test_where_files_go_and_what_opens(query: str, target: str, place: str) -> None:
    link = read(query)
    assert link.target == target
    assert link.place == place or link.place == f"lab/tree/{target}" != place
    assert is_local("/user/x/" + link.place) and "\n" not in link.place


@pytest.mark.parametrize(
    "query",
    [
        "",
        "repo=",
        "repo=git@github.com:a/b",
        "repo=ssh://-oProxyCommand=x/a",
        "repo=file:///etc",
        "repo=ext::sh -c x",
        "repo=-u",
        "repo=--upload-pack=x",
        "repo=/etc",
        "repo=https://",
        "repo=https://host",
        "repo=https://host/",
        "repo=https://host/a b",
        "repo=https://host/a%0ab",
        "repo=https://host:x/a",
        "repo=https://[::1/a",
        "repo=https://h/ü",
        "repo=https://h/" + "x" * 3000,
        "repo=https://h/..",
        "repo=https://h/.git",
        "repo=https://h/a&branch=-x",
        "repo=https://h/a&branch=a..b",
        "repo=https://h/a&branch=a%0ab",
        "repo=https://h/a&branch=a b",
        "repo=https://h/a&depth=-1",
        "repo=https://h/a&depth=x",
        "repo=https://h/a&depth=99999999",
        "repo=https://h/a&targetPath=../x",
        "repo=https://h/a&targetPath=a//b",
        "repo=https://h/a&targetPath=.ipython/profile_default/startup",
        "repo=https://h/.config",
        "repo=https://h/a&targetPath=a/.GIT/hooks",
        "repo=https://h/a&targetPath=a%00b",
        "repo=https://h/a&targetPath=" + "x" * 256,
    ],
)
def test_what_may_not_be_is_refused_with_a_sentence(query: str) -> None:
    with pytest.raises(BadRequest, match=r"\.$"):
        read(query)


def test_only_the_administrators_hosts_are_fetched_from_where_they_named_any() -> None:
    assert read("repo=https://GitHub.com/a/b", "github.com").repo == "https://GitHub.com/a/b"
    for repo in ("https://evil.example/a", "https://github.com.evil.example/a", "https://github.com@evil.example/a"):
        with pytest.raises(BadRequest, match=r"only from github\.com"):
            read(f"repo={repo}", "github.com")


def test_a_password_in_the_address_is_gits_and_shown_to_nobody() -> None:
    link = read("repo=https://me:geheim@h:8443/a/b?x=1")
    assert link.arguments()["repo"] == "https://me:geheim@h:8443/a/b?x=1"
    assert link.shown_repo == "https://h:8443/a/b?x=1" and "geheim" not in link.without_secrets()
