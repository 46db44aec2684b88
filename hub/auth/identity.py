"""An identity: who a request comes from, and by which credentials."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hub.domain.ids import PrincipalId
from hub.domain.users import User

JUPYTER_SCOPE = "jupyter"
"""What a token with restricted scopes must have for everything under ``/user/<name>/``, WebSockets included."""


class Credential(StrEnum):
    """How the request was authenticated. Only a cookie can be sent by a page that did not mean to."""

    COOKIE = "cookie"
    TOKEN = "token"  # noqa: S105 - the name of a kind, not a secret


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, the sign-in or token used, and the token to expect in state-changing requests.

    `xsrf` is bound to the sign-in; it is empty for API tokens, which need none. `scopes` empty means all of
    the user's permissions.
    """

    user: User
    principal: PrincipalId
    credential: Credential
    xsrf: str = ""
    scopes: tuple[str, ...] = ()

    @property
    def is_admin(self) -> bool:
        """Whether administrators' pages and calls are open; never with a token of restricted scopes."""
        return self.user.is_admin and not self.scopes
