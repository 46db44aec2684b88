"""The base of the REST API: JSON in and out, who is meant by a name, pages of lists, rates, repeated requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlencode

import tornado.web

from hub.auth.identity import Credential
from hub.auth.presence import is_navigation
from hub.domain.users import Group, User
from hub.errors import BadRequest, HubError, MethodNotAllowed, NotFound, UnsupportedMedia
from hub.http.csrf import SAFE_METHODS, check_token
from hub.http.handler import Access, HubHandler
from hub.http.rate_limit import Standing, address_key
from hub.web.api.idempotency import Kept
from hub.web.api.limits import ApiLimits
from hub.web.api.models import Page, Pagination

PAGED = "application/jupyterhub-pagination+json"
DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_OFFSET = 10**9
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_CURLS_TYPES = frozenset({"application/x-www-form-urlencoded", "text/plain"})
"""What programs declare that mean JSON and do not say so, ``curl -d`` for one."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Which part of a list is asked for."""

    offset: int
    limit: int


class ApiHandler(HubHandler):
    """Base of the API. What each method takes is in `permission`; the OpenAPI file says the same."""

    access = Access.SIGNED_IN
    page = False
    repeatable: ClassVar[bool] = False
    """Whether POSTs with an ``Idempotency-Key`` that come again are answered as before."""

    _standing: Standing | None = None
    _kept: Kept | None = None

    # -- who and what is meant ----------------------------------------------------------------------------

    @property
    def user(self) -> User:
        """The user whom the address names, whom the asker may know of (`Over.USER`). Raises NotFound."""
        if self.found_user is None:
            raise NotFound("There is no such user.")
        return self.found_user

    @property
    def group(self) -> Group:
        """The group that the address names, which the asker may know of (`Over.GROUP`). Raises NotFound."""
        if self.found_group is None:
            raise NotFound("There is no such group.")
        return self.found_group

    def check_meant(self) -> None:
        """See HubHandler; what a browser's script reads by the cookie must carry a form token as well.

        Diagrams in outputs that nobody trusted load data from any address of this origin (Vega's loader), and can tell
        it to other sites in the addresses of pictures. They cannot know the token; the front ends' scripts do.
        """
        super().check_meant()
        identity, headers = self.found_identity, self.request.headers
        if identity is None or identity.credential is not Credential.COOKIE or identity.present:
            return
        if self.access is Access.PUBLIC or "Sec-Fetch-Mode" not in headers or is_navigation(headers):
            return
        if self.request.method in SAFE_METHODS:
            check_token(self.expected_form_token(), headers.get("X-XSRFToken"))

    # -- lists --------------------------------------------------------------------------------------------

    def slice(self) -> Slice:
        """The query's `offset` and `limit`. Raises BadRequest."""
        limit = max(1, self.number("limit", DEFAULT_LIMIT, MAX_LIMIT))
        return Slice(self.number("offset", 0, MAX_OFFSET), limit)

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number of the query, at most `most`. Raises BadRequest."""
        text = self.get_query_argument(name, "")
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 12):
            raise BadRequest(f"{name} must be a number.")
        return min(int(text), most)

    def flag(self, name: str) -> bool:
        """A yes or no of the query, absent for no. Raises BadRequest."""
        text = self.get_query_argument(name, "false").lower()
        if text not in {"", "1", "0", "true", "false"}:
            raise BadRequest(f"{name} must be true or false.")
        return text in {"", "1", "true"}

    def write_page(self, items: Sequence[Any], part: Slice, total: int, **query: str) -> None:
        """A part of a list: alone, or with `_pagination` for those who accept JupyterHub's pages.

        `query`: what else the next page's address has to say; empty texts are left out.
        """
        if PAGED not in self.request.headers.get("Accept", ""):
            self.write_json(items)
            return
        after = part.offset + part.limit
        following: dict[str, int | str] | None = None
        if after < total:
            origin = self.services.settings.public_url or f"{self.scheme}://{self.request.host}"
            kept = {name: value for name, value in query.items() if value}
            address = (
                f"{origin.rstrip('/')}{self.request.path}?{urlencode({'offset': after, 'limit': part.limit, **kept})}"
            )
            following = {"offset": after, "limit": part.limit, "url": address}
        self.write_json(Page(items, Pagination(part.offset, part.limit, total, following)))

    # -- the machinery ------------------------------------------------------------------------------------

    @property
    def limits(self) -> ApiLimits:
        """The rate limits of this hub's API; made with the first request."""
        known = self.application.settings.get("api_limits")
        if known is None:
            known = ApiLimits(self.services.settings.rate_limits, self.services.clock)
            self.application.settings["api_limits"] = known
        limits: ApiLimits = known
        return limits

    @classmethod
    def methods(cls) -> list[str]:
        """The methods that this handler implements."""
        return [method for method in _METHODS if _implements(cls, method)]

    async def prepare(self) -> None:
        """See HubHandler; before it the method, after it the body's type and whether it was answered before."""
        method = self.request.method or ""
        if method not in {"OPTIONS", *self.methods()} and not (method == "HEAD" and "GET" in self.methods()):
            self._begin()
            raise MethodNotAllowed(f"This address knows {', '.join(self.methods())}, not {method[:16]}.")
        await super().prepare()
        if self._finished or method == "OPTIONS":
            return
        self._check_type()
        if method == "POST" and self.repeatable and self.found_identity is not None:
            self._kept = self.limits.answers.begin(self.identity.principal, self.request)
            if self._kept is not None and self._kept.answer is not None:
                status, body = self._kept.answer
                self.set_header("Idempotency-Replayed", "true")
                self._kept = None
                self.write_json_bytes(body, status)

    def write_json_bytes(self, body: bytes, status: int) -> None:
        """Answer JSON that is encoded already."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(body)

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> Any:
        """See tornado; what was answered to a request that may come again is kept."""
        if self._kept is not None:
            self.limits.answers.end(self._kept, self.get_status(), chunk if isinstance(chunk, bytes) else b"")
            self._kept = None
        return super().finish(chunk)

    def options(self, *_args: str) -> None:
        """See HubHandler; names only what there is."""
        super().options(*_args)
        self.set_header("Allow", ", ".join([*self.methods(), "OPTIONS"]))

    def set_default_headers(self) -> None:
        """See HubHandler; and how the asker stands with their limit, refusals included."""
        super().set_default_headers()
        for name, value in self._standing.headers().items() if self._standing is not None else ():
            self.set_header(name, value)
        if self.request.method not in {"OPTIONS", *self.methods()}:
            self.set_header("Allow", ", ".join([*self.methods(), "OPTIONS"]))

    def error_body(self, error: HubError) -> dict[str, Any]:
        """As everywhere, and `status`, which JupyterHub's clients read."""
        return {"status": error.status, **super().error_body(error)}

    async def _identify(self) -> None:
        """See HubHandler; counts the request, first by its address and then by who sends it."""
        self._standing = self.limits.by_address.standing_when_refused()
        self._standing = self.limits.by_address.take(address_key(self.address))
        await super()._identify()
        if self.found_identity is not None:
            self._standing = self.limits.requests.standing_when_refused()
            self._standing = self.limits.requests.take(self.found_identity.principal)
        if self._standing is not None:
            for name, value in self._standing.headers().items():
                self.set_header(name, value)

    def _check_type(self) -> None:
        """Raise UnsupportedMedia for a body that does not say that it is JSON, where it might be something else."""
        if not self.request.body:
            return
        sent = self.request.headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()
        by_cookie = self.found_identity is not None and self.found_identity.credential is Credential.COOKIE
        if sent != "application/json" and (by_cookie or sent not in _CURLS_TYPES):
            raise UnsupportedMedia("The body must be sent as application/json.")


def _implements(handler: type[tornado.web.RequestHandler], method: str) -> bool:
    return getattr(handler, method.lower()) is not getattr(HubHandler, method.lower())
