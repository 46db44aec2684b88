"""Pages of other origins: only those allowed may read a user's API, only with a token, and a cookie never counts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.routing import URLSpec
from tornado.testing import bind_unused_port

from hub.auth.identity import Credential, Identity
from hub.config import Settings
from hub.config.sign_in import HeaderSignIn
from hub.domain.ids import UserId
from hub.domain.users import Role, User
from hub.errors import Forbidden, NotSignedIn
from hub.http.application import make_application
from hub.http.cors import Source, check_socket_origin, is_shared, preflight_headers, source_of
from hub.http.handler import INTERNAL_HEADER
from hub.http.user_handler import UserHandler
from tests.harness.grants import FakeAuthority, identity_of

COLAB = "https://colab.research.google.com"
EVIL = "https://evil.example"
ALICE = User(UserId("a"), 1, "alice", Role.USER, datetime(2026, 1, 1, tzinfo=UTC))
NEAR_MISSES = [
    EVIL,
    "null",
    "",
    "http://colab.research.google.com",
    f"{COLAB}:444",
    f"{COLAB}/",
    f"{COLAB}.evil.example",
    "https://colab.research.google.com@evil.example",
    "https://COLAB.research.google.com",
    "https://research.google.com",
    "*",
]


class Guard:
    """``Cookie: who=alice``, or the token ``secret``."""

    async def identify(
        self, cookie: str, authorization: str, query_token: str | None, address: str, user_agent: str
    ) -> Identity:
        if (token := authorization.removeprefix("token ") or query_token) is not None and token != "":
            if token != "secret":
                raise NotSignedIn("Sign in first.")
            return identity_of(ALICE, Credential.TOKEN, principal="t")
        if cookie != "who=alice":
            raise NotSignedIn("Sign in first.")
        return identity_of(ALICE, Credential.COOKIE, "form-token", principal="c")


class Thing(UserHandler):
    def get(self, _name: str) -> None:
        self.write_json({"secret": "otters"})

    def put(self, _name: str) -> None:
        self.write_json({"changed": True})


class Page(Thing):
    page = True


class Hub:
    """Sends requests as a page of some origin would."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"

    async def send(self, method: str = "GET", path: str = "/user/alice/api/x", **headers: str) -> HTTPResponse:
        request = HTTPRequest(
            self.address + path,
            method=method,
            body=b"{}" if method == "PUT" else None,
            headers={INTERNAL_HEADER: "internal", **{name.replace("_", "-"): value for name, value in headers.items()}},
            follow_redirects=False,
            allow_nonstandard_methods=True,
        )
        return await AsyncHTTPClient().fetch(request, raise_error=False)


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    settings = SimpleNamespace(secure_cookies=False, allowed_origins=[COLAB], header_sign_in=HeaderSignIn())
    services: Any = SimpleNamespace(
        settings=settings, internal_token="internal", guard=Guard(), authority=FakeAuthority()
    )
    routes = [URLSpec("/user/([^/]+)/api/x", Thing), URLSpec("/user/([^/]+)/lab", Page)]
    server = HTTPServer(make_application(services, routes))
    socket, port = bind_unused_port()
    server.add_sockets([socket])
    yield Hub(port)
    server.stop()
    await server.close_all_connections()


def granted(answer: HTTPResponse) -> dict[str, str]:
    """The answer's CORS headers."""
    return {name: value for name, value in answer.headers.get_all() if name.startswith("Access-Control-")}


async def test_an_allowed_page_with_a_token_reads_and_changes(hub: Hub) -> None:
    for method in ("GET", "PUT"):
        answer = await hub.send(method, Origin=COLAB, Authorization="token secret", Sec_Fetch_Site="cross-site")
        assert answer.code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == COLAB
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert answer.headers["Vary"] == "Origin"


async def test_an_allowed_page_that_can_send_no_header_says_its_token_in_the_address(hub: Hub) -> None:
    address = "/user/alice/api/x?token=secret"
    assert (await hub.send(path=address, Origin=COLAB)).code == 200
    assert (await hub.send(path=address)).code == 403
    assert (await hub.send(path=address, Origin=hub.address)).code == 403
    assert (await hub.send(path=address, Origin=EVIL)).code == 403
    assert (await hub.send(path="/user/alice/lab?token=secret", Origin=COLAB)).code in (302, 403)


async def test_with_the_users_cookie_alone_an_allowed_page_gets_nothing(hub: Hub) -> None:
    for headers in ({}, {"X_XSRFToken": "form-token"}):
        for method in ("GET", "PUT"):
            answer = await hub.send(method, Origin=COLAB, Cookie="who=alice", **headers)
            assert answer.code == 403
            assert b"otters" not in answer.body
            assert msgspec.json.decode(answer.body)["message"] == "Forbidden"
            assert answer.headers["Access-Control-Allow-Origin"] == COLAB, "so that the page can say what is wrong"


@pytest.mark.parametrize("origin", NEAR_MISSES)
async def test_no_other_page_gets_anything_by_cookie_or_may_read_an_answer(hub: Hub, origin: str) -> None:
    by_cookie = await hub.send(Origin=origin, Cookie="who=alice")
    assert by_cookie.code == 403
    assert b"otters" not in by_cookie.body
    forged = await hub.send("PUT", Origin=origin, Cookie="who=alice", X_XSRFToken="form-token")
    assert forged.code == 403
    by_token = await hub.send(Origin=origin, Authorization="token secret")
    for answer in (by_cookie, forged, by_token):
        assert granted(answer) == {}
        assert answer.headers["Vary"] == "Origin"


async def test_our_own_page_needs_no_permission_and_is_given_none(hub: Hub) -> None:
    answer = await hub.send(Origin=hub.address, Cookie="who=alice")
    assert (answer.code, granted(answer)) == (200, {})
    assert (await hub.send("PUT", Origin=hub.address, Cookie="who=alice", X_XSRFToken="form-token")).code == 200
    assert (await hub.send("PUT", Origin=hub.address, Cookie="who=alice")).code == 403


async def test_a_preflight_is_answered_without_credentials_for_allowed_origins_only(hub: Hub) -> None:
    asked = {
        "Access_Control_Request_Method": "PUT",
        "Access_Control_Request_Headers": "authorization,content-type,x-odd-one",
        "Access_Control_Request_Private_Network": "true",
    }
    answer = await hub.send("OPTIONS", Origin=COLAB, **asked)
    assert answer.code == 204
    headers = granted(answer)
    assert headers["Access-Control-Allow-Origin"] == COLAB
    assert headers["Access-Control-Allow-Headers"] == "authorization, content-type, x-odd-one"
    assert "PATCH" in headers["Access-Control-Allow-Methods"]
    assert headers["Access-Control-Allow-Private-Network"] == "true"
    for origin in (EVIL, "null", hub.address):
        assert granted(await hub.send("OPTIONS", Origin=origin, **asked)) == {}
    assert "Access-Control-Allow-Private-Network" not in granted(await hub.send("OPTIONS", Origin=COLAB))


async def test_pages_are_shared_with_nobody(hub: Hub) -> None:
    answer = await hub.send(path="/user/alice/lab", Origin=COLAB, Authorization="token secret")
    assert granted(answer) == {}
    assert granted(await hub.send("OPTIONS", "/user/alice/lab", Origin=COLAB)) == {}
    assert granted(await hub.send(path="/hub/home", Origin=COLAB)) == {}


async def test_an_error_can_be_read_too(hub: Hub) -> None:
    answer = await hub.send(path="/user/alice/api/nothing", Origin=COLAB, Authorization="token secret")
    assert (answer.code, answer.headers["Access-Control-Allow-Origin"]) == (404, COLAB)


@pytest.mark.parametrize(
    ("path", "shared"),
    [
        ("/user/a/api", True),
        ("/user/a/api/kernels", True),
        ("/user/a/lab/api/settings", True),
        ("/user/a/files/x.txt", True),
        ("/user/a/kernelspecs/python3/logo-64x64.png", True),
        ("/user/a/nbconvert/html/x.ipynb", True),
        ("/user/a/apix", False),
        ("/user/a/lab", False),
        ("/user/a/", False),
        ("/hub/api/users", False),
        ("/hub/login", False),
        ("/static/x.js", False),
    ],
)
def test_what_is_shared_is_the_users_api(path: str, shared: bool) -> None:
    assert is_shared(path) is shared


def test_odd_header_names_are_not_repeated_to_the_browser() -> None:
    asked = {"Access-Control-Request-Headers": "X-A, , *, x:y, " + "z" * 65 + ", x-b"}
    headers = preflight_headers(asked, Source.ALLOWED)
    assert headers["Access-Control-Allow-Headers"] == "x-a, x-b"
    many = {"Access-Control-Request-Headers": ",".join(f"x-{n}" for n in range(100))}
    assert preflight_headers(many, Source.ALLOWED)["Access-Control-Allow-Headers"].count(",") == 31


def test_a_socket_opens_for_our_own_pages_and_for_allowed_ones_with_a_token() -> None:
    check_socket_origin("https://hub", "hub", by_token=False, allowed=[COLAB])
    check_socket_origin("https://hub", "hub", by_token=True, allowed=[])
    check_socket_origin(None, "hub", by_token=True, allowed=[])
    check_socket_origin(COLAB, "hub", by_token=True, allowed=[COLAB])
    for origin, by_token, allowed in [
        (None, False, [COLAB]),
        (COLAB, False, [COLAB]),
        (COLAB, True, []),
        (EVIL, True, [COLAB]),
        ("null", True, [COLAB]),
        ("", True, [COLAB]),
    ]:
        with pytest.raises(Forbidden):
            check_socket_origin(origin, "hub", by_token, allowed)


def test_the_hosts_own_origin_is_judged_by_its_host() -> None:
    assert source_of("http://hub:8000", "hub:8000", []) is Source.OWN
    assert source_of("http://hub:8000", "hub", []) is Source.FOREIGN
    assert source_of(None, "hub", []) is Source.OWN


@pytest.mark.parametrize("origin", [COLAB, "http://localhost:9000", "http://[::1]:9000", "vscode-file://vscode-app"])
def test_an_exact_origin_may_be_configured(origin: str) -> None:
    assert Settings(allowed_origins=[origin]).allowed_origins == [origin]


NO_ORIGINS = """
* null colab.research.google.com https://colab.research.google.com/ https://colab.research.google.com:443 http://a:80
https://*.example https://Colab.research.google.com https://user@a https://a?x https://a:x
"""


@pytest.mark.parametrize("origin", ["", "https://a b", *NO_ORIGINS.split()])
def test_what_is_no_origin_as_browsers_write_it_is_a_mistake(origin: str) -> None:
    with pytest.raises(ValidationError, match="is not an origin as browsers write it"):
        Settings(allowed_origins=[origin])
