"""Every route and every kind of principal: whoever is not permitted by what a handler declares is refused.

Made from the route tables. The handlers' own work is left out, so that what is allowed does nothing; all before it, who
asks, what they may do, and proof that they meant it and are present, is the hub's own, over HTTP and a real database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tornado.httpserver import HTTPServer
from tornado.routing import URLSpec
from tornado.testing import bind_unused_port

from hub.domain.ids import GroupId, new_id
from hub.domain.scopes import Scope, with_included
from hub.domain.users import Group, MemberRole, Role
from hub.errors import NotFound
from hub.http.application import make_application
from hub.http.handler import Access, HubHandler, Over
from hub.jupyter.routes import routes as jupyter_routes
from hub.web.routes import routes as web_routes
from proxy.contract.route import RouteQuestion
from tests.unit.web.conftest import Answer, Browser, Site, SiteMaker
from tests.unit.web.test_forged_requests import path_of

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
KERNEL = "/user/alice/api/kernels/0f7e8d3e-0000-4000-8000-000000000000/channels"
TERMINAL = "/user/alice/terminals/websocket/1"
ROLES = {
    "assistant": {"scopes": ["list:users", "servers!group=physics", "read:groups!group=physics"]},
    "auditor": {"scopes": ["read:audit", "admin-ui"], "groups": ["auditors"]},
}
OWN = with_included(Scope.SELF)
GUESTS = OWN - {Scope.TOKENS, Scope.READ_TOKENS}
OWNERS = {
    each
    for scope in (
        *(Scope.LIST_USERS, Scope.READ_USERS, Scope.SERVERS, Scope.READ_HISTORY, Scope.MESSAGE_USERS),
        *(Scope.GROUPS, Scope.LIST_GROUPS),
    )
    for each in with_included(scope)
}


@dataclass(frozen=True)
class Principal:
    """Somebody, and what they hold: told here, not worked out by the hub. Alice and physics are what is asked for."""

    name: str
    user: str = ""
    own: frozenset[Scope] = frozenset()
    over_physics: frozenset[Scope] = frozenset()
    over_others: frozenset[Scope] = frozenset()
    everything: frozenset[Scope] = frozenset()
    by_cookie: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


def principals() -> Iterator[Principal]:
    """All kinds. Who is nobody any more holds nothing."""
    all_scopes = frozenset(Scope)
    assistants = with_included(Scope.SERVERS) | with_included(Scope.READ_GROUPS)
    yield Principal("anybody")
    yield Principal("the user", "alice", OWN)
    yield Principal("the user at a browser", "alice", OWN, by_cookie=True)
    yield Principal("another user", "mallory", OWN)
    yield Principal("another user at a browser", "mallory", OWN, by_cookie=True)
    yield Principal("a guest", "gina", frozenset(GUESTS))
    yield Principal("somebody suspended")
    yield Principal("an expired token")
    yield Principal("a revoked token")
    yield Principal("the group's owner", "tina", OWN, over_physics=frozenset(OWNERS))
    yield Principal("another group's owner", "otto", OWN, over_others=frozenset(OWNERS))
    yield Principal(
        *("an assistant", "asta", OWN),
        over_physics=frozenset(assistants),
        everything=with_included(Scope.LIST_USERS),
    )
    yield Principal("an auditor by group", "audrey", OWN, everything=frozenset({Scope.READ_AUDIT, Scope.ADMIN_UI}))
    yield Principal("an administrator", "root1", OWN, everything=all_scopes - {*OWN} | {*OWN} - _ONLY_OWN)
    yield Principal("an administrator without presence", "root1", OWN, by_cookie=True)
    yield Principal("an administrator with presence", "root1", OWN, everything=all_scopes - _ONLY_OWN, by_cookie=True)
    yield Principal("a token to read users", "root1", everything=with_included(Scope.READ_USERS))
    yield Principal("a token of the user for one thing", "alice", with_included(Scope.READ_SERVERS))
    yield Principal("a token that asks for more than its owner has", "mallory", with_included(Scope.SERVERS))
    yield Principal("an administrator's token for one group", "root1", over_physics=with_included(Scope.GROUPS))


_ONLY_OWN = frozenset({Scope.SELF, Scope.JUPYTER, Scope.READ_JUPYTER})
PRINCIPALS = list(principals())


@dataclass(frozen=True)
class Call:
    """One method of one route, for alice or physics."""

    method: str
    path: str
    handler: type[HubHandler]


def sample_path(route: URLSpec) -> str:
    """An address of the route about alice, or about physics."""
    pattern = route.regex.pattern
    about = "physics" if route.handler_class.over is Over.GROUP else "alice"
    return path_of(route) if "([^/]+)" not in pattern else path_of(route).replace("root1", about)


def stubbed(route: URLSpec) -> URLSpec:
    """The route, its handler's own work replaced by a word."""
    handler = route.handler_class

    def passed(self: HubHandler, *_: str, **__: str) -> None:
        self.write_json({"passed": True})

    stubs: dict[str, Any] = {
        method.lower(): passed
        for method in METHODS
        if getattr(handler, method.lower()) is not getattr(HubHandler, method.lower())
    }
    made = type(handler.__name__, (handler,), {**stubs, "data_received": lambda self, chunk: None})
    return URLSpec(route.regex.pattern, made, route.kwargs)


ROUTES = [*web_routes(), *jupyter_routes()]


def calls() -> Iterator[Call]:
    """Every method that a route implements. The first route that matches an address answers."""
    for route in ROUTES:
        handler, path = route.handler_class, sample_path(route)
        if handler.access is Access.PUBLIC:
            continue  # for anybody, by declaration; their forms are another test's
        if handler is not next(each for each in ROUTES if each.regex.match(path)).handler_class:
            continue
        for method in METHODS:
            if getattr(handler, method.lower()) is not getattr(HubHandler, method.lower()):
                yield Call(method, path, handler)


CALLS = list(calls())


def expected(call: Call, who: Principal) -> str:
    """``passes``, ``refused``, or ``asked for presence``, from the declaration and what the principal holds."""
    handler = call.handler
    if not who.user:
        return "refused"
    if handler.over is Over.NOTHING:
        return "passes"
    scope = handler.permission_for(call.method)
    assert scope is not None, f"{call} declares no permission"
    if handler.access is Access.OWNER and who.user != "alice":
        return "refused"
    if holds(who, scope, handler.over_whom(scope)):
        if handler.needs_presence and not who.by_cookie:
            return "refused"  # no token is a person at a browser
        return "passes" if not (handler.needs_presence and who.name in _ABSENT) else "asked for presence"
    if who.name == "an administrator without presence":
        admin = next(each for each in PRINCIPALS if each.name == "an administrator with presence")
        if holds(admin, scope, handler.over_whom(scope)):
            return "asked for presence"
    return "refused"


_ABSENT = {"the user at a browser", "another user at a browser", "an administrator without presence"}


def holds(who: Principal, scope: Scope, over: Over) -> bool:
    """Whether somebody holds a scope over what is asked for."""
    if scope in who.everything:
        return True
    match over:
        case Over.SELF:
            return scope in who.own
        case Over.USER:
            return scope in who.over_physics or (who.user == "alice" and scope in who.own)
        case Over.GROUP:
            return scope in who.over_physics and scope in _ABOUT_GROUPS
        case Over.SOME:
            return scope in who.own | who.over_physics | who.over_others
    return False


_ABOUT_GROUPS = with_included(Scope.ADMIN_GROUPS)


def outcome(answer: Answer) -> str:
    """What an answer says about permission."""
    asked = "auth.presence_required" in answer.text or "X-Presence" in answer.headers
    if asked or answer.location.startswith("/hub/confirm"):
        return "asked for presence"
    return "refused" if answer.status == 403 or answer.location.startswith("/hub/login") else "passes"


@dataclass
class House:
    """A hub whose handlers do nothing, and a visitor for each principal."""

    site: Site
    address: str
    visitors: dict[str, Browser]
    xsrf: dict[str, str]

    async def ask(self, call: Call, who: Principal) -> str:
        """What becomes of a call."""
        headers: dict[str, str | None] = {"Accept": "application/json", "Content-Type": "application/json"}
        visitor = self.visitors[who.name]
        if who.by_cookie:
            headers |= {"Origin": self.address, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
            headers |= {"Sec-Fetch-Dest": "empty", "X-XSRFToken": self.xsrf[who.name]}
        answer = await visitor.send(call.method, call.path, None if call.method == "GET" else b"{}", **headers)
        assert answer.status < 500 or answer.status == 503, f"{call} by {who.name}: {answer.text}"
        return outcome(answer)


ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
async def house(make_site: SiteMaker) -> Any:
    settings = {"roles": ROLES, "rate_limits": {"requests": 0, "requests_from_address": 0}}
    site: Site = await make_site(jupyter=True, **settings)
    server = HTTPServer(make_application(site.services, [stubbed(route) for route in ROUTES], lambda *_: "refused"))
    socket, port = bind_unused_port()
    server.add_sockets([socket])
    visitors, xsrf = await _visitors(site, f"http://127.0.0.1:{port}")
    yield House(site, f"http://127.0.0.1:{port}", visitors, xsrf)
    server.stop()
    await server.close_all_connections()


async def _visitors(site: Site, address: str) -> tuple[dict[str, Browser], dict[str, str]]:
    users = {
        name: await site.add(name, role)
        for name, role in {
            **dict.fromkeys(("alice", "mallory", "tina", "otto", "audrey", "susi"), Role.USER),
            **{"gina": Role.GUEST, "asta": "assistant"},
        }.items()
    }
    users["root1"] = await site.add("root1", Role.ADMIN)
    groups = {name: Group(GroupId(new_id()), name, site.clock.now()) for name in ("physics", "maths", "auditors")}
    async with site.store.unit() as unit:
        for group in groups.values():
            await unit.groups.add(group)
        places = [("physics", "alice", "member"), ("physics", "tina", "owner"), ("maths", "otto", "owner")]
        for group_name, name, role in [*places, ("auditors", "audrey", "member")]:
            await unit.groups.add_member(groups[group_name].id, users[name].id, MemberRole(role))
    scopes = {
        "a token to read users": ["read:users"],
        "a token of the user for one thing": ["read:servers!user"],
        "a token that asks for more than its owner has": ["servers", "shutdown", "admin:users"],
        "an administrator's token for one group": ["groups!group=physics"],
    }
    special = {"somebody suspended": "susi", "an expired token": "root1", "a revoked token": "root1"}
    visitors, xsrf = {}, {}
    for who in PRINCIPALS:
        visitor = visitors[who.name] = site.browser()
        user = users.get(who.user or special.get(who.name, ""))
        if who.by_cookie and user is not None:
            sign_in, secret = await site.auth.sign_ins.create(user, "", "")
            visitor.cookies["kernelhub"] = secret
            if who.name == "an administrator with presence":
                await site.auth.presence.prove(user, sign_in.id, "password")
            identity = await site.auth.guard.identify(f"kernelhub={secret}", "", None, "", "")
            xsrf[who.name] = identity.presence or identity.xsrf
        elif user is not None:
            kept = await site.auth.authority.read_scopes(scopes[who.name]) if who.name in scopes else ()
            days = timedelta(seconds=1) if who.name == "an expired token" else timedelta(days=9)
            token, value = await site.auth.tokens.create(user, "t", days, "test", scopes=kept)
            visitor.headers["Authorization"] = f"token {value}"
            if who.name == "a revoked token":
                await site.auth.tokens.revoke(user, token.id, "test")
        visitor.address = address
    site.clock.advance(timedelta(seconds=2))
    await site.auth.users.disable(users["susi"], "test")
    return visitors, xsrf


def test_every_route_declares_who_may_call_it() -> None:
    assert [f"{call.method} {call.path}" for call in CALLS if not call.handler.is_declared()] == []


def test_every_method_of_a_route_declares_its_permission() -> None:
    silent = [
        f"{call.method} {call.path}"
        for call in CALLS
        if call.handler.access is not Access.PUBLIC
        and call.handler.over is not Over.NOTHING
        and call.handler.permission_for(call.method) is None
    ]
    assert silent == []


def test_routes_over_a_user_or_a_group_have_a_name_in_their_address() -> None:
    named = [route for route in ROUTES if route.handler_class.over in {Over.USER, Over.GROUP}]
    assert named
    assert all(route.regex.groups >= 1 for route in named)


@ON_SQLITE
async def test_each_principal_may_call_what_the_declarations_say(house: House) -> None:
    wrong = []
    for who in PRINCIPALS:
        for call in CALLS:
            wanted, got = expected(call, who), await house.ask(call, who)
            if wanted != got:
                wrong.append(f"{call.method} {call.path} by {who.name}: {got}, not {wanted}")
    assert wrong == []


@ON_SQLITE
async def test_a_refusal_leaves_one_line_and_repetitions_none(house: House) -> None:
    mallory = house.visitors["another user"]
    for _ in range(3):
        assert (await mallory.api("DELETE", "/hub/api/users/alice")).status == 403
    assert await house.site.actions("access.") == ["access.refused"]
    text = await house.site.audit_text()
    assert "DELETE /hub/api/users/alice" in text
    for number in range(60):
        await mallory.api("GET", f"/hub/api/users/nobody{number}")
    assert len(await house.site.actions("access.")) <= 30


@ON_SQLITE
async def test_each_principal_may_open_the_sockets_that_are_their_own(house: House) -> None:
    async def gone(*_: Any) -> Any:
        raise NotFound("There is no such kernel.")

    services = house.site.services
    services.kernels.workspace_of = gone  # type: ignore[assignment,method-assign]
    services.terminals.workspace_of = gone  # type: ignore[assignment,method-assign]
    proxy, wrong = house.site.browser(), []
    for who in PRINCIPALS:
        visitor = house.visitors[who.name]
        cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
        for path in (KERNEL, TERMINAL):
            question = RouteQuestion(
                path=path,
                query="",
                cookie=cookie,
                authorization=visitor.headers.get("Authorization", ""),
                origin="http://hub" if cookie else None,
                host="hub",
                scheme="http",
                address="192.0.2.7",
                user_agent="",
            )
            answer = (await proxy.send("POST", "/internal/route", msgspec.json.encode(question))).json()
            if (answer["status"] == 404) != (who.user == "alice" and Scope.JUPYTER in who.own):
                wrong.append(f"{path} by {who.name}: {answer}")
    assert wrong == []
