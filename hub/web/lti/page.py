"""The base of the pages that platforms show: in their frames or in tabs, to people whom no cookie identifies yet."""

from __future__ import annotations

from typing import Any

import tornado.web

from hub.auth.cookies import read_cookie
from hub.auth.lti.assemble import Lti
from hub.auth.lti.fetching import origin_of
from hub.auth.lti.tool import Tool
from hub.config import Settings
from hub.domain.lti import Platform
from hub.errors import HubError, NotFound, RequestForged
from hub.http.csrf import is_same_host
from hub.http.handler import Access
from hub.http.headers import PAGE_POLICY
from hub.web.page import PageHandler
from hub.web.rendering import render

MAX_FORM_BYTES = 128 * 1024
COOKIE_SECONDS = 600


class LtiPage(PageHandler):
    """A page on the way from a platform. It knows people by what its forms carry, never by a cookie of theirs."""

    access = Access.PUBLIC
    csrf_exempt = True
    frame_origins: tuple[str, ...] = ()
    form_target = "'self'"

    @property
    def lti(self) -> Lti:
        """Everything of learning platforms."""
        return self.services.lti

    @property
    def tool(self) -> Tool:
        """What this hub is to platforms."""
        return Tool(self.absolute(""), self.lti.settings.tool_name)

    @classmethod
    def body_limit(cls, settings: Settings) -> int:
        """An id_token, or what somebody chose."""
        return MAX_FORM_BYTES

    async def prepare(self) -> None:
        """See HubHandler; and nothing is here while learning platforms are not enabled."""
        await super().prepare()
        if not self.lti.settings.enabled:
            raise NotFound("This hub takes nobody from learning platforms.")

    async def _identify(self) -> None:
        """Nobody: a cookie that came along from another site's page means nothing here."""

    def content_security_policy(self) -> str:
        """In the frames of the platform that is concerned, and in nobody else's; see `allow_frames`."""
        ancestors = " ".join(self.frame_origins) or "'none'"
        policy = PAGE_POLICY.replace("frame-ancestors 'none'", f"frame-ancestors {ancestors}")
        return policy.replace("form-action 'self'", f"form-action {self.form_target}")

    def _write_error_page(self, error: HubError) -> None:
        """As every error page, but without links that would be shown in no frame."""
        heading = "Please try again" if error.status >= 500 else "This did not work"
        self.set_header("Content-Type", "text/html; charset=utf-8")
        values = {"status": error.status, "message": error.message, "request_id": self.request_id}
        self.finish(render("lti_refused.html", heading=heading, **values))

    def allow_frames(self, platform: Platform | None, *addresses: str) -> None:
        """Let the pages of a platform show this answer in a frame; `addresses` are further ones of it."""
        own = (platform.issuer, platform.authorize_url, *platform.frame_origins) if platform else ()
        found = (origin_of(address) for address in (*own, *addresses))
        self.frame_origins = tuple(dict.fromkeys(origin for origin in found if origin))
        self.set_header("Content-Security-Policy", self.content_security_policy())

    def is_framed(self) -> bool:
        """Whether the answer may be shown in a frame: a browser that does not say so counts as one that does."""
        return self.request.headers.get("Sec-Fetch-Dest") != "document"

    def require_own_form(self) -> None:
        """Raise RequestForged unless a page of ours sent this: no other site may carry somebody's code here."""
        site, origin = self.request.headers.get("Sec-Fetch-Site"), self.request.headers.get("Origin", "")
        if site not in (None, "same-origin") or not is_same_host(origin, self.request.headers.get("Host", "")):
            raise RequestForged("This request came from another site and was refused.")

    def sent(self, name: str, max_chars: int = MAX_FORM_BYTES) -> str:
        """What a platform sent, in the form or in the query; "" if it is absent, given twice, or too long."""
        values = self.get_body_arguments(name, strip=False) or self.get_query_arguments(name, strip=False)
        return values[0] if len(values) == 1 and len(values[0]) <= max_chars else ""

    def browser_cookie(self) -> str | None:
        """The secret that binds launches to this browser."""
        return read_cookie(self.request.headers.get("Cookie", ""), self._cookie_name())

    def set_browser_cookie(self, secret: str) -> None:
        """Set it so that it comes back from another site's frame; kept apart by site (CHIPS), and for minutes only.

        Without https there are no such cookies: then launches work in tabs only.
        """
        flags = f"; Path=/; HttpOnly; Max-Age={COOKIE_SECONDS}"
        if self.services.settings.secure_cookies:
            flags += "; Secure; SameSite=None; Partitioned"
        self.add_header("Set-Cookie", f"{self._cookie_name()}={secret}{flags}")

    def _cookie_name(self) -> str:
        return "__Host-kernelhub-lti" if self.services.settings.secure_cookies else "kernelhub-lti"

    def redirect_outside(self, address: str) -> None:
        """Redirect to a platform, at an address that an administrator entered."""
        tornado.web.RequestHandler.redirect(self, address)

    def common_values(self) -> dict[str, Any]:
        """See PageHandler; `framed`: without the hub's navigation, whose pages are shown in no frame."""
        return {**super().common_values(), "framed": self.is_framed()}
