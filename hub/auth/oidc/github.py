"""GitHub: OAuth 2 without an id token. Somebody is their number, which unlike a login is never given away again."""

from __future__ import annotations

import asyncio
from typing import Any

from hub.auth.oidc.connect import Parts
from hub.auth.oidc.errors import NotBelieved, ProviderSilent
from hub.auth.oidc.kinds import GITHUB
from hub.auth.oidc.way import Attempt, Told

MAX_PAGES = 10
_PER_PAGE = 100


class GitHub:
    """github.com, or an Enterprise Server of its own."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._scopes = tuple(parts.provider.scopes or parts.kind.scopes)
        self._issuer = parts.kind.issuer
        self._api = "https://api.github.com" if self._issuer == GITHUB else f"{self._issuer}/api/v3"

    async def address(self, attempt: Attempt, *, other_account: bool = False) -> str:
        """See Way. There is no way to make GitHub ask again who sits there, so no proof of presence either."""
        if attempt.fresh:
            raise NotBelieved("GitHub cannot be made to ask again who sits there")
        more = {"prompt": self._parts.kind.choose_prompt} if other_account else {}
        return self._parts.client.address(f"{self._issuer}/login/oauth/authorize", self._scopes, attempt, **more)

    async def told(self, attempt: Attempt, code: str, issuer: str | None) -> Told:
        """See Way."""
        if issuer is not None and issuer.rstrip("/") not in {self._issuer, f"{self._issuer}/login/oauth"}:
            raise NotBelieved("an answer of another provider (RFC 9207)")
        endpoint = f"{self._issuer}/login/oauth/access_token"
        tokens = await self._parts.client.exchange(self._parts.fetcher, endpoint, attempt, code, takes_basic=False)
        bearer = str(tokens["access_token"])
        user, emails = await asyncio.gather(self._object("/user", bearer), self._emails(bearer))
        number, login = user.get("id"), user.get("login")
        if not isinstance(number, int) or isinstance(number, bool) or number <= 0 or not isinstance(login, str):
            raise NotBelieved("GitHub named nobody")
        claims = {"sub": str(number), "login": login, "name": user.get("name"), **emails}
        if "read:org" in self._scopes:
            claims["groups"] = await self._groups(bearer)
        return Told(self._issuer, claims)

    async def logout_address(self, back: str, id_token: str) -> str | None:
        """See Way: GitHub has none."""
        return None

    async def _emails(self, bearer: str) -> dict[str, Any]:
        for entry in await self._list("/user/emails", bearer):
            if isinstance(entry, dict) and entry.get("primary") is True:
                return {"email": entry.get("email"), "email_verified": entry.get("verified") is True}
        return {}

    async def _groups(self, bearer: str) -> list[str]:
        """Organisations as ``name``, teams as ``organisation/team``; in small letters, as GitHub compares them."""
        orgs, teams = await asyncio.gather(self._list("/user/orgs", bearer), self._list("/user/teams", bearer))
        names = [_login(org) for org in orgs]
        for team in teams:
            if isinstance(team, dict) and isinstance(team.get("slug"), str) and _login(team.get("organization")):
                names.append(f"{_login(team['organization'])}/{team['slug'].lower()}")
        return [name for name in names if name]

    async def _object(self, path: str, bearer: str) -> dict[str, Any]:
        answer = await self._parts.fetcher.get(self._api + path, bearer=bearer)
        if answer.status != 200:
            raise ProviderSilent(f"status {answer.status} for {path}")
        return answer.json_object()

    async def _list(self, path: str, bearer: str) -> list[Any]:
        found: list[Any] = []
        for page in range(1, MAX_PAGES + 1):
            address = f"{self._api}{path}?per_page={_PER_PAGE}&page={page}"
            answer = await self._parts.fetcher.get(address, bearer=bearer)
            if answer.status != 200:
                raise ProviderSilent(f"status {answer.status} for {path}")
            listed = answer.json_list()
            found += listed
            if len(listed) < _PER_PAGE:
                break
        return found


def _login(organisation: object) -> str:
    login = organisation.get("login") if isinstance(organisation, dict) else None
    return login.lower() if isinstance(login, str) else ""
