"""The base handler: who may pass, how errors are answered, what every answer carries."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, ClassVar

import msgspec
import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.routing import URLSpec
from tornado.testing import bind_unused_port

from hub.auth.identity import Credential, Identity
from hub.config import Settings
from hub.config.sign_in import HeaderSignIn
from hub.domain.ids import UserId
from hub.domain.scopes import Scope
from hub.domain.users import Role, User
from hub.errors import NotSignedIn, StoreUnavailable, TooManyRequests
from hub.http.application import make_application
from hub.http.handler import INTERNAL_HEADER, Access, HubHandler
from hub.http.user_handler import UserHandler
from tests.harness.grants import FakeAuthority, identity_of

TOKEN = "internal"
ALICE = User(UserId("a"), 1, "alice", Role.USER, datetime(2026, 1, 1, tzinfo=UTC))
ROOT = dataclasses.replace(ALICE, id=UserId("r"), name="root", role=Role.ADMIN)


class Guard:
    """``Cookie: who=alice``, or ``Authorization: token alice+scope``."""

    failure: Exception | None = None

    async def identify(
        self, cookie: str, authorization: str, query_token: str | None, address: str, user_agent: str
    ) -> Identity:
        assert query_token is None, "tokens in addresses are for WebSockets only"
        if self.failure is not None:
            raise self.failure
        by_token = bool(authorization)
        who, _, scope = (authorization.removeprefix("token ") or cookie.removeprefix("who=")).partition("+")
        user = {"alice": ALICE, "root": ROOT}.get(who)
        if user is None:
            raise NotSignedIn("Sign in first.")
        credential = Credential.TOKEN if by_token else Credential.COOKIE
        scopes = (scope,) if scope else ()
        return identity_of(user, credential, "" if by_token else f"xsrf-{who}", scopes)


class Wanted(msgspec.Struct):
    number: int
    word: str = "none"


class Public(HubHandler):
    access = Access.PUBLIC

    def get(self) -> None:
        self.write_json({"address": self.address, "scheme": self.scheme, "signed_in": bool(self.found_identity)})


class SignedIn(HubHandler):
    access = Access.SIGNED_IN
    permission: ClassVar[Scope | None] = Scope.SELF

    def get(self) -> None:
        self.write_json({"name": self.identity.user.name})

    def post(self) -> None:
        wanted = self.body(Wanted)
        self.write_json({"number": wanted.number, "word": wanted.word})

    @classmethod
    def body_limit(cls, settings: Settings) -> int:
        return 100


class Scoped(SignedIn):
    permission = Scope.READ_JUPYTER


class Admin(SignedIn):
    access = Access.ADMIN
    permission = Scope.ADMIN_USERS


class NoPermission(HubHandler):
    access = Access.SIGNED_IN

    def get(self) -> None:
        self.write_json({})


class Undeclared(HubHandler):
    def get(self) -> None:
        self.write_json({})


class Failing(HubHandler):
    access = Access.PUBLIC

    def get(self) -> None:
        match self.get_query_argument("how"):
            case "bug":
                raise ZeroDivisionError("secret inside")
            case "busy":
                raise TooManyRequests("Slow down.", 7)
            case "store":
                raise StoreUnavailable("The database does not answer.") from OSError("at 10.0.0.5")
            case "away":
                self.redirect("//evil.example")


class Owner(UserHandler):
    def get(self, name: str) -> None:
        self.write_json({"base": self.base_url})

    def put(self, name: str) -> None:
        self.write_json({})


class Page(Owner):
    page = True


class Direct(Public):
    behind_proxy = False


@dataclasses.dataclass
class Hub:
    address: str
    guard: Guard

    async def send(self, path: str, method: str = "GET", body: bytes | None = None, **headers: Any) -> HTTPResponse:
        sent = {INTERNAL_HEADER: TOKEN, **{k.replace("_", "-"): v for k, v in headers.items()}}
        request = HTTPRequest(
            self.address + path,
            method=method,
            body=body,
            headers={k: v for k, v in sent.items() if v is not None},
            follow_redirects=False,
            allow_nonstandard_methods=True,
        )
        return await AsyncHTTPClient().fetch(request, raise_error=False)


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    guard = Guard()
    settings = SimpleNamespace(secure_cookies=False, allowed_origins=[], header_sign_in=HeaderSignIn())
    authority = FakeAuthority()
    services: Any = SimpleNamespace(settings=settings, internal_token=TOKEN, guard=guard, authority=authority)
    routes = [
        URLSpec("/public", Public),
        URLSpec("/in", SignedIn),
        URLSpec("/scoped", Scoped),
        URLSpec("/admin", Admin),
        URLSpec("/undeclared", Undeclared),
        URLSpec("/no-permission", NoPermission),
        URLSpec("/failing", Failing),
        URLSpec("/direct", Direct),
        URLSpec("/user/([^/]+)/api/x", Owner),
        URLSpec("/user/([^/]+)/lab", Page),
    ]
    server = HTTPServer(make_application(services, routes))
    socket, port = bind_unused_port()
    server.add_sockets([socket])
    yield Hub(f"http://127.0.0.1:{port}", guard)
    server.stop()
    await server.close_all_connections()


def code(answer: HTTPResponse) -> Any:
    return msgspec.json.decode(answer.body)["code"]


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x"])
async def test_without_the_internal_header_nothing_is_answered(hub: Hub, token: str | None) -> None:
    answer = await hub.send("/public", **{INTERNAL_HEADER: token})
    assert answer.code == 403
    assert (await hub.send("/direct", **{INTERNAL_HEADER: token})).code == 200


async def test_forwarded_headers_are_believed_only_from_a_proxy_of_ours(hub: Hub) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    behind = msgspec.json.decode((await hub.send("/direct", **forged)).body)
    direct = msgspec.json.decode((await hub.send("/direct", **{**forged, INTERNAL_HEADER: None})).body)
    assert (behind["address"], behind["scheme"]) == ("203.0.113.9", "https")
    assert (direct["address"], direct["scheme"]) == ("127.0.0.1", "http")


async def test_a_handler_that_declares_no_access_refuses_even_administrators(hub: Hub) -> None:
    assert (await hub.send("/undeclared", Cookie="who=root")).code == 403
    assert (await hub.send("/no-permission", Cookie="who=root")).code == 403


@pytest.mark.parametrize(
    ("path", "who", "status"),
    [
        ("/in", None, 403),
        ("/in", "nobody", 403),
        ("/in", "alice", 200),
        ("/admin", None, 403),
        ("/admin", "alice", 403),
        ("/admin", "root", 200),
        ("/user/alice/api/x", "alice", 200),
        ("/user/ALICE/api/x", "alice", 200),
        ("/user/%61lice/api/x", "alice", 200),
        ("/user/alice/api/x", None, 403),
        ("/user/alice/api/x", "root", 403),
        ("/user/bob/api/x", "alice", 403),
        ("/user/%2561lice/api/x", "alice", 403),
        ("/user/alice%2fx/api/x", "alice", 403),
        ("/user/%ff/api/x", "alice", 400),
        ("/user/../api/x", "alice", 403),
        ("/user/alice%00/api/x", "alice", 403),
    ],
)
async def test_access_is_what_the_handler_declares(hub: Hub, path: str, who: str | None, status: int) -> None:
    by_cookie = 403 if path == "/admin" else status  # a browser without proof of presence
    assert (await hub.send(path, Cookie=who and f"who={who}")).code == by_cookie
    assert (await hub.send(path, Authorization=who and f"token {who}")).code == status


async def test_a_token_with_scopes_reaches_only_handlers_of_that_scope(hub: Hub) -> None:
    assert (await hub.send("/scoped", Authorization="token alice+read:jupyter")).code == 200
    assert (await hub.send("/scoped", Authorization="token alice+other")).code == 403
    assert (await hub.send("/in", Authorization="token alice+read:jupyter")).code == 403
    assert (await hub.send("/admin", Authorization="token root+read:jupyter")).code == 403
    assert (await hub.send("/public", Authorization="token alice+read:jupyter")).code == 200


async def test_programs_are_told_forbidden_in_the_words_jupyter_clients_know(hub: Hub) -> None:
    for who in (None, "who=root"):
        body = msgspec.json.decode((await hub.send("/user/alice/api/x", Cookie=who)).body)
        assert (body["message"], body["reason"]) == ("Forbidden", None)


async def test_people_are_led_to_the_sign_in_page_and_back(hub: Hub) -> None:
    answer = await hub.send("/user/alice/lab?path=a%20b")
    assert (answer.code, answer.headers["Location"]) == (302, "/hub/login?next=/user/alice/lab%3Fpath%3Da%2520b")


async def test_another_users_page_is_refused_and_not_redirected_in_a_ring(hub: Hub) -> None:
    assert (await hub.send("/user/bob/lab", Cookie="who=alice")).code == 403


async def test_pages_give_front_ends_their_form_token_below_the_users_path(hub: Hub) -> None:
    answer = await hub.send("/user/alice/lab", Cookie="who=alice")
    assert answer.headers.get_list("Set-Cookie") == ["_xsrf=xsrf-alice; Path=/user/alice/; SameSite=Lax"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X_XSRFToken": "wrong"},
        {"X_XSRFToken": "xsrf-root"},
        {"X_XSRFToken": "xsrf-alice", "Sec_Fetch_Site": "cross-site"},
        {"X_XSRFToken": "xsrf-alice", "Origin": "https://evil.example"},
        {"X_XSRFToken": "xsrf-alice", "Origin": "null"},
    ],
)
async def test_a_forged_request_with_a_cookie_changes_nothing(hub: Hub, headers: dict[str, str]) -> None:
    answer = await hub.send("/user/alice/api/x", "PUT", b"{}", Cookie="who=alice", **headers)
    assert (answer.code, code(answer)) == (403, "auth.forged")


async def test_a_token_in_the_address_is_no_form_token(hub: Hub) -> None:
    answer = await hub.send("/user/alice/api/x?_xsrf=xsrf-alice", "PUT", b"{}", Cookie="who=alice")
    assert answer.code == 403


async def test_the_form_token_lets_front_ends_through(hub: Hub) -> None:
    answer = await hub.send("/user/alice/api/x", "PUT", b"{}", Cookie="who=alice", X_XSRFToken="xsrf-alice")
    assert answer.code == 200


async def test_api_tokens_need_no_form_token_even_from_another_origin(hub: Hub) -> None:
    answer = await hub.send("/user/alice/api/x", "PUT", b"{}", Authorization="token alice", Origin="https://x.example")
    assert answer.code == 200


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"number": "1"}', "$.number"),
        (b'{"number": true}', "$.number"),
        (b"{}", "number"),
        (b"[]", "object"),
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[" * 90, "not"),
    ],
)
async def test_a_wrong_body_is_refused_with_its_reason(hub: Hub, body: bytes, says: str) -> None:
    answer = await hub.send("/in", "POST", body, Authorization="token alice")
    assert answer.code == 400
    assert says in msgspec.json.decode(answer.body)["message"]


async def test_a_good_body_is_a_typed_value(hub: Hub) -> None:
    answer = await hub.send("/in", "POST", b'{"number": 1, "else": 2}', Authorization="token alice")
    assert msgspec.json.decode(answer.body) == {"number": 1, "word": "none"}


async def test_a_body_over_the_limit_is_413_before_anything_else(hub: Hub) -> None:
    assert (await hub.send("/in", "POST", b"x" * 101)).code == 413


async def test_with_a_cookie_the_body_must_say_that_it_is_json(hub: Hub) -> None:
    headers = {"Cookie": "who=alice", "X_XSRFToken": "xsrf-alice"}
    body = b'{"number": 1}'
    assert (await hub.send("/in", "POST", body, Content_Type="text/plain", **headers)).code == 400
    assert (await hub.send("/in", "POST", body, Content_Type="application/json; charset=utf-8", **headers)).code == 200


async def test_a_bug_shows_a_number_and_logs_its_cause(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    answer = await hub.send("/failing?how=bug&password=hunter2")
    body = msgspec.json.decode(answer.body)
    assert answer.code == 500
    assert b"secret inside" not in answer.body
    assert answer.headers["X-Request-Id"] in body["message"]
    assert body["traceback"] == ""
    assert "ZeroDivisionError" in caplog.text
    assert body["request_id"] in caplog.text
    assert "hunter2" not in caplog.text


async def test_a_cause_is_logged_and_not_shown(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    answer = await hub.send("/failing?how=store")
    assert (answer.code, code(answer)) == (503, "store.unavailable")
    assert b"10.0.0.5" not in answer.body
    assert "10.0.0.5" in caplog.text


async def test_a_database_that_is_away_signs_nobody_out(hub: Hub) -> None:
    hub.guard.failure = StoreUnavailable("The database does not answer.")
    answer = await hub.send("/user/alice/lab", Cookie="who=alice")
    assert answer.code == 503


async def test_how_long_to_wait_is_a_header_too(hub: Hub) -> None:
    answer = await hub.send("/failing?how=busy")
    assert (answer.code, answer.headers["Retry-After"]) == (429, "7")


async def test_a_redirect_away_from_the_hub_is_a_bug_and_not_an_answer(hub: Hub) -> None:
    assert (await hub.send("/failing?how=away")).code == 500


async def test_every_answer_carries_the_security_headers(hub: Hub) -> None:
    for path in ("/public", "/nowhere", "/failing?how=bug", "/user/alice/lab", "/in"):
        headers = (await hub.send(path)).headers
        assert "Server" not in headers
        assert "Etag" not in headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        of_user = path.startswith("/user/")  # where scripts of notebooks run: apart from the hub's own pages
        assert headers["Cross-Origin-Opener-Policy"] == ("same-origin-allow-popups" if of_user else "same-origin")
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"


async def test_nothing_can_be_registered_as_a_service_worker(hub: Hub) -> None:
    assert (await hub.send("/public", Service_Worker="script")).code == 403


async def test_the_proxys_request_id_is_kept_if_it_is_one(hub: Hub) -> None:
    good = await hub.send("/public", X_Request_Id="0123abcd-4567")
    odd = await hub.send("/public", X_Request_Id="x'; drop")
    assert good.headers["X-Request-Id"] == "0123abcd-4567"
    assert odd.headers["X-Request-Id"] != "x'; drop"


async def test_unknown_addresses_and_methods_are_answered_plainly(hub: Hub) -> None:
    assert (await hub.send("/nowhere", "POST", b"")).code == 404
    assert (await hub.send("/public", "DELETE", Authorization="token alice")).code == 405
    assert (await hub.send("/public", "BREW", Authorization="token alice")).code == 405


async def test_options_is_answered_without_credentials_and_allows_no_other_origin(hub: Hub) -> None:
    answer = await hub.send("/user/alice/api/x", "OPTIONS", Origin="https://evil.example")
    assert answer.code == 204
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


async def test_the_access_log_has_no_query_and_no_control_characters(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kernelhub.access")
    await hub.send("/nowhere%0d%0a%1b[2J" + "y" * 5000 + "?token=canary", Cookie="who=alice")
    [record] = [r for r in caplog.records if r.name == "kernelhub.access"]
    line = record.getMessage()
    assert "canary" not in line
    assert line.isprintable()
    assert len(line) < 500
    assert " 404 " in line
    assert "user=a " in line
