"""API tokens of one's own: what there are, making one that permits no more than it has to, revoking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hub.auth.tokens import parse_lifetime
from hub.domain.ids import TokenId
from hub.domain.scopes import INHERIT, Scope
from hub.domain.users import ApiToken
from hub.errors import BadRequest, Conflict, Forbidden, HubError, PresenceRequired
from hub.http.handler import Over
from hub.web.page import PageHandler, lab_path

_DONE = {"revoked": "The token is revoked."}


@dataclass(frozen=True, slots=True)
class Choice:
    """A set of scopes that most programs do with. `what` and `hint` are what people read."""

    key: str
    what: str
    hint: str
    scopes: tuple[str, ...]


CHOICES = (
    Choice(
        "notebooks",
        "My notebooks and kernels only",
        "For VS Code, scripts and scheduled jobs: files, kernels, and starting and stopping my container.",
        ("jupyter", "servers!user", "read:users!user"),
    ),
    Choice(
        "read",
        "Look, change nothing",
        "For a backup or a display: my files, and what runs.",
        ("read:jupyter", "read:servers!user", "read:users!user"),
    ),
    Choice("all", "Everything I may do", "Whoever gets hold of it is you; avoid it where another will do.", ()),
)
CUSTOM = "custom"
_BY_SCOPES = {choice.scopes: choice.what for choice in CHOICES} | {(INHERIT,): CHOICES[-1].what}


@dataclass(frozen=True, slots=True)
class ShownToken:
    """A token, and in words what it permits."""

    token: ApiToken
    permits: str


class TokensPage(PageHandler):
    """``/hub/token``."""

    active = "tokens"
    permission: ClassVar[Scope | Mapping[str, Scope] | None] = Scope.TOKENS
    over = Over.SELF

    async def get(self) -> None:
        """List the user's tokens."""
        await self._show(done=_DONE.get(self.get_query_argument("done", ""), ""))

    async def post(self) -> None:
        """Create one and show its value, this once."""
        try:
            lifetime = parse_lifetime(self.field("expires", 16))
            scopes = self._scopes()
            token, value = await self.services.tokens.make(
                self.identity, self.field("name"), lifetime, scopes, self.address
            )
        except PresenceRequired as error:
            await self._show(error=error)
            return
        except (BadRequest, Conflict, Forbidden) as error:
            hint = " With !user behind a scope it is for your own things only." if type(error) is Forbidden else ""
            error.message += hint
            await self._show(error=error)
            return
        await self._show(value=value, new_token=token)

    def _scopes(self) -> Sequence[str] | None:
        """What was chosen; the least of the choices where nothing was. Raises BadRequest."""
        kind = self.field("permits", 16) or CHOICES[0].key
        if kind == CUSTOM:
            scopes = self.field("scopes").replace(",", " ").split()
            if not scopes:
                raise BadRequest("Write at least one scope, or choose one of the other sets.")
            return scopes
        for choice in CHOICES:
            if choice.key == kind:
                return list(choice.scopes) or [INHERIT]
        raise BadRequest("Choose what the token permits.")

    async def _show(self, done: str = "", error: HubError | None = None, **created: Any) -> None:
        user, services = self.identity.user, self.services
        tokens = await services.tokens.list(user)
        self.show(
            "tokens.html",
            error.status if error else 200,
            done=done,
            problem=error.message if error else "",
            confirm=isinstance(error, PresenceRequired),
            tokens=[ShownToken(token, permits(await services.authority.show_scopes(token.scopes))) for token in tokens],
            choices=CHOICES,
            chosen=self.field("permits", 16) or CHOICES[0].key,
            typed={name: self.field(name, 400) if error else "" for name in ("name", "scopes")},
            base_address=self.absolute(lab_path(user).removesuffix("lab")),
            **{"value": "", "new_token": None, **created},
        )


class RevokeToken(PageHandler):
    """``/hub/token/<id>/revoke``."""

    async def post(self, token_id: str) -> None:
        """Revoke one of the user's tokens."""
        user = self.identity.user
        await self.services.tokens.revoke(user, TokenId(token_id), actor=user.id, address=self.address)
        self.redirect("/hub/token?done=revoked")


def permits(scopes: Sequence[str]) -> str:
    """What scopes permit, in words where there are any."""
    if not scopes:
        return "nothing any more"
    return _BY_SCOPES.get(tuple(scopes), "My own things" if list(scopes) == [Scope.SELF] else ", ".join(scopes))
