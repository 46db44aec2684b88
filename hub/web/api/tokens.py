"""``/hub/api/users/<name>/tokens``: API tokens, made by whose they are, seen and revoked by who may."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar

from hub.auth.identity import Identity
from hub.auth.tokens import LONGEST_LIFETIME
from hub.domain.ids import TokenId
from hub.domain.scopes import Scope
from hub.domain.users import ApiToken
from hub.errors import BadRequest, Forbidden, NotFound
from hub.http.handler import Over
from hub.http.rate_limit import address_key
from hub.web.api.base import ApiHandler
from hub.web.api.models import NewToken, TokenModel, token_model


class TokensHandler(ApiHandler):
    """Base of what answers with tokens."""

    over = Over.USER

    async def shown(self, token: ApiToken) -> TokenModel:
        """The token, without its value, its scopes with the names of now."""
        return token_model(token, self.user, await self.services.authority.show_scopes(token.scopes))

    async def live(self) -> list[ApiToken]:
        """The user's tokens that are neither revoked nor expired."""
        return await self.services.tokens.list(self.user)


class UserTokens(TokensHandler):
    """A user's tokens. Who has none yet may send name and password in the body's `auth`, as VS Code does."""

    permission: ClassVar[Mapping[str, Scope]] = {"GET": Scope.READ_TOKENS, "POST": Scope.TOKENS}

    async def get(self, _name: str) -> None:
        """The user's tokens, without their values."""
        self.write_json({"api_tokens": [await self.shown(token) for token in await self.live()]})

    async def post(self, _name: str) -> None:
        """Make a token for oneself (201).

        An administrator cannot make one for somebody else: it would open their files.
        """
        wanted = self.body(NewToken)
        giver = self.identity
        if self.user.id != giver.user.id:
            raise Forbidden("Tokens are made by the user whose they are.")
        if giver.principal:  # who sent a password was counted by address
            self.limits.tokens.take(giver.principal)
        if wanted.roles:
            raise BadRequest("roles: tokens have scopes here; leave roles out.")
        lifetime = None if wanted.expires_in is None else _lifetime(wanted.expires_in)
        token, value = await self.services.tokens.make(giver, wanted.note, lifetime, wanted.scopes, self.address)
        shown = await self.services.authority.show_scopes(token.scopes)
        self.write_json(token_model(token, giver.user, shown, value), 201)

    async def _identify(self) -> None:
        """See HubHandler; who sends no credentials but name and password in the body is that user."""
        await super()._identify()
        if self.found_identity is not None or self.request.method != "POST" or not self.request.body:
            return
        auth = self.body(NewToken).auth
        if auth is not None:
            self.limits.tokens.take(address_key(self.address))
            if not self.services.settings.password_sign_in:
                raise Forbidden("People sign in by a provider here; make a token on the hub's page.")
            user = await self.services.passwords.check(auth.username, auth.password, self.address)
            factors = self.services.second_factors
            if await factors.has_one(user) or await factors.must_have_one(user):
                raise Forbidden("A password alone is not enough for this account; make a token on the hub's page.")
            self.found_identity = Identity.of_own_things(user)


class OneToken(TokensHandler):
    """``/hub/api/users/<name>/tokens/<id>``."""

    permission: ClassVar[Mapping[str, Scope]] = {"GET": Scope.READ_TOKENS, "DELETE": Scope.TOKENS}

    async def get(self, _name: str, token_id: str) -> None:
        """The token, without its value."""
        for token in await self.live():
            if token.id == token_id:
                self.write_json(await self.shown(token))
                return
        raise NotFound("There is no such token.")

    async def delete(self, _name: str, token_id: str) -> None:
        """Revoke the token (204)."""
        await self.services.tokens.revoke(self.user, TokenId(token_id), self.identity.user.id, self.address)
        self.set_status(204)


def _lifetime(seconds: int) -> timedelta:
    if not 1 <= seconds <= LONGEST_LIFETIME.total_seconds():
        raise BadRequest(f"expires_in must be between 1 and {int(LONGEST_LIFETIME.total_seconds())} seconds.")
    return timedelta(seconds=seconds)
