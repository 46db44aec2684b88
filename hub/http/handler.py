"""The base of every handler: who asks, may they, did they mean it, and how errors are answered.

A handler class declares `access` and `permission` (hub.http.permitted); one that does not refuses everybody. In
`prepare`, in this order: the request came through a proxy of ours, its body is within the limit, its sender is
identified, access and permission are decided, a state-changing request that a cookie authenticates proves that one of
our pages made it, and what goes beyond one's own things that somebody sits there.
"""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Awaitable
from dataclasses import replace
from http.client import responses
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote

import msgspec
import tornado.iostream
import tornado.web

from hub import metrics
from hub.auth.cookies import cookie_flags, read_cookie, sign_in_cookie_name
from hub.auth.identity import Credential, Identity
from hub.auth.presence import is_navigation, is_proof
from hub.config import Settings
from hub.domain.ids import SignInId, new_id
from hub.errors import (
    BadRequest,
    Forbidden,
    HubError,
    NotSignedIn,
    PresenceRequired,
    RequestForged,
    StoreUnavailable,
    TooLarge,
    TooManyRequests,
)
from hub.http.access_log import printable, shown_path
from hub.http.cors import Source, answer_headers, is_shared, preflight_headers, source_of
from hub.http.csrf import SAFE_METHODS, check_site, check_token
from hub.http.headers import API_POLICY, PAGE_POLICY, security_headers
from hub.http.permitted import PROVE, Access, Over, Permitted
from hub.http.redirect import in_ascii, is_local
from proxy.kit import request_ids

__all__ = ["Access", "HubHandler", "Over"]

log = logging.getLogger(__name__)
T = TypeVar("T")

INTERNAL_HEADER = "X-Kernelhub-Internal"
USERS_PREFIX = "/user/"
"""Where pages are that scripts of users' notebooks run in."""
JSON_TYPE = "application/json"
_API_PATH = re.compile(r"/(?:hub/api|internal|health|user/[^/]+/(?:api|lab/api|files|kernelspecs|lsp))(?:/|\Z)")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}\Z")


class HubHandler(Permitted):
    """Base of the hub's handlers. Subclasses declare `access`, and answer or raise HubErrors."""

    page: ClassVar[bool | None] = None
    """Whether errors are pages for people; None decides by path and the Accept header."""
    behind_proxy: ClassVar[bool] = True
    """Whether requests must come through a proxy of ours. Only health checks and metrics say False."""
    csrf_exempt: ClassVar[bool] = False
    """Only for public handlers that change nothing on behalf of a signed-in user."""

    needs_presence: ClassVar[bool] = False
    """Whether it takes a browser with proof of presence even for what is the user's own, such as second factors.

    A token does not do: a script can make one of what is its user's own, and would have the account for good.
    """

    json_only: ClassVar[bool] = True
    """Whether a body that comes with a cookie must be declared as JSON, which another site's form cannot do."""

    scheme: str = "http"
    request_id: str = ""

    # -- what handlers use ------------------------------------------------------------------------------

    @property
    def identity(self) -> Identity:
        """Who asks. Raises NotSignedIn where nobody is signed in (only possible if access is PUBLIC)."""
        if self.found_identity is None:
            raise NotSignedIn("Sign in first.")
        return self.found_identity

    def body(self, shape: type[T]) -> T:
        """The request's JSON body as a typed value; an absent body is an empty object.

        Raises BadRequest, naming the field and what was expected, when it is not JSON or not of that shape.
        """
        raw = self.request.body or b"{}"
        sent_type = self.request.headers.get("Content-Type", JSON_TYPE).partition(";")[0].strip().lower()
        by_cookie = self.found_identity is not None and self.found_identity.credential is Credential.COOKIE
        if self.json_only and self.request.body and by_cookie and sent_type != JSON_TYPE:
            raise BadRequest(f"The body must be sent as {JSON_TYPE}.")
        try:
            return msgspec.json.decode(raw, type=shape)
        except msgspec.ValidationError as error:
            raise BadRequest(f"The request's body is not as expected: {error}.") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest("The request's body is not valid JSON.") from error

    def write_json(self, value: Any, status: int = 200) -> None:
        """Answer with `value` (anything msgspec can encode) as JSON."""
        self.set_status(status)
        self.set_header("Content-Type", JSON_TYPE)
        self.finish(msgspec.json.encode(value))

    def redirect(self, url: str, permanent: bool = False, status: int | None = None) -> None:
        """Redirect to a path of this hub. Raises ValueError for anything else (see hub.http.redirect)."""
        if not is_local(url):
            raise ValueError("a redirect must lead to a path of this hub")
        super().redirect(in_ascii(url), permanent, status)

    def refuse_cross_site(self) -> None:
        """Raise Forbidden if another site's page embeds or fetches this (for GETs of users' bytes)."""
        site = self.request.headers.get("Sec-Fetch-Site")
        if site is not None and site not in {"same-origin", "none"}:
            raise Forbidden("This cannot be used from another site.")

    @property
    def source(self) -> Source:
        """Whose page sent this, by its Origin."""
        origin = self.request.headers.get("Origin")
        if origin is None:
            return Source.OWN
        return source_of(origin, self.request.headers.get("Host", ""), self.services.settings.allowed_origins)

    # -- what subclasses may override -------------------------------------------------------------------

    def token_in_address(self) -> str | None:
        """An API token in the query, None where it does not count.

        Addresses are kept in logs and histories, so it counts only from pages of allowed origins, and for WebSockets.
        """
        if self.source is Source.ALLOWED and is_shared(self.request.path):
            return self.get_query_argument("token", None)
        return None

    @classmethod
    def body_limit(cls, settings: Settings) -> int:
        """Most bytes of the request's body; asked for before the first of them is read."""
        return 1024 * 1024

    def content_security_policy(self) -> str:
        """The policy sent with the answer."""
        return PAGE_POLICY if self.shows_pages() else API_POLICY

    def check_access(self) -> None:
        """Decide by `access` alone. Raises NotSignedIn or Forbidden."""
        if not self.is_declared():
            raise Forbidden("This address does not say who may use it, so nobody may.")
        if self.access is not Access.PUBLIC and self.found_identity is None:
            raise NotSignedIn("Sign in first.")

    def check_meant(self) -> None:
        """Refuse forged state-changing requests; a page cannot send an API token that it does not know."""
        if self.request.method in SAFE_METHODS or self.csrf_exempt:
            return
        if self.found_identity is not None and self.found_identity.credential is not Credential.COOKIE:
            return
        check_site(self.request.headers)
        if self.found_identity is not None and self.found_identity.present:
            return  # the presence's token came with it, which is better than the sign-in's
        check_token(self.expected_form_token(), self.given_form_token())

    def check_presence(self) -> None:
        """Refuse what a browser's sign-in alone does not permit, whoever's it is."""
        if (self.needs_presence and not self.identity.sits_there) or self.lacks_presence():
            raise PresenceRequired(self.presence_wanted())

    def presence_wanted(self) -> str:
        """What to do about missing proof of presence, in words."""
        if "Sec-Fetch-Mode" not in self.request.headers and self.request.method in {"GET", "HEAD"}:
            return "For this the hub must be reached by https, with a browser of these years; programs use a token."
        return PROVE

    def expected_form_token(self) -> str:
        """The token that a state-changing request must carry: that of the sign-in."""
        return self.found_identity.xsrf if self.found_identity is not None else ""

    def given_form_token(self) -> str | None:
        """The token that came with the request, as header or form field (never in the address)."""
        header = self.request.headers.get("X-XSRFToken")
        return header if header is not None else self.get_body_argument("_xsrf", None)

    # -- the machinery ----------------------------------------------------------------------------------

    def set_default_headers(self) -> None:
        """Security headers on every answer, errors included; no Server header."""
        self.clear_header("Server")
        https = self.services.settings.secure_cookies
        of_user = self.request.path.startswith(USERS_PREFIX)
        for name, value in security_headers(self.content_security_policy(), https, of_user).items():
            self.set_header(name, value)
        if is_shared(self.request.path):
            for name, value in answer_headers(self.request.headers.get("Origin"), self.source).items():
                self.set_header(name, value)
        if self.request_id:
            self.set_header("X-Request-Id", self.request_id)

    async def prepare(self) -> None:
        """See the module's docstring."""
        self._begin()
        self._check_body_size()
        if self.request.headers.get("Service-Worker") == "script":
            raise Forbidden("Nothing of the hub is a service worker.")  # it would stay when what registered it is gone
        if self.request.method == "OPTIONS":
            return
        await self._identify()
        self.check_access()
        await self.check_permission()
        if self.needs_presence and self.identity.credential is not Credential.COOKIE:
            message = "This is changed in a browser, where you confirm that it is you; no token can."
            await self.refuse(self.permission_for(self.request.method or ""), message=message)
        self.check_meant()
        self.check_presence()
        await self._renew()

    def head(self, *args: str) -> Any:
        """As GET, without its body, which tornado leaves out."""
        return self.get(*args)

    def options(self, *_args: str) -> None:
        """Answer without asking who it is: a browser's preflight comes without credentials."""
        self.set_status(204)
        self.set_header("Allow", ", ".join(sorted(self.SUPPORTED_METHODS)))
        if is_shared(self.request.path):
            for name, value in preflight_headers(self.request.headers, self.source).items():
                self.set_header(name, value)

    def _begin(self) -> None:
        headers = self.request.headers
        sent = headers.get(INTERNAL_HEADER, "").encode("latin-1", "replace")
        via_proxy = hmac.compare_digest(sent, self.services.internal_token.encode())
        given_id = headers.get("X-Request-Id", "") if via_proxy else ""
        self.request_id = given_id if _REQUEST_ID.match(given_id) else new_id()
        request_ids.current.set(self.request_id)
        self.set_header("X-Request-Id", self.request_id)
        self.address = self.request.remote_ip or ""
        if via_proxy:
            self.address = headers.get("X-Forwarded-For", self.address).strip()[:64]
            self.scheme = "https" if headers.get("X-Forwarded-Proto", "") == "https" else "http"
        if self.behind_proxy and not via_proxy:
            raise Forbidden("The hub is reached through its proxy, not directly.")

    def _check_body_size(self) -> None:
        limit = self.body_limit(self.services.settings)
        announced = self.request.headers.get("Content-Length", "0")
        received = self.request.body if isinstance(self.request.body, bytes) else b""
        if (announced.isdigit() and int(announced) > limit) or len(received) > limit:
            raise TooLarge(f"The request's body is larger than {limit} bytes.")

    async def _identify(self) -> None:
        headers, source = self.request.headers, self.source
        cookie = headers.get("Cookie", "") if source is not Source.ALLOWED else ""  # see hub.http.cors
        authorization, token = headers.get("Authorization", ""), self.token_in_address()
        if not cookie and not authorization and token is None:
            return
        try:
            self.found_identity = await self.services.guard.identify(
                cookie, authorization, token, self.address, headers.get("User-Agent", "")
            )
        except NotSignedIn:
            self.found_identity = None
            return
        if source is Source.FOREIGN and self.found_identity.credential is Credential.COOKIE:
            raise RequestForged("This request came from another site and was refused.")
        if self._is_another_by_gateway(self.found_identity):
            self.found_identity = None
            return
        self.found_identity = self._as_proven(self.found_identity)

    def _is_another_by_gateway(self, identity: Identity) -> bool:
        """Whether a gateway that signed this browser in says by now that somebody else sits there."""
        settings = self.services.settings.header_sign_in
        if not settings.header or identity.provided_by is None or identity.provided_by[0] != settings.issuer:
            return False
        said = self.request.headers.get(settings.header, "").strip()
        return said not in ("", identity.provided_by[1])

    def _as_proven(self, identity: Identity) -> Identity:
        """The identity of a browser, `present` if this request carries proof of presence (hub.auth.presence).

        Under a user's own addresses a navigation proves nothing: scripts of theirs can read its answer.
        """
        if identity.credential is not Credential.COOKIE:
            return identity
        given = self.given_form_token()
        of_user = given is None and self.request.path.startswith(USERS_PREFIX)
        present = is_proof(identity.presence, self.request.method or "", given, self.request.headers)
        return replace(identity, present=present and not of_user)

    async def _renew(self) -> None:
        """Remember that the presence was used, and give a cookie that is due for it a fresh secret."""
        identity = self.found_identity
        if identity is None or identity.credential is not Credential.COOKIE:
            return
        try:
            if identity.present and (self.request.method not in SAFE_METHODS or is_navigation(self.request.headers)):
                await self.services.presence.touch(SignInId(identity.principal), identity.presence_at)
            if identity.rotates:
                await self.rotate_cookie()
        except StoreUnavailable as error:
            log.warning("sign-in %s was not renewed: %s", identity.principal, error)

    async def rotate_cookie(self) -> None:
        """Give this browser's cookie a fresh secret; nothing if another request has just done so."""
        secure = self.services.settings.secure_cookies
        name = sign_in_cookie_name(secure)
        secret = read_cookie(self.request.headers.get("Cookie", ""), name)
        fresh = await self.services.sign_ins.rotate(secret) if secret else None
        if fresh is not None:
            lifetime = int(self.services.sign_ins.longest.total_seconds())
            self.set_cookie(name, fresh, max_age=lifetime, **cookie_flags(secure))

    def shows_pages(self) -> bool:
        """Whether a person looks at the answer."""
        if self.page is not None:
            return self.page
        accepts = self.request.headers.get("Accept", "")
        return "text/html" in accepts and not _API_PATH.match(self.request.path)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer an error as JSON or as a page; unknown ones show nothing but the request's id."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        shown = error if isinstance(error, HubError) else self._as_shown(status_code)
        self.set_status(shown.status)
        if isinstance(shown, TooManyRequests):
            self.set_header("Retry-After", str(shown.retry_after_seconds))
        if isinstance(shown, PresenceRequired):
            self.set_header("X-Presence", "required")  # pages that ask in the background load themselves anew
        if self.shows_pages():
            self._write_error_page(shown)
        else:
            self.set_header("Content-Type", JSON_TYPE)
            self.finish(msgspec.json.encode(self.error_body(shown)))

    def error_body(self, error: HubError) -> dict[str, Any]:
        """The JSON that front ends show: they know `message` and `reason`; `code` is for programs."""
        # Jupyter's clients and people's scripts look for this very word.
        message = "Forbidden" if isinstance(error, NotSignedIn) else error.message
        body = {"message": message, "reason": None, "code": error.code, "request_id": self.request_id}
        return {**body, "traceback": ""} if error.status >= 500 else body

    def _as_shown(self, status: int) -> HubError:
        if status >= 500:
            message = f"Something went wrong in the hub. Its administrators need this number: {self.request_id}"
        else:
            message = responses.get(status, "Refused")
            message = "There is nothing at this address." if status == 404 else message
        shown = HubError(message)
        shown.status = status
        return shown

    def _write_error_page(self, error: HubError) -> None:
        if isinstance(error, NotSignedIn) and self.request.method in {"GET", "HEAD"}:
            uri = self.request.uri or "/"
            wanted = f"?next={quote(uri, safe='/')}" if is_local(uri) and uri != "/" else ""
            self.redirect(f"/hub/login{wanted}")
            return
        is_asked_by_page = self.request.method in {"GET", "HEAD"} and is_navigation(self.request.headers)
        if isinstance(error, PresenceRequired) and is_asked_by_page:
            uri = self.request.uri or "/"
            self.redirect("/hub/confirm" + (f"?next={quote(uri, safe='/')}" if is_local(uri) else ""))
            return
        render = self.application.settings.get("error_page")
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(render(self, error) if render else f"<!doctype html><title>{error.status}</title>")

    def _handle_request_exception(self, e: BaseException) -> None:
        if isinstance(e, HubError):
            metrics.observe_refusal(e.code)
            self.log_exception(type(e), e, e.__traceback__)
            if not self._finished:
                self.send_error(e.status, exc_info=(type(e), e, e.__traceback__))
            return
        super()._handle_request_exception(e)

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        """Log causes, never the query, headers or body; what the asker did wrong is no error of ours."""
        if isinstance(value, tornado.iostream.StreamClosedError):
            return
        status: int = getattr(value, "status", 0) or getattr(value, "status_code", 500)
        summary = self._request_summary()
        if status >= 500:
            expected = isinstance(value, HubError) and value.__cause__ is None
            cause = None if expected else value
            log.error("%s failed, request=%s: %s", summary, self.request_id, value, exc_info=cause)
        elif isinstance(value, HubError):
            log.debug("%s refused, request=%s: %s", summary, self.request_id, value.code)

    def _request_summary(self) -> str:
        return f"{printable(self.request.method or '', 16)} {shown_path(self.request.path)}"

    def compute_etag(self) -> None:
        """No ETags: front ends put a time on every GET, so one would never match, and hashing costs."""

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Refuse bodies in pieces; a handler that streams overrides this."""
        raise NotImplementedError


class NothingHere(HubHandler):
    """Addresses that no route knows."""

    access = Access.PUBLIC

    async def prepare(self) -> None:
        """Answer 404 whatever the method."""
        await super().prepare()
        raise tornado.web.HTTPError(404)

    def check_meant(self) -> None:
        """Nothing is changed here."""
