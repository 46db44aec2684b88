"""Deep linking: a teacher, sent by a platform, chooses what a new link in the course leads to (Deep Linking 2.0).

The page lives in the platform's frame, where browsers may keep no cookies. What holds a choice together is a secret in
its forms, never in an address; it lies in the database as its digest, and is used up by the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hub.auth.digests import MAX_SECRET_CHARS, digest_of, new_secret
from hub.auth.lti.arriving import TARGET_FIELD, Arrival
from hub.auth.lti.fetching import origin_of
from hub.auth.lti.launches import Answered
from hub.auth.lti.tool_keys import ToolKeys
from hub.domain.audit import AuditEvent
from hub.domain.ids import new_id
from hub.domain.lti import Platform, Target, TargetId, TargetKind
from hub.domain.users import User
from hub.errors import BadRequest, Forbidden, LaunchRefused, LinkExpired
from hub.store.engine import Store
from hub.store.sign_in_attempts import SignInAttempt
from proxy.kit.clock import Clock

PURPOSE = "lti.deep_link"
LASTING = timedelta(minutes=30)
MAX_TITLE_CHARS = 200
_LTI = "https://purl.imsglobal.org/spec/lti/claim/"
_DEEP = "https://purl.imsglobal.org/spec/lti-dl/claim/"


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice that is under way. `data`: what the launch said, see `DeepLinks.begin`."""

    platform: Platform
    user: User
    return_url: str
    accepts_line_item: bool
    deployment: str
    data: str | None


@dataclass(frozen=True, slots=True)
class Response:
    """What the browser brings back to the platform: a form with one field, ``JWT``."""

    return_url: str
    jwt: str


class DeepLinks:
    """Choices that are under way."""

    def __init__(self, store: Store, clock: Clock, keys: ToolKeys) -> None:
        self._store = store
        self._clock = clock
        self._keys = keys

    async def begin(self, answered: Answered, arrival: Arrival) -> str:
        """The secret of a new choice. Raises Forbidden for people who do not own the course."""
        wanted = answered.launch.deep_linking
        if wanted is None:
            raise BadRequest("The learning platform did not ask for a link.")
        if not arrival.is_owner:
            raise Forbidden("Only teachers of a course make links in it.")
        if not origin_of(wanted.return_url):
            raise LaunchRefused("The learning platform named an address that is not https.")
        secret, now = new_secret(), self._clock.now()
        data = {
            "platform": answered.platform.id,
            "user": arrival.user.id,
            "return_url": wanted.return_url,
            "accepts_line_item": wanted.accepts_line_item,
            "deployment": answered.launch.deployment,
            "data": wanted.data,
        }
        async with self._store.unit() as unit:
            await unit.sign_in_attempts.put(digest_of(secret), SignInAttempt(PURPOSE, data, now, now + LASTING))
        return secret

    async def get(self, secret: str) -> Choice:
        """The choice under way. Raises LinkExpired."""
        if 0 < len(secret) <= MAX_SECRET_CHARS:
            async with self._store.reading() as unit:
                attempt = await unit.sign_in_attempts.find(digest_of(secret), PURPOSE, self._clock.now())
                data: dict[str, Any] = dict(attempt.data) if attempt is not None else {}
                platform = await unit.lti_platforms.find(data["platform"]) if data else None
                user = await unit.users.find(data["user"]) if data else None
            enabled = platform is not None and platform.disabled_at is None
            if enabled and platform is not None and user is not None and user.disabled_at is None:
                rest = (data["return_url"], data["accepts_line_item"], data["deployment"], data["data"])
                return Choice(platform, user, *rest)
        raise LinkExpired("This choice has expired. Begin again in your course.")

    async def answer(
        self, secret: str, launch_url: str, kind: TargetKind, path: str, title: str, points: float | None
    ) -> Response:
        """Use a choice up: what was chosen is kept, and its id goes to the platform. Raises LinkExpired.

        `points`: the most that can be scored, None for a link without a place in the gradebook.
        """
        choice, now = await self.get(secret), self._clock.now()
        shown = title.strip()[:MAX_TITLE_CHARS] or path.rpartition("/")[2] or "Notebook"
        target = Target(TargetId(new_id()), choice.platform.id, choice.user.id, kind, path, shown, now)
        async with self._store.unit() as unit:
            if await unit.sign_in_attempts.take(digest_of(secret), PURPOSE, now) is None:
                raise LinkExpired("This choice was made already.")
            await unit.lti_courses.add_target(target)
            details: dict[str, Any] = {"kind": kind.value, "path": path, "platform": choice.platform.name}
            await unit.audit.add(AuditEvent(now, "lti.link_made", choice.user.id, target.id, "", details))
        item: dict[str, Any] = {
            "type": "ltiResourceLink",
            "title": shown,
            "url": launch_url,
            "custom": {TARGET_FIELD: target.id},
        }
        if points is not None and choice.accepts_line_item:
            item["lineItem"] = {"scoreMaximum": points, "label": shown, "resourceId": target.id}
        return await self._signed(choice, [item])

    async def cancel(self, secret: str) -> Response:
        """Use a choice up without one. Raises LinkExpired."""
        choice = await self.get(secret)
        async with self._store.unit() as unit:
            await unit.sign_in_attempts.take(digest_of(secret), PURPOSE, self._clock.now())
        return await self._signed(choice, [])

    async def _signed(self, choice: Choice, items: list[dict[str, Any]]) -> Response:
        claims: dict[str, Any] = {
            "iss": choice.platform.client_id,
            "aud": choice.platform.issuer,
            "nonce": new_secret(),
            _LTI + "deployment_id": choice.deployment,
            _LTI + "message_type": "LtiDeepLinkingResponse",
            _LTI + "version": "1.3.0",
            _DEEP + "content_items": items,
        }
        if choice.data is not None:
            claims[_DEEP + "data"] = choice.data
        return Response(choice.return_url, await self._keys.sign(claims))
