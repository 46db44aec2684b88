"""``/hub/account/security``: a user's second factors, and by which providers they come.

All of it needs presence: a script that could add a passkey of its own would own the account for good.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from hub.auth.second_factors import AppSetup
from hub.domain.scopes import Scope
from hub.errors import BadRequest, Conflict, HubError, NotFound, WrongPassword
from hub.store.second_factors import FactorKind
from hub.web.page import PageHandler

_DONE = {
    "added": "The second factor was added. From now on you are asked for it when you sign in with your password.",
    "removed": "The second factor was removed.",
    "renamed": "The name was changed.",
}


class SecurityPage(PageHandler):
    """What there is, and forms to change it."""

    active = "security"
    permission = Scope.SELF
    needs_presence = True

    @property
    def site(self) -> str:
        """The origin by which browsers know this hub."""
        return self.absolute("")

    async def get(self) -> None:
        """Show it."""
        await self.show_security(done=_DONE.get(self.get_query_argument("done", ""), ""))

    async def show_security(self, done: str = "", error: HubError | None = None) -> None:
        """The page, with what was done or what was wrong with a form."""
        user, services = self.identity.user, self.services
        factors, offers = await services.second_factors.of(user), services.providers.offers()
        recovery = [factor for factor in factors if factor.kind is FactorKind.RECOVERY]
        self.show(
            "security.html",
            error.status if error else 200,
            done=done,
            problem=error.message if error else "",
            factors=[factor for factor in factors if factor.kind is not FactorKind.RECOVERY],
            codes_left=sum(len(factor.data["digests"]) for factor in recovery),
            has_codes=bool(recovery),
            has_password=await services.passwords.has_one(user),
            must_have_one=await services.second_factors.must_have_one(user),
            identities=await services.arrivals.identities_of(user),
            providers=offers,
            provider_names={offer.name: offer.shown_name for offer in offers},
        )

    async def added(self, had_one: bool) -> None:
        """Lead back; with the first one come recovery codes, which are shown once."""
        if had_one:
            self.redirect("/hub/account/security?done=added")
            return
        codes = await self.services.second_factors.new_recovery_codes(self.identity.user, self.address)
        self.show("recovery_codes.html", codes=codes, next="/hub/account/security?done=added")


class AddApp(SecurityPage):
    """``/hub/account/security/app``: an authenticator app."""

    async def get(self) -> None:
        """Show what to scan."""
        self._show()

    async def post(self) -> None:
        """Keep it, if the code is the app's."""
        user, factors = self.identity.user, self.services.second_factors
        had_one = await factors.has_one(user)
        code, name, state = self.field("code", 64), self.field("name", 64), self.field("state", 4096)
        try:
            await factors.add_app(user, state, code, name, self.address)
        except (WrongPassword, BadRequest, Conflict) as error:
            self._show(error)
            return
        await self.added(had_one)

    def _show(self, error: HubError | None = None) -> None:
        self.show(
            "add_app.html",
            error.status if error else 200,
            problem=error.message if error else "",
            setup=self._setup(),
        )

    def _setup(self) -> AppSetup:
        factors, user, host = self.services.second_factors, self.identity.user, urlsplit(self.site).hostname or "hub"
        try:
            return factors.continue_app(user, host, self.field("state", 4096))
        except BadRequest:
            return factors.begin_app(user, host)


class AddPasskey(SecurityPage):
    """``/hub/account/security/passkey``."""

    async def get(self) -> None:
        """The form is on the page above."""
        self.redirect("/hub/account/security")

    async def post(self) -> None:
        """Keep the passkey that the browser has made."""
        user, factors = self.identity.user, self.services.second_factors
        had_one = await factors.has_one(user)
        answer, state = self.field("credential", 32 * 1024), self.field("state", 4096)
        try:
            await factors.add_passkey(user, self.site, answer, state, self.field("name", 64), self.address)
        except (WrongPassword, BadRequest, Conflict) as error:
            await self.show_security(error=error)
            return
        await self.added(had_one)


class NewRecoveryCodes(SecurityPage):
    """``/hub/account/security/codes``."""

    async def get(self) -> None:
        """The form is on the page above."""
        self.redirect("/hub/account/security")

    async def post(self) -> None:
        """Make ten codes, in place of those that there were."""
        user, factors = self.identity.user, self.services.second_factors
        if not await factors.has_one(user):
            await self.show_security(error=Conflict("Recovery codes stand in for a second factor; add one first."))
            return
        codes = await factors.new_recovery_codes(user, self.address)
        self.show("recovery_codes.html", codes=codes, next="/hub/account/security")


class ChangeFactor(SecurityPage):
    """``/hub/account/security/<id>/(rename|remove)``."""

    async def get(self, *_args: str) -> None:
        """The forms are on the page above."""
        self.redirect("/hub/account/security")

    async def post(self, factor_id: str, action: str) -> None:
        """Do it; a refusal is shown on the page."""
        user, factors = self.identity.user, self.services.second_factors
        try:
            if action == "rename":
                await factors.rename(user, factor_id, self.field("name", 64))
            else:
                await factors.remove(user, factor_id, self.address)
        except (BadRequest, Conflict, NotFound) as error:
            await self.show_security(error=error)
            return
        self.redirect(f"/hub/account/security?done={'renamed' if action == 'rename' else 'removed'}")
