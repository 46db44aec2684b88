"""Launches: a platform announces somebody, is asked who it is, and answers with a signed token.

    platform -> /hub/lti/login     "somebody comes" (OpenID Connect Core 4, third-party initiated login)
    hub      -> platform           "who?", with a state and a nonce, and a cookie that binds both to this browser
    platform -> /hub/lti/launch    the answer: an id_token that is believed once

State and nonce lie in the database (bounded), so that any hub, restarted or not, can take the answer. A nonce is
written down as used only after the signature was found good: strangers fill no table (CVE-2026-34052).
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from hub.auth.digests import MAX_SECRET_CHARS, digest_of, new_secret
from hub.auth.lti.claims import LEEWAY_SECONDS, Launch, judge, read_launch
from hub.auth.lti.key_sets import KeySets
from hub.auth.oidc.errors import NotBelieved
from hub.domain.audit import AuditEvent
from hub.domain.lti import Platform
from hub.errors import HubError, LaunchRefused, NotFound
from hub.store.engine import Store
from hub.store.sign_in_attempts import SignInAttempt
from proxy.kit.clock import Clock
from proxy.kit.lazy import lazily

if TYPE_CHECKING:
    from hub.auth.oidc import signed as tokens
else:
    tokens = lazily("hub.auth.oidc.signed")

log = logging.getLogger(__name__)

PURPOSE = "lti.login"
NONCES = "lti.nonce"
ALGORITHMS = ("RS256", "ES256")
LASTING = timedelta(minutes=10)
MAX_HINT_CHARS = 4096
MAX_RETRY_CHARS = 3000
"""What the platform said when it announced somebody is kept for another try in a tab of its own, if it is no longer."""
MAX_WAITING = 10
_DEPLOYMENT = "from a deployment that no administrator has accepted"
_AGAIN = "Go back to your course and open the link again."


@dataclass(frozen=True, slots=True)
class Question:
    """What the browser is sent to the platform with. `cookie`: the secret that it must come back with."""

    address: str
    cookie: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A launch that is believed."""

    platform: Platform
    launch: Launch


class CookieMissing(LaunchRefused):
    """The browser brought no cookie back: in a frame, many keep none. `retry`: how to begin anew in an own tab."""

    def __init__(self, platform: Platform, retry: dict[str, str]) -> None:
        super().__init__(
            f"Your browser did not send the cookie of this sign-in back. {_AGAIN}", "the browser's cookie is missing"
        )
        self.platform = platform
        self.retry = retry


class Launches:
    """Begins launches and believes them, once."""

    def __init__(self, store: Store, clock: Clock, key_sets: KeySets) -> None:
        self._store = store
        self._clock = clock
        self._key_sets = key_sets

    async def begin(self, field: Callable[[str], str], launch_url: str, cookie: str | None) -> Question:
        """Where to send a browser whom a platform announced; `field` gives what it said, "" for what it did not.

        `cookie` is the one that the browser has already, of another launch under way. Raises LaunchRefused.
        """
        hint, message = field("login_hint"), field("lti_message_hint")
        if not 0 < len(hint) <= MAX_HINT_CHARS or len(message) > MAX_HINT_CHARS:
            raise LaunchRefused(f"The learning platform did not say whom it sends. {_AGAIN}", "no login_hint")
        platform = await self._announced(field("iss"), field("client_id"), field("lti_deployment_id"))
        secret = cookie if cookie is not None and len(cookie) == len(new_secret()) else new_secret()
        state, nonce, now = new_secret(), new_secret(), self._clock.now()
        said = {name: field(name) for name in ("iss", "client_id", "login_hint", "lti_message_hint", "target_link_uri")}
        retry = said if sum(map(len, said.values())) <= MAX_RETRY_CHARS else {}
        data = {"platform": platform.id, "nonce": nonce, "browser": digest_of(secret).hex(), "retry": retry}
        async with self._store.unit() as unit:
            await unit.sign_in_attempts.put(digest_of(state), SignInAttempt(PURPOSE, data, now, now + LASTING))
        query = {
            "scope": "openid",
            "response_type": "id_token",
            "response_mode": "form_post",
            "prompt": "none",
            "client_id": platform.client_id,
            "redirect_uri": launch_url,
            "state": state,
            "nonce": nonce,
            "login_hint": hint,
            **({"lti_message_hint": message} if message else {}),
        }
        joint = "&" if "?" in platform.authorize_url else "?"
        return Question(platform.authorize_url + joint + urlencode(query), secret)

    async def platform_of(self, state: str) -> Platform | None:
        """The platform that was asked with this state, None if nobody was; for showing a refusal in its frame."""
        try:
            return (await self._attempt(state))[1]
        except HubError:
            return None

    async def believe(self, state: str, token: str, cookie: str | None, address: str = "") -> Answered:
        """The launch in a platform's answer. Raises LaunchRefused, CookieMissing and PlatformSilent.

        Until the signature is found good nothing is written, and the state stays usable.
        """
        attempt, platform = await self._attempt(state)
        expected = str(attempt.data["browser"])
        if cookie is None or not hmac.compare_digest(digest_of(cookie).hex(), expected):
            raise CookieMissing(platform, dict(attempt.data["retry"]))
        try:
            unverified = tokens.read_header(token, ALGORITHMS)
            signed = tokens.verify(unverified, await self._key_sets.key_for(platform, unverified))
        except NotBelieved as error:
            log.info("a launch of %s is not believed: %s", platform.name, error)
            raise _refused(error) from error
        now = self._clock.now()
        try:
            judge(signed.claims, platform, str(attempt.data["nonce"]), now)
            launch = read_launch(signed.claims)
            if launch.deployment not in platform.deployments:
                await self._wait(platform, launch.deployment)
                raise NotBelieved(_DEPLOYMENT)
            await self._use_up(state, platform, signed.claims, attempt)
        except NotBelieved as error:
            await self._record_refusal(platform, error, address, now)
            raise _refused(error) from error
        return Answered(platform, launch)

    async def _announced(self, issuer: str, client_id: str, deployment: str) -> Platform:
        async with self._store.reading() as unit:
            found = await unit.lti_platforms.list(issuer)
        found = [each for each in found if each.disabled_at is None and client_id in ("", each.client_id)]
        if len(found) > 1:
            found = [each for each in found if deployment in each.deployments]
        if len(found) != 1:
            raise LaunchRefused(
                "This hub does not know the learning platform that sent you. Its administrators register platforms.",
                "an unknown platform",
            )
        return found[0]

    async def _attempt(self, state: str) -> tuple[SignInAttempt, Platform]:
        if 0 < len(state) <= MAX_SECRET_CHARS:
            async with self._store.reading() as unit:
                attempt = await unit.sign_in_attempts.find(digest_of(state), PURPOSE, self._clock.now())
                platform = await unit.lti_platforms.find(str(attempt.data["platform"])) if attempt else None
            if attempt is not None and platform is not None and platform.disabled_at is None:
                return attempt, platform
        raise LaunchRefused(f"This sign-in has expired, or was used already. {_AGAIN}", "an unknown state")

    async def _use_up(self, state: str, platform: Platform, claims: dict[str, Any], attempt: SignInAttempt) -> None:
        """Write the nonce down as used: the database decides who was first, whatever hub they came to."""
        expires = datetime.fromtimestamp(min(float(claims["exp"]), 2**33), UTC) + timedelta(seconds=LEEWAY_SECONDS)
        until = max(min(expires, self._clock.now() + timedelta(days=1)), attempt.expires_at)
        digest = digest_of(f"{platform.id} {claims['nonce']}")
        async with self._store.unit() as unit:
            first = await unit.used_once.use(NONCES, digest, until)
            await unit.sign_in_attempts.take(digest_of(state), PURPOSE, self._clock.now())
        if not first:
            raise NotBelieved("used already")

    async def _wait(self, platform: Platform, deployment: str) -> None:
        """Remember a deployment that a signed launch named, for an administrator to accept."""
        async with self._store.unit() as unit:
            current = await unit.lti_platforms.find(platform.id)
            if current is not None and deployment not in current.waiting and len(current.waiting) < MAX_WAITING:
                await unit.lti_platforms.save(replace(current, waiting=(*current.waiting, deployment)))

    async def _record_refusal(self, platform: Platform, error: NotBelieved, address: str, now: datetime) -> None:
        details: dict[str, Any] = {"reason": str(error), "platform": platform.name}
        async with self._store.unit() as unit:
            await unit.audit.add(AuditEvent(now, "sign_in.refused", "", platform.id, address, details))


def _refused(error: NotBelieved) -> LaunchRefused:
    if str(error) == _DEPLOYMENT:
        return LaunchRefused(
            "This hub does not accept people from this part of your learning platform yet. An administrator of the "
            "hub can accept it, on the page of the platform.",
            _DEPLOYMENT,
        )
    return LaunchRefused(
        f"The learning platform's launch was refused: {error}. {_AGAIN} If that does not help, ask your administrator.",
        str(error),
    )


async def found_platform(store: Store, platform_id: str) -> Platform:
    """The platform. Raises NotFound."""
    async with store.reading() as unit:
        platform = await unit.lti_platforms.find(platform_id)
    if platform is None:
        raise NotFound("There is no such learning platform.")
    return platform
