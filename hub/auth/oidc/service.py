"""Signing in by providers, as pages use it: where to send the browser, and what to make of its coming back."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from hub.auth.arrivals import Assertion
from hub.auth.digests import MAX_SECRET_CHARS, digest_of, new_secret
from hub.auth.oidc.errors import Declined, NotAllowed, NotBelieved, ProviderError, ProviderSilent
from hub.auth.oidc.fetching import Fetcher
from hub.auth.oidc.kinds import Kind, kind_of
from hub.auth.oidc.mapping import assertion_of
from hub.auth.oidc.way import Attempt, Told
from hub.auth.refusals import Lines
from hub.auth.secrets import Secrets, SecretUnreadable
from hub.config import ConfigError
from hub.config.providers import Provider
from hub.domain.addresses import address_key
from hub.domain.audit import AuditEvent
from hub.domain.users import SignIn, User
from hub.errors import BadRequest, Forbidden, LinkExpired, NotAdmitted, NotFound, Unavailable
from hub.store.engine import Store
from hub.store.sign_in_attempts import SignInAttempt
from proxy.kit.clock import Clock
from proxy.kit.lazy import lazily

if TYPE_CHECKING:
    from hub.auth.oidc import connect, github, tokens
    from hub.auth.oidc.connect import Connect
    from hub.auth.oidc.github import GitHub
else:  # most hubs have no provider
    connect, github = lazily("hub.auth.oidc.connect"), lazily("hub.auth.oidc.github")
    tokens = lazily("hub.auth.oidc.tokens")

log = logging.getLogger(__name__)

ATTEMPT_LASTS = timedelta(minutes=15)
LOGOUT_COUNTS = timedelta(minutes=15)
"""For how long the id of a logout token is remembered: longer than any would be believed."""
MAX_CODE_CHARS = 8192
SEALED_FOR = "oidc id token"
_ATTEMPTS = "oidc"
_LOGOUTS = "oidc logout"


class Purpose(StrEnum):
    """What somebody goes to a provider for."""

    SIGN_IN = "sign-in"
    LINK = "link"
    PRESENCE = "presence"


@dataclass(frozen=True, slots=True)
class Offer:
    """A provider as the sign-in page and the account's page offer it."""

    name: str
    shown_name: str
    can_confirm: bool
    """Whether it can prove that somebody sits there."""


@dataclass(frozen=True, slots=True)
class Return:
    """Somebody came back from a provider: for what, with what it says, and where they wanted to."""

    purpose: Purpose
    assertion: Assertion
    next: str
    user_id: str
    """Who was signed in when it began; empty for nobody."""
    may_be_new: bool


class Providers:
    """All providers of the configuration. Nothing is asked of them before somebody wants to sign in."""

    def __init__(self, providers: Mapping[str, Provider], store: Store, secrets: Secrets, clock: Clock) -> None:
        """Raises ConfigError for a secret or key that cannot be read."""
        self._store = store
        self._secrets = secrets
        self._clock = clock
        self._fetcher = Fetcher()
        self._lines = Lines(clock)
        self._providers = dict(providers)
        self._kinds: dict[str, Kind] = {}
        self._ways: dict[str, Connect | GitHub] = {}
        for name, provider in self._providers.items():
            self._kinds[name] = kind = kind_of(provider)
            try:
                parts = connect.Parts(provider, kind, tokens.Client(provider), self._fetcher, clock)
            except ValueError as error:
                raise ConfigError(f"providers.{name}: {error}") from error
            self._ways[name] = github.GitHub(parts) if provider.kind == "github" else connect.Connect(parts)

    async def close(self) -> None:
        """Close the connections to providers."""
        await self._fetcher.close()

    def offers(self) -> list[Offer]:
        """What the sign-in page offers, in the configuration's order."""
        return [Offer(name, each.shown_name, each.kind != "github") for name, each in self._providers.items()]

    def shown_name(self, name: str) -> str:
        """What people call the provider; its own name if the configuration does not know it any more."""
        return self._providers[name].shown_name if name in self._providers else name

    async def start(
        self,
        name: str,
        browser: str,
        redirect: str,
        *,
        purpose: Purpose,
        next: str = "",
        user: User | None = None,
        other_account: bool = False,
    ) -> str:
        """Where to send the browser, whose own cookie's secret is `browser`, to; `redirect` is where it comes back.

        `user` is who is signed in, for `LINK` and `PRESENCE`; `next` was judged by safe_redirect, and is again at the
        end. `other_account`: let the provider ask which account. Raises NotFound for an unknown provider, Unavailable
        if it is down.
        """
        way = self._way(name)
        attempt = Attempt(new_secret(), browser, redirect, self._clock.now(), purpose is Purpose.PRESENCE)
        with self._explained(name):
            address = await way.address(attempt, other_account=other_account)
        data = {
            "provider": name,
            "purpose": purpose,
            "browser": digest_of(browser).hex(),
            "redirect": redirect,
            "next": next,
            "user": user.id if user is not None else "",
        }
        kept = SignInAttempt(_ATTEMPTS, data, attempt.started_at, attempt.started_at + ATTEMPT_LASTS)
        async with self._store.unit() as unit:
            await unit.sign_in_attempts.put(digest_of(attempt.state), kept)
        return address

    async def finish(self, name: str, browser: str | None, answer: Mapping[str, str], address: str = "") -> Return:
        """What the provider's answer, the fields in the callback's address, means. It counts once.

        Raises LinkExpired when this browser did not begin it, or not lately, or ended it already; NotAdmitted when
        the provider's word is not believed or its person may not enter; Unavailable when it is down.
        """
        way, kept = self._way(name), await self._take(name, browser, answer.get("state", ""))
        purpose = Purpose(kept.data["purpose"])
        attempt = Attempt(
            answer["state"], browser or "", kept.data["redirect"], kept.created_at, purpose is Purpose.PRESENCE
        )
        try:
            with self._explained(name):
                told = await self._told(way, attempt, answer)
                assertion = self._assertion(name, told)
        except Forbidden as error:
            await self._record_refusal(name, kept, error, address)
            raise
        may_be_new = self._providers[name].create_users
        return Return(purpose, assertion, str(kept.data["next"]), str(kept.data["user"]), may_be_new)

    async def logout_notice(self, name: str, token: str) -> tuple[str, str | None, str | None]:
        """The issuer, subject and session that a logout token is about (the latter two may be None).

        It counts once. Raises BadRequest when it is not believed, NotFound for no such provider.
        """
        way = self._way(name)
        if not isinstance(way, connect.Connect):
            raise NotFound("This provider sends no logout messages.")
        try:
            notice = await way.logout_notice(token)
        except ProviderError as error:
            log.warning("a logout message of %s is not believed: %s", name, error)
            raise BadRequest("The logout token is not believed.") from error
        digest = digest_of(f"{notice.issuer}\n{notice.token_id}")
        async with self._store.unit() as unit:
            fresh = await unit.used_once.use(_LOGOUTS, digest, self._clock.now() + LOGOUT_COUNTS)
        if not fresh:
            log.warning("a logout message of %s came twice", name)
            raise BadRequest("The logout token was used before.")
        return notice.issuer, notice.subject, notice.sid

    async def logout_address(self, sign_in: SignIn, back: str) -> str | None:
        """Where to send the browser so that this sign-in ends at its provider, too, and `back` from there.

        None where the settings or the provider do not want that, or it is down: signing out of the hub never fails.
        """
        provider = self._providers.get(sign_in.provider or "")
        if sign_in.provider is None or provider is None or provider.logout != "provider":
            return None
        sealed = (sign_in.provider_data or {}).get("id_token")
        try:
            hint = self._secrets.open(SEALED_FOR, sealed) if isinstance(sealed, str) else ""
            return await self._ways[sign_in.provider].logout_address(back, hint)
        except (ProviderError, SecretUnreadable) as error:
            log.warning("signed out of the hub only, not of %s: %s", sign_in.provider, error)
            return None

    def _way(self, name: str) -> Connect | GitHub:
        if name not in self._ways:
            raise NotFound("The hub has no such provider.")
        return self._ways[name]

    async def _take(self, name: str, browser: str | None, state: str) -> SignInAttempt:
        """The attempt of this browser at this provider, used up. One of another browser stays usable there."""
        began = None
        if browser and 0 < len(state) <= MAX_SECRET_CHARS:
            now, digest = self._clock.now(), digest_of(state)
            async with self._store.unit() as unit:
                found = await unit.sign_in_attempts.find(digest, _ATTEMPTS, now)
                if found is not None and _is_of(found, name, browser):
                    began = await unit.sign_in_attempts.take(digest, _ATTEMPTS, now)
        if began is None:
            raise LinkExpired("This sign-in began elsewhere, took too long or has ended already. Please sign in again.")
        return began

    async def _told(self, way: Connect | GitHub, attempt: Attempt, answer: Mapping[str, str]) -> Told:
        if "error" in answer:
            raise Declined(answer["error"][:64])
        code = answer.get("code", "")
        if not 0 < len(code) <= MAX_CODE_CHARS or not code.isprintable():
            raise NotBelieved("an answer without a code")
        return await way.told(attempt, code, answer.get("iss"))

    def _assertion(self, name: str, told: Told) -> Assertion:
        provider = self._providers[name]
        data: dict[str, Any] = {}
        if provider.keep_id_token and provider.logout == "provider" and told.id_token:
            data["id_token"] = self._secrets.seal(SEALED_FOR, told.id_token)
        return assertion_of(name, provider, self._kinds[name], told.issuer, told.claims, data)

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        """Turn what went wrong into what people may read; the cause goes to the log."""
        shown = self.shown_name(name)
        try:
            yield
        except ProviderSilent as error:
            log.warning("sign-in by %s failed: %s", name, error)
            raise Unavailable(f"Signing in with {shown} does not work at the moment. Please try again later.") from None
        except Declined as error:
            log.info("sign-in by %s was declined: %s", name, error)
            if error.code in {"access_denied", "login_required", "consent_required", "interaction_required"}:
                raise LinkExpired(f"The sign-in with {shown} was cancelled. You can try again.") from None
            raise Unavailable(
                f"Signing in with {shown} did not work; your administrator finds the reason in the hub's log."
            ) from None
        except NotAllowed as error:
            log.info("sign-in by %s refused: %s", name, error)
            raise NotAdmitted(error.shown) from None
        except NotBelieved as error:
            log.warning("sign-in by %s refused: %s", name, error)
            raise NotAdmitted(
                f"What {shown} answered could not be verified, so you are not signed in. Try again; if that fails, "
                "your administrator finds the reason in the hub's log."
            ) from None

    async def _record_refusal(self, name: str, kept: SignInAttempt, error: Forbidden, address: str) -> None:
        if not self._lines.is_worth_one(address_key(address)):
            return  # anybody can begin and end without a provider, as often as they like
        event = AuditEvent(
            self._clock.now(),
            "sign_in.refused",
            str(kept.data["user"]) or f"provider:{name}",
            str(kept.data["user"]),
            address,
            {"provider": name, "reason": error.message},
        )
        async with self._store.unit() as unit:
            await unit.audit.add(event)


def _is_of(attempt: SignInAttempt, name: str, browser: str) -> bool:
    began = str(attempt.data.get("browser", ""))
    return attempt.data.get("provider") == name and hmac.compare_digest(began, digest_of(browser).hex())
