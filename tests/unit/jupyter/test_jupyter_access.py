"""Every address under /user/<name>/ is its owner's: nobody's else, not an administrator's, by default refused."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from hub.http.handler import Access, HubHandler
from hub.jupyter.account import VersionHandler
from hub.jupyter.front_page import FrontEndPage
from hub.jupyter.pages import HomeHandler, LogOutHandler
from hub.jupyter.routes import routes

KERNEL = "0f7e8d3e-0000-4000-8000-000000000000"
PAGES = (HomeHandler, LogOutHandler)
_EXAMPLES = {
    r"([^/]+)": "x",
    r"((?:/[^/]+)*/?)": "/x.ipynb",
    r"(\w+-\w+-\w+-\w+-\w+)": KERNEL,
    r"(interrupt|restart)": "interrupt",
    r"(news|update)": "news",
    r"(\w{1,64})": "x",
    r"([\w-]+)": "x",
    r"(\w+)": "x",
    r"(.+)": "x",
    r"(/?)": "",
    r"/?$": "/",
    r"((?:lab|doc)(?:/.*)?)": "lab",
    r"(?:/.*)?": "/x",
    r"(retro(?:/.*)?)": "retro/tree",
    r"(static|nbextensions)/.+": "static/x",
    r"(?:extensions|plugins)": "extensions",
    r"(?:lab/)?(?:api|lsp)": "api",
}


def example(pattern: str) -> str:
    """An address that a route's pattern matches."""
    rest = pattern.removeprefix("/user/([^/]+)").removesuffix("$")
    for part in sorted(_EXAMPLES, key=len, reverse=True):
        rest = rest.replace(part, _EXAMPLES[part])
    return rest.replace("/?", "")


TABLE = [(example(route.regex.pattern), route) for route in routes()]
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def methods_of(handler: type) -> list[str]:
    own = [m for m in METHODS if getattr(handler, m.lower()) is not getattr(HubHandler, m.lower())]
    return own or ["GET", "POST"]


CASES = [(method, path, route) for path, route in TABLE for method in methods_of(route.handler_class)]
IDS = [f"{method} {path}" for method, path, _ in CASES]


@pytest.mark.parametrize("path, route", TABLE, ids=[path for path, _ in TABLE])
def test_the_example_of_each_route_matches_it(path: str, route: Any) -> None:
    assert route.regex.match(f"/user/alice{path}"), route.regex.pattern
    assert issubclass(route.handler_class, HubHandler)
    assert route.handler_class.access is (Access.PUBLIC if route.handler_class is VersionHandler else Access.OWNER)


@pytest.mark.parametrize("method, path, route", CASES, ids=IDS)
async def test_only_the_owner_passes(hub: Any, method: str, path: str, route: Any) -> None:
    public = route.handler_class is VersionHandler
    is_page = route.handler_class in PAGES or issubclass(route.handler_class, FrontEndPage)
    address = f"/user/alice{path}"
    body = b"{}" if method in {"POST", "PUT", "PATCH"} else None

    nobody = await hub.fetch(method, address, body, who=None)
    if public:
        assert nobody.code == 200
    elif is_page:
        assert (nobody.code, nobody.headers["Location"][:21]) == (302, "/hub/login?next=/user")
    else:
        assert nobody.code == 403
        if method != "HEAD":
            told = json.loads(nobody.body)
            assert (told["message"], told["reason"]) == ("Forbidden", None)

    for other in ("bob", "root"):
        answer = await hub.fetch(method, address, body, who=other)
        assert answer.code == (200 if public else 403), (other, answer.code)
        if is_page and not public:
            assert b"<!doctype html>" in answer.body

    owner = await hub.fetch(method, address, body)
    assert owner.code != 403, owner.body
    by_token = await hub.fetch(method, address, body, who=None, Authorization="token alice")
    assert by_token.code != 403, by_token.body
    for scope, allowed in (("jupyter", True), ("other", False)):
        scoped = await hub.fetch(method, address, body, who=None, Authorization=f"token alice+{scope}")
        assert (scoped.code != 403) is (allowed or public)


@pytest.mark.parametrize(
    "method, path, route",
    [case for case in CASES if case[0] in {"POST", "PUT", "PATCH", "DELETE"}],
    ids=[i for i, case in zip(IDS, CASES, strict=True) if case[0] in {"POST", "PUT", "PATCH", "DELETE"}],
)
async def test_what_changes_something_needs_the_form_token(hub: Any, method: str, path: str, route: Any) -> None:
    if route.handler_class.csrf_exempt:
        return
    address, body = f"/user/alice{path}", b"{}" if method != "DELETE" else None
    for headers in (
        {"X_XSRFToken": ""},
        {"X_XSRFToken": "form-token-of-bob"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ):
        assert (await hub.fetch(method, address, body, **headers)).code == 403, headers


async def test_without_the_proxy_nothing_passes(hub: Any) -> None:
    for path, route in TABLE:
        answer = await hub.fetch("GET", f"/user/alice{path}", X_Kernelhub_Internal="")
        assert answer.code in {302, 403}, (path, route, answer.code)


@pytest.mark.parametrize("spelling", ["a%6cice", "%61lice"])
async def test_another_spelling_of_the_name_leads_to_the_page_of_the_name(hub: Any, spelling: str) -> None:
    page = await hub.fetch("GET", f"/user/{spelling}/lab/tree/a%20b")
    assert (page.code, page.headers["Location"]) == (302, "/user/alice/lab/tree/a%20b")


@pytest.mark.parametrize("name", ["bob%2f..%2falice", "alice%2fx", "alice%00", "al%69ce%ff", "x" * 5000])
async def test_names_that_are_none_are_refused(hub: Any, name: str) -> None:
    assert (await hub.fetch("GET", f"/user/{name}/api/status")).code in {400, 403, 404}


def test_no_route_leads_to_what_a_server_of_ones_own_would_have() -> None:
    patterns = [route.regex.pattern for route in routes()]
    assert not any(re.search("shutdown|collaboration", pattern) for pattern in patterns)


async def test_what_is_not_offered_is_404_as_json_also_beside_the_pages(hub: Any) -> None:
    for path in ("api/shutdown", "lab/api/kernels", "lab/api/kernelspecs", "lab/api/sessions"):
        for method in ("GET", "POST"):
            answer = await hub.fetch(method, f"/user/alice/{path}", b"{}" if method == "POST" else None)
            assert answer.code == 404 and json.loads(answer.body)["reason"] is None
    for path in ("lab/api/extensions", "lab/api/plugins"):
        for method in ("GET", "POST"):
            assert (await hub.fetch(method, f"/user/alice/{path}", b"{}" if method == "POST" else None)).code == 405
