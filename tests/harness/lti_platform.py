"""A learning platform for tests: a server of its own that speaks LTI 1.3 as platforms do.

It has courses with people and links, asks the hub to sign them in (top level or in a frame), answers the hub's question
with a signed id_token by ``form_post``, and has a key set, access tokens, rosters in pages, a gradebook, deep linking
and dynamic registration. Everything that it was sent is kept for tests to look at. It checks what a platform must:
whoever sends an unregistered address, a wrong assertion or no token is refused.
"""

from __future__ import annotations

import functools
import html
import json
import secrets
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

LTI = "https://purl.imsglobal.org/spec/lti/claim/"
DEEP = "https://purl.imsglobal.org/spec/lti-dl/claim/"
NRPS = "https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice"
AGS = "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"
MEMBERSHIP = "http://purl.imsglobal.org/vocab/lis/v2/membership#"
SCOPES = (
    "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly",
    "https://purl.imsglobal.org/spec/lti-ags/scope/lineitem",
    "https://purl.imsglobal.org/spec/lti-ags/scope/result.readonly",
    "https://purl.imsglobal.org/spec/lti-ags/scope/score",
)


@dataclass
class Pupil:
    """Somebody with an account on the platform."""

    subject: str
    name: str
    roles: list[str]
    username: str
    status: str = "Active"


@dataclass
class ResourceLink:
    """A link in the course."""

    id: str
    title: str
    url: str = ""
    custom: dict[str, str] = field(default_factory=dict)
    line_item: str = ""


@dataclass
class Asked:
    """What the hub asked with: the query of its question."""

    state: str
    nonce: str


class Platform:
    """The platform. `hub` is the hub's address as browsers reach it; `tool_keys` gives the hub's public keys."""

    def __init__(self) -> None:
        self.key = _key()
        self.client_id = "client-" + secrets.token_hex(4)
        self.deployment = "1"
        self.course = "course-7"
        self.page_size = 2
        self.jwks_down = False
        self.now: Callable[[], float] = time.time
        self.hub = ""
        self.tool_keys: Callable[[], Mapping[str, Any]] = self._fetch_tool_keys
        self.people: dict[str, Pupil] = {}
        self.links: dict[str, ResourceLink] = {}
        self.line_items: dict[str, dict[str, Any]] = {}
        self.scores: list[dict[str, Any]] = []
        self.tokens: dict[str, set[str]] = {}
        self.content_items: list[dict[str, Any]] = []
        self.registered: list[dict[str, Any]] = []
        self.refused: list[str] = []
        self.requests: list[str] = []
        self.fail_scores_with = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Bound", (_Handler,), {"platform": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self) -> str:
        """Its issuer, and where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def settings(self) -> dict[str, Any]:
        """What an administrator of the hub enters."""
        return {
            "issuer": self.address,
            "client_id": self.client_id,
            "authorize_url": f"{self.address}/auth",
            "token_url": f"{self.address}/token",
            "jwks_url": f"{self.address}/jwks",
            "deployments": [self.deployment],
        }

    def add(self, username: str, role: str = "Learner", name: str = "") -> Pupil:
        """Somebody in the course."""
        pupil = Pupil(f"sub-{username}", name or username.title(), [MEMBERSHIP + role], username)
        self.people[username] = pupil
        return pupil

    def link(self, title: str, **more: Any) -> ResourceLink:
        """A link in the course."""
        made = ResourceLink(f"link-{len(self.links) + 1}", title, **more)
        self.links[made.id] = made
        return made

    def announcement(self, username: str, hint: str) -> dict[str, str]:
        """The fields with which it announces somebody; `hint`: a link's id, or ``deep``."""
        link = self.links.get(hint)
        return {
            "iss": self.address,
            "client_id": self.client_id,
            "login_hint": username,
            "lti_message_hint": hint,
            "target_link_uri": (link.url if link and link.url else f"{self.hub}/hub/lti/launch"),
            "lti_deployment_id": self.deployment,
        }

    def claims(self, username: str, hint: str, nonce: str) -> dict[str, Any]:
        """The claims of an id_token."""
        pupil, now = self.people[username], int(self.now())
        base = f"{self.address}/courses/{self.course}"
        claims: dict[str, Any] = {
            "iss": self.address,
            "aud": self.client_id,
            "sub": pupil.subject,
            "exp": now + 300,
            "iat": now,
            "nonce": nonce,
            "name": pupil.name,
            "email": f"{pupil.username}@school.example",
            "preferred_username": pupil.username,
            LTI + "version": "1.3.0",
            LTI + "message_type": "LtiResourceLinkRequest",
            LTI + "deployment_id": self.deployment,
            LTI + "roles": pupil.roles,
            LTI + "context": {"id": self.course, "label": "BIO 101", "title": "Biology 101"},
            LTI + "launch_presentation": {"return_url": f"{self.address}/return"},
            LTI + "custom": {},
            NRPS: {"context_memberships_url": f"{base}/members", "service_versions": ["2.0"]},
            AGS: {"lineitems": f"{base}/lineitems", "scope": list(SCOPES[1:])},
        }
        if hint == "deep":
            claims[LTI + "message_type"] = "LtiDeepLinkingRequest"
            claims[DEEP + "deep_linking_settings"] = {
                "deep_link_return_url": f"{self.address}/deep-return",
                "accept_types": ["ltiResourceLink"],
                "accept_presentation_document_targets": ["iframe", "window"],
                "accept_lineitem": True,
                "data": "keep-this",
            }
            return claims
        link = self.links[hint]
        claims[LTI + "resource_link"] = {"id": link.id, "title": link.title}
        claims[LTI + "target_link_uri"] = link.url or f"{self.hub}/hub/lti/launch"
        claims[LTI + "custom"] = link.custom
        if link.line_item:
            claims[AGS]["lineitem"] = link.line_item
        return claims

    def sign(self, claims: Mapping[str, Any], key: RSAKey | None = None, **header: Any) -> str:
        """A signed token."""
        used = key or self.key
        return jwt.encode(
            {"alg": "RS256", "kid": used.kid, **header}, dict(claims), used, algorithms=[header.get("alg", "RS256")]
        )

    def jwks(self) -> dict[str, Any]:
        """Its key set."""
        return {"keys": [self.key.as_dict(private=False)]}

    def verify_tool(self, token: str, audience: str) -> dict[str, Any]:
        """The claims of what the hub signed, if it did."""
        keys = KeySet.import_key_set(dict(self.tool_keys()))
        claims = dict(jwt.decode(token, keys, algorithms=["RS256"]).claims)
        assert audience in ([claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"]), claims
        assert claims["iss"] == self.client_id and claims["exp"] > self.now() - 60
        return claims

    def _fetch_tool_keys(self) -> Mapping[str, Any]:
        with urllib.request.urlopen(f"{self.hub}/hub/lti/keys", timeout=10) as answer:
            return dict(json.load(answer))


@contextmanager
def lti_platform() -> Iterator[Platform]:
    """A platform for a block, with a teacher and two pupils."""
    platform = Platform()
    platform.add("tina", "Instructor", "Tina Teacher")
    platform.add("sam", name="Sam Student")
    platform.add("sue", name="Sue Student")
    try:
        yield platform
    finally:
        platform.close()


class Refused(Exception):
    """A status and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    platform: Platform

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def _serve(self, method: str) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.platform.requests.append(f"{method} {self.path}")
        name = parts.path.strip("/").replace("/", " ").split(" ")
        try:
            self._route(method, name, query, body)
        except Refused as refused:
            self.platform.refused.append(str(refused))
            self._send(refused.status, str(refused).encode(), "text/plain")
        except (AssertionError, KeyError, ValueError) as error:
            self.platform.refused.append(f"{method} {self.path}: {error!r}")
            self._send(400, repr(error).encode(), "text/plain")

    def _route(self, method: str, name: list[str], query: dict[str, str], body: bytes) -> None:
        platform = self.platform
        match method, *name:
            case "GET", "open":
                self._open(query)
            case "GET" | "POST", "auth":
                self._auth(query if method == "GET" else _form(body))
            case "GET", "jwks":
                if platform.jwks_down:
                    raise Refused(503, "down")
                self._json(platform.jwks())
            case "POST", "token":
                self._token(_form(body))
            case "GET", "courses", _, "members":
                self._members(int(query.get("page", "1")))
            case "POST", "courses", _, "lineitems":
                self._bearer(SCOPES[1])
                made = json.loads(body)
                made["id"] = f"{platform.address}/lineitems/{len(platform.line_items) + 1}?type=test"
                platform.line_items[made["id"]] = made
                self._json(made, 201)
            case "POST", "lineitems", _, "scores":
                self._bearer(SCOPES[3])
                if platform.fail_scores_with:
                    raise Refused(platform.fail_scores_with, "not now")
                platform.scores.append({"path": self.path, **json.loads(body)})
                self._send(204, b"", "text/plain")
            case "GET", "lineitems", _, "results":
                self._bearer(SCOPES[2])
                found = [s for s in platform.scores if s["userId"] == query.get("user_id", s["userId"])]
                self._json([{"userId": s["userId"], "resultScore": s["scoreGiven"]} for s in found])
            case "POST", "deep-return":
                claims = platform.verify_tool(_form(body)["JWT"], platform.address)
                assert claims[LTI + "message_type"] == "LtiDeepLinkingResponse"
                assert claims[LTI + "deployment_id"] == platform.deployment and claims[DEEP + "data"] == "keep-this"
                platform.content_items += claims[DEEP + "content_items"]
                self._html("<h1>Added to the course</h1>")
            case "GET", ".well-known", "openid-configuration":
                self._json(self._configuration())
            case "POST", "register":
                assert self.headers["Authorization"] == "Bearer registration-token"
                asked = json.loads(body)
                platform.registered.append(asked)
                tool = {**asked["https://purl.imsglobal.org/spec/lti-tool-configuration"], "deployment_id": "1"}
                answer = {**asked, "client_id": platform.client_id}
                self._json({**answer, "https://purl.imsglobal.org/spec/lti-tool-configuration": tool}, 201)
            case _:
                raise Refused(404, f"nothing at {method} {self.path}")

    def _open(self, query: dict[str, str]) -> None:
        """A link of the course: top level, in a frame, or a registration that an administrator began."""
        platform = self.platform
        if "register" in query:
            more = {"openid_configuration": f"{platform.address}/.well-known/openid-configuration"}
            address = f"{query['register']}?{urlencode({**more, 'registration_token': 'registration-token'})}"
        else:
            said = platform.announcement(query["user"], query["hint"])
            address = f"{platform.hub}/hub/lti/login?{urlencode(said)}"
        if query.get("frame"):
            self._html(f'<h1>Course</h1><iframe name="tool" width="100%" height="700" src="{html.escape(address)}">')
            return
        self.send_response(302)
        self.send_header("Location", address)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _auth(self, query: dict[str, str]) -> None:
        platform = self.platform
        wanted = {"scope": "openid", "response_type": "id_token", "response_mode": "form_post", "prompt": "none"}
        assert {name: query.get(name) for name in wanted} == wanted, query
        if query["redirect_uri"] != f"{platform.hub}/hub/lti/launch" or query["client_id"] != platform.client_id:
            raise Refused(400, "an address that is not registered")
        claims = platform.claims(query["login_hint"], query["lti_message_hint"], query["nonce"])
        fields = {"id_token": platform.sign(claims), "state": query["state"]}
        inputs = "".join(f'<input type="hidden" name="{n}" value="{html.escape(v)}">' for n, v in fields.items())
        action = html.escape(query["redirect_uri"])
        self._html(f'<form method="post" action="{action}">{inputs}</form><script>document.forms[0].submit()</script>')

    def _token(self, form: dict[str, str]) -> None:
        assert form["grant_type"] == "client_credentials"
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        claims = self.platform.verify_tool(form["client_assertion"], f"{self.platform.address}/token")
        assert claims["sub"] == claims["iss"] and claims["jti"]
        token = secrets.token_urlsafe(16)
        self.platform.tokens[token] = set(form["scope"].split())
        self._json({"access_token": token, "token_type": "Bearer", "expires_in": 3600, "scope": form["scope"]})

    def _members(self, page: int) -> None:
        self._bearer(SCOPES[0])
        people = list(self.platform.people.values())
        size = self.platform.page_size
        shown = people[(page - 1) * size : page * size]
        members = [
            {
                "user_id": p.subject,
                "name": p.name,
                "roles": p.roles,
                "status": p.status,
                "email": f"{p.username}@x.example",
            }
            for p in shown
        ]
        more = {}
        if page * size < len(people):
            base = f"{self.platform.address}/courses/{self.platform.course}/members"
            more = {"Link": f'<{base}?page={page + 1}>; rel="next", <{base}?page=1>; rel="first"'}
        self._json({"id": "members", "context": {"id": self.platform.course}, "members": members}, headers=more)

    def _bearer(self, scope: str) -> None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if scope not in self.platform.tokens.get(token, set()):
            raise Refused(401, f"no token for {scope}")

    def _configuration(self) -> dict[str, Any]:
        address = self.platform.address
        return {
            "issuer": address,
            "authorization_endpoint": f"{address}/auth",
            "token_endpoint": f"{address}/token",
            "jwks_uri": f"{address}/jwks",
            "registration_endpoint": f"{address}/register",
            "https://purl.imsglobal.org/spec/lti-platform-configuration": {
                "product_family_code": "simulator",
                "version": "1",
                "messages_supported": [{"type": "LtiResourceLinkRequest"}, {"type": "LtiDeepLinkingRequest"}],
            },
        }

    def _json(self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps(value).encode(), "application/json", headers)

    def _html(self, text: str) -> None:
        self._send(200, f"<!doctype html><title>Platform</title>{text}".encode(), "text/html; charset=utf-8")

    def _send(self, status: int, body: bytes, kind: str, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _form(body: bytes) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}


@functools.cache
def _key() -> RSAKey:
    """One key for all platforms of a test run: making one takes a tenth of a second."""
    parameters: Any = {"kid": "platform-1", "use": "sig", "alg": "RS256"}
    return RSAKey.generate_key(2048, parameters, private=True)
