"""The way of one sign-in: what is known from its beginning to its end, and what every kind of provider can do."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sign-in under way. `state` travels in addresses; `browser` is the secret of the browser's own cookie.

    What must stay unknown to whoever sees addresses comes from both, so the database need not keep it: the nonce and
    the verifier of PKCE (RFC 7636) can be made again only by the browser that began.
    """

    state: str
    browser: str
    redirect: str
    """Where the provider sends the browser back to, exactly as it is registered there."""
    started_at: datetime
    fresh: bool = False
    """Whether the person must prove anew who they are."""

    @property
    def nonce(self) -> str:
        """What the id token must carry."""
        return self._derived(b"nonce")

    @property
    def verifier(self) -> str:
        """What proves to the provider that who began is who ends."""
        return self._derived(b"verifier")

    def _derived(self, use: bytes) -> str:
        digest = hmac.new(self.browser.encode(), use + b" " + self.state.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Told:
    """What a provider told, checked: by which issuer, about whom, and the id token itself if there was one."""

    issuer: str
    claims: Mapping[str, Any]
    id_token: str = ""


class Way(Protocol):
    """What every kind of provider can do. All raise ProviderErrors."""

    async def address(self, attempt: Attempt, *, other_account: bool = False) -> str:
        """Where to send the browser; `other_account`: the provider is to ask which account."""

    async def told(self, attempt: Attempt, code: str, issuer: str | None) -> Told:
        """What the provider says for a code; `issuer` is what came along with it (RFC 9207)."""

    async def logout_address(self, back: str, id_token: str) -> str | None:
        """Where the browser can be sent to end the provider's session, too; None if there is no such place."""
