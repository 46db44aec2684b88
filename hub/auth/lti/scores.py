"""Scores for platforms' gradebooks (Assignment and Grade Services 2.0): queued in the database, sent, tried again."""

from __future__ import annotations

import asyncio
import logging
import math
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

from hub.auth.lti.access_tokens import AccessTokens
from hub.auth.lti.arriving import identity_issuer
from hub.auth.lti.fetching import Answer, Fetcher, hosts_of
from hub.domain.audit import AuditEvent
from hub.domain.ids import new_id
from hub.domain.lti import Context, Link, Platform, Score, ScoreId
from hub.domain.users import User
from hub.errors import BadRequest, HubError, NotFound, PlatformSilent
from hub.store.engine import Store
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

LINE_ITEM_SCOPE = "https://purl.imsglobal.org/spec/lti-ags/scope/lineitem"
RESULT_SCOPE = "https://purl.imsglobal.org/spec/lti-ags/scope/result.readonly"
SCORE_SCOPE = "https://purl.imsglobal.org/spec/lti-ags/scope/score"
SCOPES = (LINE_ITEM_SCOPE, RESULT_SCOPE, SCORE_SCOPE)
_LINE_ITEM = "application/vnd.ims.lis.v2.lineitem+json"
_SCORE = "application/vnd.ims.lis.v1.score+json"
_RESULTS = "application/vnd.ims.lis.v2.resultcontainer+json"
MAX_COMMENT_CHARS = 2000
DELAYS = tuple(timedelta(seconds=seconds) for seconds in (30, 120, 600, 3600, 6 * 3600, 24 * 3600))
"""How long a score waits after its first, second, … failure; after the last it is given up."""
TRYING = timedelta(minutes=5)
_AT_ONCE = 20


class Refused(PlatformSilent):
    """The platform will not take it, however often it is sent."""


class Scores:
    """Sends scores; `send_due` is called by a loop."""

    def __init__(self, store: Store, clock: Clock, fetcher: Fetcher, tokens: AccessTokens) -> None:
        self._store = store
        self._clock = clock
        self._fetcher = fetcher
        self._tokens = tokens

    async def send(
        self, user: User, link: Link, score: float, max: float, comment: str = "", actor: str = "hub"
    ) -> Score:
        """Queue a score of `user` for what `link` leads to: it is sent within seconds, and again if that fails.

        A newer score takes the place of one that was not sent yet. Raises BadRequest for numbers that are no score,
        and NotFound when the platform does not know the user.
        """
        if not (math.isfinite(score) and math.isfinite(max) and max > 0 and score >= 0):
            raise BadRequest("A score is a number from 0, of a number of points above 0.")
        now = self._clock.now()
        made = Score(ScoreId(new_id()), link.id, user.id, score, max, comment[:MAX_COMMENT_CHARS], now, now)
        platform, _ = await self._of(link)
        async with self._store.unit() as unit:
            if await unit.lti_scores.subject_of(user.id, identity_issuer(platform)) is None:
                raise NotFound(
                    f"{user.name} has not come from {platform.name}, which therefore takes no score of theirs."
                )
            await unit.lti_scores.put(made)
            details: dict[str, Any] = {"link": link.title, "score": score, "max": max, "user": user.id}
            await unit.audit.add(AuditEvent(now, "score.queued", actor, made.id, "", details))
        return made

    async def send_due(self) -> int:
        """Try all scores that are due; how many were tried."""
        async with self._store.reading() as unit:
            due = await unit.lti_scores.due(self._clock.now(), _AT_ONCE)
        tried = 0
        for score in due:
            async with self._store.unit() as unit:
                mine = await unit.lti_scores.claim(score, self._clock.now() + TRYING)
            if mine:
                tried += 1
                await self._try(score)
        return tried

    async def results(self, link: Link, user: User | None = None) -> list[dict[str, Any]]:
        """What the gradebook holds for a link, of one user or of all. Raises PlatformSilent, NotFound."""
        platform, context = await self._of(link)
        address = _below(await self._line_item(platform, context, link, 100.0), "results")
        if user is not None:
            async with self._store.reading() as unit:
                subject = await unit.lti_scores.subject_of(user.id, identity_issuer(platform))
            address += ("&" if "?" in address else "?") + urlencode({"user_id": subject or ""})
        token = await self._tokens.get(platform, RESULT_SCOPE)
        headers = {"Accept": _RESULTS, "Authorization": f"Bearer {token}"}
        answer = await self._fetcher.get(address, hosts_of(platform), headers)
        self._check(platform, answer)
        try:
            return msgspec.json.decode(answer.body, type=list[dict[str, Any]])
        except (msgspec.DecodeError, RecursionError) as error:
            raise PlatformSilent("The learning platform's results are not a list.") from error

    async def _try(self, score: Score) -> None:
        try:
            await self._post(score)
        except HubError as error:
            attempts = score.attempts + 1
            over = isinstance(error, (Refused, NotFound)) or attempts > len(DELAYS)
            delay = DELAYS[min(attempts, len(DELAYS)) - 1]
            log.warning("the score %s was not sent (try %d): %s", score.id, attempts, error.message)
            async with self._store.unit() as unit:
                next_at = self._clock.now() + delay
                await unit.lti_scores.failed(score.id, error.message[:300], next_at, for_good=over)
            return
        async with self._store.unit() as unit:
            await unit.lti_scores.sent(score.id, self._clock.now())

    async def _post(self, score: Score) -> None:
        async with self._store.reading() as unit:
            link = await unit.lti_courses.find_link(score.link_id)
        if link is None:
            raise NotFound("The link of this score is gone.")
        platform, context = await self._of(link)
        async with self._store.reading() as unit:
            subject = await unit.lti_scores.subject_of(score.user_id, identity_issuer(platform))
        if subject is None:
            raise NotFound("The platform does not know this user any more.")
        address = _below(await self._line_item(platform, context, link, score.max), "scores")
        body = {
            "userId": subject,
            "scoreGiven": score.score,
            "scoreMaximum": score.max,
            "activityProgress": "Completed",
            "gradingProgress": "FullyGraded",
            "timestamp": _timestamp(score.created_at),
            **({"comment": score.comment} if score.comment else {}),
        }
        token = await self._tokens.get(platform, SCORE_SCOPE)
        headers = {"Content-Type": _SCORE, "Authorization": f"Bearer {token}"}
        answer = await self._fetcher.post(address, hosts_of(platform), msgspec.json.encode(body), headers)
        self._check(platform, answer)

    async def _line_item(self, platform: Platform, context: Context, link: Link, max: float) -> str:
        """The link's line item in the gradebook, made if it has none. Raises PlatformSilent."""
        if link.line_item_url:
            return link.line_item_url
        if not context.line_items_url:
            raise Refused("The platform has not told of a gradebook for this course.")
        token = await self._tokens.get(platform, LINE_ITEM_SCOPE)
        label = link.title or context.title or "Notebook"
        body = {"scoreMaximum": max, "label": label, "resourceLinkId": link.link, "resourceId": link.id}
        headers = {"Content-Type": _LINE_ITEM, "Accept": _LINE_ITEM, "Authorization": f"Bearer {token}"}
        answer = await self._fetcher.post(
            context.line_items_url, hosts_of(platform), msgspec.json.encode(body), headers
        )
        self._check(platform, answer)
        address = answer.json_object().get("id")
        if not isinstance(address, str) or len(address) > 2000:
            raise PlatformSilent("The learning platform's new line item has no address.")
        async with self._store.unit() as unit:
            await unit.lti_courses.keep_line_item(link.id, address)
        return address

    async def _of(self, link: Link) -> tuple[Platform, Context]:
        async with self._store.reading() as unit:
            context = await unit.lti_courses.find(link.context_id)
            platform = await unit.lti_platforms.find(context.platform_id) if context is not None else None
        if context is None or platform is None:
            raise NotFound("The course of this link is gone.")
        return platform, context

    def _check(self, platform: Platform, answer: Answer) -> None:
        if answer.status in (200, 201, 202, 204):
            return
        if answer.status in (401, 403):
            self._tokens.forget(platform)  # perhaps only the token is too old
        message = f"The learning platform answered {answer.status} to its gradebook's service."
        raise (Refused if answer.status in (400, 404, 422) else PlatformSilent)(message)


async def keep_sending(scores: Scores, seconds: float = 5.0) -> None:
    """Send what is due, for ever."""
    while True:
        try:
            await scores.send_due()
        except HubError as error:
            log.warning("scores were not sent: %s", error.message)
        await asyncio.sleep(seconds)


def _below(address: str, name: str) -> str:
    """The service below a line item: its query, if it has one, stays at the end."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))


def _timestamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
