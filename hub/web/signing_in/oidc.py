"""Signing in by a provider: to it, back from it, and its own word that somebody has signed out there.

To a provider leads a link, never a form: browsers apply `form-action` to where a form's answer leads, too. Where
something must be meant (linking, proving presence), the form's answer is a page that leads on by itself.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar
from urllib.parse import quote

import tornado.web

from hub import metrics
from hub.auth.arrivals import Assertion
from hub.auth.cookies import cookie_flags, form_cookie_name
from hub.auth.digests import new_secret
from hub.auth.oidc.service import Purpose, Return
from hub.domain.ids import SignInId
from hub.domain.scopes import Scope
from hub.domain.users import User
from hub.errors import BadRequest, Forbidden, HubError, LinkExpired, NotAdmitted, PresenceRequired
from hub.http.handler import Access, HubHandler
from hub.http.redirect import safe_redirect
from hub.web.page import PageHandler, PublicPage, lab_path

SECURITY_PAGE = "/hub/account/security"
MAX_FORM_BYTES = 128 * 1024
_ANSWER_FIELDS = ("state", "code", "iss", "error")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9-]")


class _ProviderPage(PublicPage):
    """A page on the way to a provider or back."""

    _given: str | None = None

    def browser_secret(self) -> str:
        """The secret of this browser's own cookie, which it is given if it has none."""
        cookie, secure = self._form_cookie(), self.services.settings.secure_cookies
        if not cookie:
            self._given = cookie = new_secret()
            self.set_cookie(form_cookie_name(secure), cookie, **cookie_flags(secure))
        return cookie

    def _form_cookie(self) -> str | None:
        return self._given or super()._form_cookie()

    def callback(self, name: str) -> str:
        """Where the provider sends people back to, exactly as it must know it."""
        return self.absolute(f"/hub/oauth/{name}/callback")

    def require_navigation(self) -> None:
        """Refuse scripts of our own origin, such as a notebook's, where the browser tells them from navigations."""
        mode = self.request.headers.get("Sec-Fetch-Mode", "navigate")
        if mode != "navigate" or self.request.headers.get("Sec-Fetch-Dest", "document") != "document":
            raise Forbidden("This address is for browsers' windows, not for scripts.")

    def redirect_outside(self, address: str) -> None:
        """Redirect to a provider, whose address the settings or its own announcement gave."""
        tornado.web.RequestHandler.redirect(self, address)


class StartSignIn(_ProviderPage):
    """``/hub/oauth/<provider>/start``."""

    async def get(self, name: str) -> None:
        """Send the browser to the provider; `next` says where to go afterwards."""
        self.require_navigation()
        wanted = safe_redirect(self.get_query_argument("next", ""), "")
        address = await self.services.providers.start(
            name,
            self.browser_secret(),
            self.callback(name),
            purpose=Purpose.SIGN_IN,
            next=wanted,
            other_account=self.get_query_argument("account", "") == "other",
        )
        self.redirect_outside(address)


class _StartMeant(_ProviderPage):
    """Base of starts by somebody who is signed in; their form carries the token of the sign-in or the presence."""

    access = Access.SIGNED_IN
    permission = Scope.SELF
    purpose: ClassVar[Purpose]

    def expected_form_token(self) -> str:
        """That of the sign-in, not that of the cookie for people who are not signed in."""
        return HubHandler.expected_form_token(self)

    async def post(self, name: str) -> None:
        """Show a page that leads to the provider."""
        wanted = safe_redirect(self.field("next", 8192), "")
        address = await self.services.providers.start(
            name,
            self.browser_secret(),
            self.callback(name),
            purpose=self.purpose,
            next=wanted,
            user=self.identity.user,
        )
        self.show("leaving.html", address=address, provider=self.services.providers.shown_name(name))


class StartLink(_StartMeant):
    """``/hub/oauth/<provider>/link``: from now on, let me come by this provider, too.

    It needs presence: a script that could link its maker's identity to somebody's account would own it for good.
    """

    purpose = Purpose.LINK
    needs_presence = True


class StartPresence(_StartMeant):
    """``/hub/oauth/<provider>/confirm``: let the provider say that it is me who sits here."""

    purpose = Purpose.PRESENCE


class Unlink(PageHandler):
    """``/hub/oauth/unlink``: a provider's identity is not to lead to this account any more."""

    permission = Scope.SELF
    needs_presence = True

    async def post(self) -> None:
        """Forget it, unless it is the only way in."""
        user = self.identity.user
        issuer, subject = self.field("issuer"), self.field("subject")
        await self.services.arrivals.unlink(user, issuer, subject, user.id, self.address)
        self.redirect(SECURITY_PAGE)


class Callback(_ProviderPage):
    """``/hub/oauth/<provider>/callback``: back from the provider. The address counts once, in this browser only."""

    async def get(self, name: str) -> None:
        """End what was begun."""
        self.require_navigation()
        answer = {field: self.get_query_argument(field) for field in _ANSWER_FIELDS if field in self.request.arguments}
        if any(len(self.get_query_arguments(field)) > 1 for field in answer):
            raise BadRequest("The provider's answer has a field twice.")
        try:
            back = await self.services.providers.finish(name, self._form_cookie(), answer, self.address)
        except NotAdmitted as error:
            self._show_refusal(name, error)
            return
        match back.purpose:
            case Purpose.SIGN_IN:
                await self._sign_in(name, back)
            case Purpose.LINK:
                await self._link(self._same_user(back), back.assertion)
                self.redirect(safe_redirect(back.next, SECURITY_PAGE))
            case Purpose.PRESENCE:
                await self._prove(self._same_user(back), back.assertion)
                self.redirect(safe_redirect(back.next, "/hub/home"))

    async def _sign_in(self, name: str, back: Return) -> None:
        try:
            user = await self.services.arrivals.arrive(back.assertion, self.address, may_be_new=back.may_be_new)
        except NotAdmitted as error:
            self._show_refusal(name, error)
            return
        await self.begin_sign_in(user, back.assertion)
        self.redirect(safe_redirect(back.next, lab_path(user)))

    def _show_refusal(self, name: str, error: NotAdmitted) -> None:
        """Why not, and a way on: the provider would name the same account again without asking."""
        metrics.observe_refusal(error.code)
        shown = self.services.providers.shown_name(name)
        self.show(
            "provider_refused.html",
            error.status,
            message=error.message,
            name=name,
            provider=shown,
            request_id=self.request_id,
        )

    async def _link(self, user: User, assertion: Assertion) -> None:
        if not self.identity.sits_there:
            raise PresenceRequired("That it is you was confirmed too long ago. Confirm it and link once more.")
        await self.services.arrivals.link(user, assertion, self.address)

    async def _prove(self, user: User, assertion: Assertion) -> None:
        mine = await self.services.arrivals.identities_of(user)
        if (assertion.issuer, assertion.subject) not in {(known.issuer, known.subject) for known in mine}:
            raise NotAdmitted(
                f"That was another account's sign-in. Sign in there as {user.name} to confirm that it is you."
            )
        await self.prove_presence(f"provider:{assertion.provider}")

    def _same_user(self, back: Return) -> User:
        if self.found_identity is None:
            raise LinkExpired("Your sign-in has ended meanwhile. Nothing was changed; please sign in again.")
        if self.identity.user.id != back.user_id:
            raise NotAdmitted("You are signed in as somebody else by now. Nothing was changed; please begin anew.")
        return self.identity.user


class SignedOutThere(PublicPage):
    """``/hub/oauth/<provider>/logout``: the provider sends the browser here when it has signed somebody out."""

    def get(self, name: str) -> None:
        """There is nothing left to do: the hub's own sign-in ended before."""
        self.redirect("/hub/login?signed_out=1")


class BackchannelLogout(HubHandler):
    """``/hub/oauth/<provider>/backchannel``: the provider's server says whose session has ended there.

    What it says is signed, so it needs no cookie and no form token (OpenID Connect Back-Channel Logout 1.0).
    """

    access = Access.PUBLIC
    page = False
    csrf_exempt = True

    @classmethod
    def body_limit(cls, settings: Any) -> int:
        """One signed message."""
        return MAX_FORM_BYTES

    async def post(self, name: str) -> None:
        """End the sign-ins that it is about; proxies close their sockets within seconds."""
        tokens = self.get_body_arguments("logout_token", strip=False)
        if len(tokens) != 1:
            raise BadRequest("One logout_token is expected.")
        issuer, subject, sid = await self.services.providers.logout_notice(name, tokens[0])
        await self.services.sign_ins.revoke_provided(issuer, subject, sid, self.address)
        self.set_status(200)
        self.finish()

    def error_body(self, error: HubError) -> dict[str, Any]:
        """As the specification wants it (2.8)."""
        return {**super().error_body(error), "error": "invalid_request", "error_description": error.message}


async def provider_logout_address(handler: PageHandler, sign_in_id: SignInId) -> str | None:
    """Where to send this browser after its sign-in ended here, so that it ends at its provider, too; None: nowhere.

    To be asked before the sign-in is revoked; show ``leaving.html`` with it.
    """
    sign_in = await handler.services.sign_ins.get(sign_in_id)
    name = _NOT_IN_NAMES.sub("", sign_in.provider or "")
    back = handler.absolute(f"/hub/oauth/{name}/logout")
    return await handler.services.providers.logout_address(sign_in, back)


def start_path(name: str, wanted: str = "") -> str:
    """Where a link "Sign in with …" leads; `wanted` is a path that safe_redirect let pass."""
    return f"/hub/oauth/{name}/start" + (f"?next={quote(wanted, safe='')}" if wanted else "")
