"""Links that courses and old pages contain: they lead to the follower's own address, through the sign-in page too."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.unit.web.conftest import Site

GIT_PULL = "git-pull?repo=https%3A%2F%2Fgit.example%2Fx%2Fy&urlpath=lab%2Ftree%2Fy%2Fa%20b.ipynb&branch=main"


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (f"/user-redirect/{GIT_PULL}", f"/hub/user-redirect/{GIT_PULL}"),
        (f"/hub/user-redirect/{GIT_PULL}", f"/user/alice/{GIT_PULL}"),
        ("/hub/user-redirect/tree/a%20b", "/user/alice/tree/a%20b"),
        ("/hub/user-redirect/retro/notebooks/x.ipynb", "/user/alice/retro/notebooks/x.ipynb"),
        ("/hub/user/alice/lab/tree/x?a=%2F", "/user/alice/lab/tree/x?a=%2F"),
        ("/?next=%2Fuser%2Falice%2Ftree", "/user/alice/tree"),
        ("/hub/?next=/hub/user-redirect/lab", "/hub/user-redirect/lab"),
        ("/hub/spawn?next=/user/alice/notebooks/x.ipynb", "/user/alice/notebooks/x.ipynb"),
        ("/hub/login?next=/user-redirect/lab", "/user-redirect/lab"),
    ],
)
async def test_a_link_leads_whoever_is_signed_in_to_their_own(site: Site, path: str, target: str) -> None:
    assert (await (await site.signed_in("alice")).get(path)).location == target


@pytest.mark.parametrize("start", ["/user-redirect/", "/hub/user-redirect/"])
async def test_a_link_survives_the_sign_in_page_with_its_query(site: Site, start: str) -> None:
    browser = site.browser()
    answer = await browser.get(start + GIT_PULL)
    while not answer.location.startswith("/hub/login"):
        answer = await browser.get(answer.location)
    wanted = parse_qs(urlsplit(answer.location).query)["next"][0]
    assert wanted == f"/hub/user-redirect/{GIT_PULL}"
    alice = await site.signed_in("alice")
    answer = await alice.get(answer.location)
    assert answer.location == wanted
    assert (await alice.get(answer.location)).location == f"/user/alice/{GIT_PULL}"


async def test_the_start_page_keeps_where_one_wanted_to_go(site: Site) -> None:
    answer = await site.browser().get("/hub/?next=/user/alice/tree?x=1")
    assert answer.location == "/hub/login?next=/user/alice/tree%3Fx%3D1"


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/user/../hub", "/hub/logout", "%5c/x"])
async def test_no_link_leads_elsewhere(site: Site, wanted: str) -> None:
    alice = await site.signed_in("alice")
    for path in ("/", "/hub/", "/hub/spawn"):
        assert (await alice.get(f"{path}?next={wanted}")).location == "/hub/home"
        assert (await site.browser().get(f"/?next={wanted}")).location == "/hub/login"
    for start in ("/user-redirect/", "/hub/user/", "/hub/user/.."):
        answer = await alice.get(start + wanted)
        assert answer.status == 404 or answer.location.startswith(("/hub/user-redirect/", "/user/"))


async def test_the_home_page_leads_to_each_front_end(site: Site) -> None:
    page = (await (await site.signed_in("alice")).get("/hub/home")).text
    for address in ("/user/alice/lab", "/user/alice/tree", "/user/alice/nbclassic/tree"):
        assert f'href="{address}"' in page
