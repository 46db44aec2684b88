"""``/hub/confirm``: who is signed in proves to sit there, before acting as administrator or changing second factors."""

from __future__ import annotations

from hub.domain.scopes import Scope
from hub.errors import HubError, TooManyRequests, WrongPassword
from hub.http.redirect import safe_redirect
from hub.store.second_factors import FactorKind
from hub.web.page import PageHandler
from hub.web.signing_in.gateway import PROVIDER, gateway_assertion

DEFAULT = "/hub/home"


class ConfirmPage(PageHandler):
    """By password, by a passkey, at a provider, or by a gateway's word."""

    permission = Scope.SELF

    async def get(self) -> None:
        """Show what can prove it."""
        await self.show_confirm(self.get_query_argument("next", ""))

    async def post(self) -> None:
        """Check it; what is wrong shows the form again."""
        wanted = self.field("next", 8192)
        try:
            how = await self._check()
        except (WrongPassword, TooManyRequests) as error:
            if isinstance(error, TooManyRequests):
                self.set_header("Retry-After", str(error.retry_after_seconds))
            await self.show_confirm(wanted, error)
            return
        await self.prove_presence(how)
        self.redirect(safe_redirect(wanted, DEFAULT))

    async def _check(self) -> str:
        """How it was proven. Raises WrongPassword, TooManyRequests."""
        user, services = self.identity.user, self.services
        if answer := self.field("credential", 32 * 1024):
            state, site = self.field("state", 4096), self.absolute("")
            await services.second_factors.check_passkey("presence", user, site, answer, state, self.address)
            return "passkey"
        if await self._is_by_gateway():
            return PROVIDER
        try:
            await services.passwords.check(user.name, self.field("password"), self.address)
        except WrongPassword as error:
            raise WrongPassword("The password is wrong.") from error
        factors = services.second_factors
        if await factors.must_have_one(user) and not await factors.has_one(user):
            # Whoever came to be in charge since they signed in: the next sign-in asks them to set one up.
            raise WrongPassword("You must have a second factor for this. Sign out and in again to set one up.")
        return "password"

    async def _is_by_gateway(self) -> bool:
        """Whether a gateway says with this very request that it is this user's."""
        assertion = gateway_assertion(self.services.settings.header_sign_in, self.request.headers)
        if assertion is None:
            return False
        mine = await self.services.arrivals.identities_of(self.identity.user)
        return (assertion.issuer, assertion.subject) in {(known.issuer, known.subject) for known in mine}

    async def show_confirm(self, wanted: str, error: HubError | None = None) -> None:
        """The page; it names only ways that this user has."""
        user, services = self.identity.user, self.services
        factors = await services.second_factors.of(user)
        providers = {identity.provider for identity in await services.arrivals.identities_of(user)}
        self.show(
            "confirm.html",
            error.status if error else 200,
            next=safe_redirect(wanted, ""),
            problem=error.message if error else "",
            has_password=await services.passwords.has_one(user),
            has_passkey=any(factor.kind is FactorKind.PASSKEY for factor in factors),
            offers=[each for each in services.providers.offers() if each.can_confirm and each.name in providers],
            by_gateway=await self._is_by_gateway(),
        )
