"""The base of the hub's pages: rendering, form tokens, and what a form's fields may hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from hub.auth.arrivals import Assertion
from hub.auth.cookies import cookie_flags, form_cookie_name, form_token, read_cookie, sign_in_cookie_name
from hub.auth.digests import new_secret
from hub.auth.identity import Identity
from hub.config import Settings
from hub.config.announcement import Announcement
from hub.domain.ids import SignInId
from hub.domain.scopes import Scope
from hub.domain.users import User
from hub.errors import HubError
from hub.http.csrf import SAFE_METHODS
from hub.http.handler import USERS_PREFIX, Access, HubHandler
from hub.http.services import Services
from hub.web.navigation import entries_for
from hub.web.notices import NO_NOTICES, Notices, notices_of
from hub.web.rendering import render

MAX_FIELD_CHARS = 2048


class PageHandler(HubHandler):
    """A page of the hub for people who are signed in."""

    access = Access.SIGNED_IN
    permission: ClassVar[Scope | Mapping[str, Scope] | None] = Scope.SELF
    page = True
    active: ClassVar[str] = ""
    """Which entry of the navigation this page belongs to."""

    notices: Notices = NO_NOTICES
    waiting: int | None = None
    """How many people have asked for an account; None where it is not this person's business."""

    async def prepare(self) -> None:
        """See HubHandler; pages also show what their user must be told."""
        await super().prepare()
        if self.found_identity is not None and self.shows_pages() and self.request.method in SAFE_METHODS:
            self.notices = await notices_of(self.services, self.found_identity.user)
            self.waiting = await _waiting(self.services, self.found_identity)

    def show(self, template: str, status: int = 200, **values: Any) -> None:
        """Answer with a page; the templates' common values are added."""
        self.set_status(status)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(render(template, **self.common_values(), **values))

    def common_values(self) -> dict[str, Any]:
        """What the frame of every page shows."""
        identity = self.found_identity
        return {
            "user": identity.user if identity is not None else None,
            "is_admin": identity is not None and identity.with_presence().is_admin,
            "xsrf": page_token(self, identity),
            "presence": identity is not None and identity.present,
            "warning": self.services.warning,
            "now": self.services.clock.now(),
            "active": self.active,
            "notices": self.notices,
            "announcements": self.announcements(),
            "navigation": entries_for(identity, self.waiting),
        }

    def announcements(self) -> tuple[Announcement, ...]:
        """What administrators tell everybody, or a group of this user."""
        user = self.found_identity.user if self.found_identity is not None else None
        return self.services.running.current.announcements_for(user, self.services.clock.now())

    def field(self, name: str, max_chars: int = MAX_FIELD_CHARS) -> str:
        """A form field's text, empty if it is absent, cut to `max_chars`; not stripped."""
        return self.get_body_argument(name, "", strip=False)[:max_chars]

    def absolute(self, path: str) -> str:
        """The address of a path of this hub as browsers reach it, to be given to people."""
        origin = self.services.settings.public_url or f"{self.scheme}://{self.request.host}"
        return origin.rstrip("/") + path

    async def begin_sign_in(
        self, user: User, assertion: Assertion | None = None, *, proves_presence: bool = False
    ) -> None:
        """Sign this browser in: a fresh cookie in place of whatever it sent. Starts the workspace if so set.

        `assertion`: what the provider said that signed the user in, None for a password of the hub. `proves_presence`:
        that they came just now proves presence of who has no password to prove it with, as from a learning platform.
        """
        settings, sign_ins = self.services.settings, self.services.sign_ins
        name = sign_in_cookie_name(settings.secure_cookies)
        before = read_cookie(self.request.headers.get("Cookie", ""), name)
        agent = self.request.headers.get("User-Agent", "")
        sign_in, secret = await sign_ins.create(user, self.address, agent, replaces=before, assertion=assertion)
        lifetime = int(sign_ins.longest.total_seconds())
        self.set_cookie(name, secret, max_age=lifetime, **cookie_flags(settings.secure_cookies))
        if proves_presence and assertion is not None and not await self.services.passwords.has_one(user):
            await self.services.presence.prove(user, sign_in.id, f"provider:{assertion.provider}", self.address)
        if settings.start_workspace == "sign-in":
            self.services.workspaces.ensure_soon(user)

    async def prove_presence(self, how: str) -> None:
        """Remember that the user has just proven to sit at this browser: by a ``password``, a ``passkey``.

        The cookie gets a fresh secret: whoever has the old one has proven nothing.
        """
        identity = self.identity
        await self.services.presence.prove(identity.user, SignInId(identity.principal), how, self.address)
        await self.rotate_cookie()

    def end_sign_in_here(self) -> None:
        """Make this browser forget its cookies."""
        secure = self.services.settings.secure_cookies
        for name in (sign_in_cookie_name(secure), form_cookie_name(secure)):
            self.clear_cookie(name, path="/", secure=secure)
        if self.found_identity is not None:
            self.clear_cookie("_xsrf", path=lab_path(self.identity.user).removesuffix("lab"))

    @classmethod
    def body_limit(cls, settings: Settings) -> int:
        """Forms are small."""
        return 64 * 1024


class PublicPage(PageHandler):
    """A page for people who are not signed in; its form's token is bound to a cookie of its own."""

    access = Access.PUBLIC

    def expected_form_token(self) -> str:
        """See HubHandler; bound to the form cookie, whoever may be signed in."""
        cookie = self._form_cookie()
        return form_token(cookie) if cookie else ""

    def common_values(self) -> dict[str, Any]:
        """See PageHandler; gives the browser a form cookie if it has none."""
        cookie, secure = self._form_cookie(), self.services.settings.secure_cookies
        if not cookie:
            cookie = new_secret()
            self.set_cookie(form_cookie_name(secure), cookie, **cookie_flags(secure))
        # Without navigation, whoever is signed in: its forms would need the other token.
        values = {"user": None, "xsrf": form_token(cookie), "notices": NO_NOTICES, "navigation": entries_for(None)}
        return {**super().common_values(), **values}

    def _form_cookie(self) -> str | None:
        name = form_cookie_name(self.services.settings.secure_cookies)
        return read_cookie(self.request.headers.get("Cookie", ""), name)


async def _waiting(services: Services, identity: Identity) -> int | None:
    if not identity.could(Scope.ADMIN_USERS):
        return None
    count = await services.registrations.count()
    return count if count or services.registrations.rule == "approval" else None


def page_token(handler: HubHandler, identity: Identity | None) -> str:
    """What the forms of an answer carry: the presence's token where it is proven, else that of the sign-in.

    Pages under a user's own addresses never hold the former: scripts of notebooks may read them.
    """
    if identity is None:
        return ""
    private = identity.present and not handler.request.path.startswith(USERS_PREFIX)
    return identity.presence if private and identity.presence else identity.xsrf


def lab_path(user: User) -> str:
    """Where the user's JupyterLab is."""
    return f"/user/{quote(user.name, safe='@+')}/lab"


def error_page(handler: HubHandler, error: HubError) -> str:
    """The page for an error: what happened and where to go, never what is inside."""
    identity = handler.found_identity
    return render(
        "error.html",
        user=identity.user if identity is not None else None,
        is_admin=identity is not None and identity.with_presence().is_admin,
        xsrf=page_token(handler, identity),
        presence=identity is not None and identity.present,
        warning=handler.services.warning,
        now=handler.services.clock.now(),
        active="",
        notices=NO_NOTICES,
        navigation=entries_for(identity),
        status=error.status,
        message=error.message,
        request_id=handler.request_id,
    )
