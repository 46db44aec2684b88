"""After the password: the second factor, or setting one up where the settings want one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from hub.auth.arrivals import is_barred
from hub.auth.cookies import attempt_cookie_name, cookie_flags, read_cookie
from hub.auth.digests import MAX_SECRET_CHARS, digest_of, new_secret
from hub.auth.second_factors import AppSetup
from hub.domain.ids import UserId
from hub.domain.users import User
from hub.errors import BadRequest, Conflict, Forbidden, HubError, NotSignedIn, TooManyRequests, WrongPassword
from hub.http.redirect import safe_redirect
from hub.store.second_factors import FactorKind
from hub.store.sign_in_attempts import SignInAttempt
from hub.web.page import PublicPage, lab_path

PURPOSE = "second factor"
LIFETIME = timedelta(minutes=10)
SECOND_PAGE = "/hub/login/second"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Somebody whose password was right a moment ago. `set_up`: they must add a second factor now."""

    digest: bytes
    user: User
    next: str
    set_up: bool


class PasswordDoor(PublicPage):
    """Base of pages where a password was given or set: what comes between it and the sign-in."""

    async def after_password(self, user: User, wanted: str) -> None:
        """Sign in, or lead to the second factor; answers the request."""
        factors = self.services.second_factors
        has_one = await factors.has_one(user)
        if not has_one and not await factors.must_have_one(user):
            await self.begin_sign_in(user)
            self.redirect(safe_redirect(wanted, lab_path(user)))
            return
        now, secret = self.services.clock.now(), new_secret()
        data = {"user": user.id, "next": safe_redirect(wanted, ""), "set_up": not has_one}
        async with self.services.store.unit() as unit:
            await unit.sign_in_attempts.put(digest_of(secret), SignInAttempt(PURPOSE, data, now, now + LIFETIME))
        secure = self.services.settings.secure_cookies
        name, seconds = attempt_cookie_name(secure), int(LIFETIME.total_seconds())
        self.set_cookie(name, secret, max_age=seconds, **cookie_flags(secure))
        self.redirect(SECOND_PAGE)

    @property
    def site(self) -> str:
        """The origin by which browsers know this hub."""
        return self.absolute("")

    @property
    def site_host(self) -> str:
        """The host in it, for people to read."""
        return urlsplit(self.site).hostname or "hub"


class SecondFactorPage(PasswordDoor):
    """``/hub/login/second``."""

    async def get(self) -> None:
        """Show what is asked for."""
        attempt = await self.find_attempt()
        if attempt is None:
            self.redirect("/hub/login")
            return
        await self._show(attempt)

    async def post(self) -> None:
        """Take a code or a passkey's answer; a wrong one shows the form again."""
        attempt = await self.find_attempt()
        if attempt is None:
            self.redirect("/hub/login")
            return
        try:
            await (self._add_first(attempt) if attempt.set_up else self._check(attempt))
        except (WrongPassword, TooManyRequests, BadRequest, Conflict) as error:
            if isinstance(error, TooManyRequests):
                self.set_header("Retry-After", str(error.retry_after_seconds))
            await self._show(attempt, error)
            return
        await self._enter(attempt)

    async def find_attempt(self) -> Attempt | None:
        """The attempt that this browser's cookie belongs to; None when there is none, or it took too long."""
        services = self.services
        name = attempt_cookie_name(services.settings.secure_cookies)
        secret = read_cookie(self.request.headers.get("Cookie", ""), name)
        if secret is None or len(secret) > MAX_SECRET_CHARS:
            return None
        digest = digest_of(secret)
        async with services.store.reading() as unit:
            found = await unit.sign_in_attempts.find(digest, PURPOSE, services.clock.now())
            user = await unit.users.find(UserId(found.data["user"])) if found is not None else None
            changed_at = await unit.passwords.changed_at(user.id) if user is not None else None
        if found is None or user is None or is_barred(user):
            return None
        if changed_at is None or changed_at > found.created_at:
            return None  # begun with a password that counts no more
        if found.data["set_up"] and await services.second_factors.has_one(user):
            return None  # who has one is asked for it, and adds no other without it
        return Attempt(digest, user, found.data["next"], found.data["set_up"])

    async def _check(self, attempt: Attempt) -> None:
        factors, answer = self.services.second_factors, self.field("credential", 32 * 1024)
        if answer:
            state = self.field("state", 4096)
            await factors.check_passkey("second", attempt.user, self.site, answer, state, self.address)
        else:
            await factors.check_code(attempt.user, self.field("code", 64), self.address)

    async def _add_first(self, attempt: Attempt) -> None:
        factors, user, state = self.services.second_factors, attempt.user, self.field("state", 4096)
        if answer := self.field("credential", 32 * 1024):
            await factors.add_passkey(user, self.site, answer, state, self.field("name", 64), self.address)
        else:
            await factors.add_app(user, state, self.field("code", 64), self.field("name", 64), self.address)

    async def _enter(self, attempt: Attempt) -> None:
        services = self.services
        async with services.store.unit() as unit:
            taken = await unit.sign_in_attempts.take(attempt.digest, PURPOSE, services.clock.now())
        if taken is None:
            raise NotSignedIn("This sign-in took too long; begin again.")
        await self.begin_sign_in(attempt.user)
        self.clear_cookie(attempt_cookie_name(services.settings.secure_cookies), path="/")
        target = safe_redirect(attempt.next, lab_path(attempt.user))
        if not attempt.set_up:
            self.redirect(target)
            return
        codes = await services.second_factors.new_recovery_codes(attempt.user, self.address)
        self.show("recovery_codes.html", codes=codes, next=target)

    async def _show(self, attempt: Attempt, error: HubError | None = None) -> None:
        status, problem = (error.status, error.message) if error else (200, "")
        if attempt.set_up:
            setup = self._setup(attempt.user)
            self.show("set_up_factor.html", status, problem=problem, setup=setup, name=attempt.user.name)
            return
        kinds = {factor.kind for factor in await self.services.second_factors.of(attempt.user)}
        has_app, has_passkey = FactorKind.APP in kinds, FactorKind.PASSKEY in kinds
        self.show("second_factor.html", status, problem=problem, has_app=has_app, has_passkey=has_passkey)

    def _setup(self, user: User) -> AppSetup:
        factors = self.services.second_factors
        try:
            return factors.continue_app(user, self.site_host, self.field("state", 4096))
        except BadRequest:
            return factors.begin_app(user, self.site_host)


class PasskeySignIn(PasswordDoor):
    """``/hub/login/passkey``: sign in with a passkey alone; the device has asked for a finger, face or PIN."""

    async def get(self) -> None:
        """The form is on the sign-in page."""
        self.redirect("/hub/login")

    async def post(self) -> None:
        """Sign in whose passkey has answered."""
        if not self.services.settings.password_sign_in:
            raise Forbidden("People sign in by a provider here.")
        factors, wanted = self.services.second_factors, self.field("next", 8192)
        answer, state = self.field("credential", 32 * 1024), self.field("state", 4096)
        user_id = await factors.check_passkey("sign-in", None, self.site, answer, state, self.address)
        async with self.services.store.reading() as unit:
            user = await unit.users.find(user_id)
        if user is None or is_barred(user):
            raise WrongPassword("This account is disabled; ask your administrator.")
        await self.begin_sign_in(user)
        self.redirect(safe_redirect(wanted, lab_path(user)))


class PasskeyQuestion(SecondFactorPage):
    """``/hub/login/passkey-question``: what the browser's script asks a passkey; nothing is kept of it."""

    page = False

    async def get(self) -> None:
        """For ``sign-in``, ``second``, ``presence``, or for a ``new`` passkey."""
        self.write_json(await self._question(self.get_query_argument("for", "")))

    async def post(self) -> None:
        """There is nothing to change."""
        raise BadRequest("Ask with GET.")

    async def _question(self, what: str) -> Any:
        factors = self.services.second_factors
        match what:
            case "sign-in":
                return await factors.ask_passkey("sign-in", None, self.site)
            case "second":
                return await factors.ask_passkey("second", (await self._attempt()).user, self.site)
            case "presence":
                return await factors.ask_passkey("presence", self.identity.user, self.site)
            case "first":
                return await factors.ask_for_passkey((await self._attempt()).user, self.site)
            case "new":
                return await factors.ask_for_passkey(self.identity.user, self.site)
        raise BadRequest("What is the passkey for?")

    async def _attempt(self) -> Attempt:
        attempt = await self.find_attempt()
        if attempt is None:
            raise NotSignedIn("This sign-in took too long; begin again.")
        return attempt
