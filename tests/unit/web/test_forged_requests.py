"""No request that a page of ours did not make changes anything: a matrix made from the route table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tornado.routing import URLSpec

from hub.domain.users import Role
from hub.http.csrf import SAFE_METHODS
from hub.http.handler import Access, HubHandler, Over
from hub.jupyter.routes import routes as jupyter_routes
from hub.web.routes import routes as web_routes
from tests.unit.web.conftest import Browser, Site, SiteMaker

ROUTES: list[URLSpec] = [*web_routes(), *jupyter_routes()]
SAMPLES = {
    r"([^/]+)": "root1",
    r"([0-9a-f-]{1,64})": "0123abcd",
    r"([A-Za-z0-9_-]{1,128})": "secret",
    r"(invite|delete|sign-out|disable|enable|role|rename|describe|join|leave"
    r"|reset-factors|revoke-token|culling)": "role",
    r"(describe|add|remove|own|disown|properties|culling|owner-culling|delete)": "add",
    r"(restore|delete)": "restore",
    r"(deployments|test|roster|score|delete)": "test",
    r"((?:/[^/]+)*/?)": "/a.txt",
    r"openapi\.(json|yaml)": "openapi.json",
    r"(\w+-\w+-\w+-\w+-\w+)": "1-2-3-4-5",
    r"([a-z0-9-]{1,32})": "keycloak",
    r"(interrupt|restart)": "restart",
    r"(interrupt|restart|stop)": "stop",
    r"(rename|remove)": "rename",
    r"(approve|refuse)": "refuse",
    r"(news|update)": "news",
    r"(?:extensions|plugins)": "plugins",
    r"(?:lab/)?(?:api|lsp)(?:/.*)?": "lsp/x",
    r"((?:lab|doc)(?:/.*)?)": "lab",
    r"(retro(?:/.*)?)": "retro",
    r"(static|nbextensions)/.+": "static/x",
    r"(?:/.*)?": "",
    r"(\w{1,64})": "x",
    r"([\w-]+)": "x",
    r"(\w+)": "x",
    r"(/?)": "",
    r"(.+)": "x",
    r"(.*)": "x",
    r".*": "x",
    r"/?": "",
}

LTI = {"LtiLogin", "LtiLaunch", "LtiContinue", "LtiChoose", "LtiRegister"}
"""Pages of learning platforms, which know nobody by a cookie; tests/unit/web/test_lti_launch.py forges them."""
EXEMPT = {
    "RouteHandler",
    "ActivityHandler",
    "EndsHandler",
    "ThawHandler",
    "WelcomeHandler",
    "PolicyReportHandler",
    "BackchannelLogout",
} | LTI
"""Handlers that need no form token: what only proxies ask, providers' signed messages, browsers' reports."""

FOR_STRANGERS = {
    "SignInPage",
    "SetupPage",
    "InvitationPage",
    "RegisterPage",
    "SecondFactorPage",
    "PasskeySignIn",
    "PasskeyQuestion",
}
"""Pages whose form is bound to a cookie of its own, because nobody is signed in yet."""


@dataclass(frozen=True)
class Call:
    """One method of one route, with an address that the route matches."""

    method: str
    path: str
    handler: type[HubHandler]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def path_of(route: URLSpec) -> str:
    path = route.regex.pattern.removesuffix("$")
    for group, sample in SAMPLES.items():
        path = path.replace(group, sample)
    path = re.sub(r"\(([a-z-]+)(?:\|[a-z-]+)+\)", r"\1", path).replace("\\.", ".")  # the first of several words
    path = re.sub(r"\(\[a-z[^\]]*\](?:\+|\{[^}]*\})\)", "word", path)
    assert route.regex.match(path), f"add a sample for {route.regex.pattern} to SAMPLES (got {path})"
    return path


def calls() -> Iterator[Call]:
    for route in ROUTES:
        handler = route.handler_class
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            implemented = getattr(handler, method.lower()) is not getattr(HubHandler, method.lower())
            if implemented:
                yield Call(method, path_of(route), handler)


ALL = list(calls())
CHANGING = [call for call in ALL if call.method not in SAFE_METHODS]


def test_every_handler_says_who_may_use_it() -> None:
    assert [route.regex.pattern for route in ROUTES if route.handler_class.access is None] == []


def test_exemptions_from_the_form_token_are_few_and_known() -> None:
    assert {call.handler.__name__ for call in ALL if call.handler.csrf_exempt} == EXEMPT


def test_patterns_end_so_that_no_address_is_taken_for_another() -> None:
    assert all(route.regex.pattern.endswith("$") for route in ROUTES)


@pytest.fixture
async def admin(make_site: SiteMaker) -> tuple[Site, Browser]:
    """An administrator, so that only the missing proof can be what a request is refused for."""
    site: Site = await make_site(jupyter=True)
    return site, await site.signed_in("root1", Role.ADMIN)


async def forgeries(site: Site, browser: Browser) -> dict[str, dict[str, Any]]:
    """Requests of other sites' pages, by what is wrong with them."""
    good = await browser.form_token()
    other = await (await site.signed_in("mallory")).form_token()
    stale_browser = site.browser()
    await stale_browser.sign_in("root1")
    stale = await stale_browser.form_token()
    await stale_browser.submit("/hub/logout")
    ours = {"Origin": site.address, "Sec-Fetch-Site": "same-origin"}
    return {
        "no token": ours,
        "an empty token": {**ours, "X-XSRFToken": ""},
        "another user's token": {**ours, "X-XSRFToken": other},
        "the token of an ended sign-in": {**ours, "X-XSRFToken": stale},
        "no headers at all": {},
        "cross-site": {"X-XSRFToken": good, "Sec-Fetch-Site": "cross-site"},
        "same-site": {"X-XSRFToken": good, "Sec-Fetch-Site": "same-site"},
        "cross-site, no-cors": {"X-XSRFToken": good, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        "another origin": {"X-XSRFToken": good, "Origin": "https://evil.example"},
        "a null origin": {"X-XSRFToken": good, "Origin": "null"},
        "another referer": {"X-XSRFToken": good, "Referer": "https://evil.example/"},
    }


async def test_no_forged_request_reaches_a_handler(admin: tuple[Site, Browser]) -> None:
    site, browser = admin
    attacks = await forgeries(site, browser)
    before, passed = await site.actions(), []
    for call in CHANGING:
        for what, headers in attacks.items():
            answer = await browser.send(call.method, call.path, b"{}", **{**headers, "Accept": "application/json"})
            said_so = any(words in answer.text for words in ("auth.forged", "is out of date", "from another site"))
            if not (answer.status == 403 and said_so) and call.handler.__name__ not in EXEMPT:
                passed.append(f"{call}: {what} -> {answer.status}")
    assert passed == []
    assert await site.actions() == before


async def test_no_form_of_strangers_is_forged_either(admin: tuple[Site, Browser]) -> None:
    site, browser = admin
    attacks = await forgeries(site, browser)
    for call in CHANGING:
        if call.handler.__name__ in FOR_STRANGERS:
            for headers in attacks.values():
                answer = await site.browser().send("POST", call.path, b"", **headers)
                assert answer.status == 403


def expectation(handler: type[HubHandler], who: str) -> set[int]:
    """Statuses that tell that access was refused, for whom it must be; test_permissions_matrix.py asks for the rest."""
    refused = {302, 403}
    if handler.over in {Over.SOME, Over.NOTHING, Over.SELF} and who == "another user":
        return set()
    match handler.access, who:
        case ((Access.SIGNED_IN | Access.OWNER | Access.ADMIN), ("anyone" | "disabled" | "expired")):
            return refused
        case ((Access.OWNER | Access.ADMIN), "another user"):
            return refused
    return set()


@pytest.mark.parametrize("who", ["anyone", "another user", "disabled", "expired"])
async def test_every_route_refuses_whom_it_must(admin: tuple[Site, Browser], who: str) -> None:
    site, _ = admin
    headers: dict[str, str | None] = {"Accept": "application/json"}
    if who == "another user":
        await site.add("mallory")
        headers["Authorization"] = f"token {await site.token_of('mallory')}"
    elif who == "disabled":
        user = await site.add("gone")
        headers["Authorization"] = f"token {await site.token_of('gone')}"
        await site.auth.users.disable(user, "test")
    elif who == "expired":
        token = await site.token_of("root1")
        user = await site.auth.users.get("root1")
        [made] = await site.auth.tokens.list(user)
        await site.auth.tokens.revoke(user, made.id, "test")
        headers["Authorization"] = f"token {token}"
    visitor = site.browser()
    before, passed = await site.actions(), []
    for call in ALL:
        expected = expectation(call.handler, who)
        if expected:
            answer = await visitor.send(call.method, call.path, None if call.method == "GET" else b"{}", **headers)
            if answer.status not in expected or (answer.status == 302 and "/hub/login" not in answer.location):
                passed.append(f"{call} -> {answer.status}")
    assert passed == []
    assert [action for action in await site.actions() if action != "access.refused"] == before


async def test_a_cookie_planted_for_a_narrower_path_proves_nothing(admin: tuple[Site, Browser]) -> None:
    site, browser = admin
    mallory = await site.signed_in("mallory")
    planted = f"kernelhub={mallory.cookies['kernelhub']}; kernelhub={browser.cookies['kernelhub']}; _xsrf=x"
    answer = await browser.api("DELETE", "/hub/api/users/mallory", Cookie=planted, X_XSRFToken="x")
    assert answer.status == 403
    assert await site.auth.users.get("mallory")


async def test_the_right_proof_passes_by_header_and_by_form(admin: tuple[Site, Browser]) -> None:
    site, browser = admin
    token = await browser.form_token()
    by_header = await browser.api("POST", "/hub/api/users/carol", {}, X_XSRFToken=token, Origin=site.address)
    by_form = await browser.post("/hub/admin/people", {"name": "dora", "_xsrf": token})
    assert (by_header.status, by_form.status) == (201, 200)


def test_samples_are_all_used() -> None:
    patterns = " ".join(route.regex.pattern for route in ROUTES)
    assert [group for group in SAMPLES if group not in patterns] == []
    assert not [call for call in ALL if re.search(r"[()\\*]", call.path)]
