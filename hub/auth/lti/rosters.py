"""Rosters: who is in a course, by the platform's own list (Names and Role Provisioning Services 2.0).

Only memberships that this platform made are changed, and only by a list that came whole.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hub.auth.arrivals import Arrivals
from hub.auth.lti.access_tokens import AccessTokens
from hub.auth.lti.arriving import assertion_of, identity_issuer
from hub.auth.lti.fetching import Fetcher, hosts_of
from hub.domain.audit import AuditEvent
from hub.domain.lti import Context, Platform, membership_role
from hub.errors import BadRequest, HubError, NotAdmitted, NotFound, PlatformSilent
from hub.store.engine import Store
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

SCOPE = "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly"
MEDIA_TYPE = "application/vnd.ims.lti-nrps.v2.membershipcontainer+json"
MAX_PAGES = 200
MAX_MEMBERS = 20_000


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a platform's list."""

    subject: str
    role: str
    name: str
    email: str
    username: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What makes a group that of a list: subjects to add and to change, each with a role, and to take out."""

    add: Mapping[str, str]
    change: Mapping[str, str]
    remove: frozenset[str]

    @property
    def words(self) -> str:
        """For people."""
        return f"{len(self.add)} added, {len(self.change)} changed, {len(self.remove)} removed"


def decide_changes(current: Mapping[str, str], wanted: Mapping[str, str]) -> Changes:
    """What to do so that `current` (subject to role) becomes `wanted`; pure."""
    return Changes(
        {subject: role for subject, role in wanted.items() if subject not in current},
        {subject: role for subject, role in wanted.items() if subject in current and current[subject] != role},
        frozenset(current.keys() - wanted.keys()),
    )


def read_members(page: Mapping[str, Any]) -> list[Member]:
    """The members of one page who take part; pure. Raises PlatformSilent when it is no such page."""
    listed = page.get("members")
    if not isinstance(listed, list):
        raise PlatformSilent("The learning platform's list of members is not one.")
    return [member for member in map(_member, listed) if member is not None]


def _member(listed: object) -> Member | None:
    if not isinstance(listed, dict) or listed.get("status", "Active") != "Active":
        return None
    subject, roles = listed.get("user_id"), listed.get("roles")
    known = isinstance(subject, str) and 0 < len(subject) <= 255 and subject.isprintable()
    role = membership_role(each for each in roles if isinstance(each, str)) if isinstance(roles, list) else None
    if not known or role is None:
        return None
    given = " ".join(filter(None, (_text(listed, "given_name"), _text(listed, "family_name"))))
    username = _text(listed, "ext_user_username") or _text(listed, "preferred_username")
    return Member(str(subject), role, (_text(listed, "name") or given)[:200], _text(listed, "email"), username)


def _text(listed: Mapping[str, Any], name: str) -> str:
    value = listed.get(name)
    return value[:200] if isinstance(value, str) and value.isprintable() else ""


class Rosters:
    """Fetches lists and makes groups what they say."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        fetcher: Fetcher,
        tokens: AccessTokens,
        arrivals: Arrivals,
        *,
        new_people: bool,
    ) -> None:
        self._store = store
        self._clock = clock
        self._fetcher = fetcher
        self._tokens = tokens
        self._arrivals = arrivals
        self._new_people = new_people

    async def sync(self, platform: Platform, context: Context, actor: str, address: str = "") -> Changes:
        """Make a course's group what the platform's list says. Raises PlatformSilent, NotFound and BadRequest."""
        if context.group_id is None:
            raise NotFound("This course has no group here.")
        try:
            members = await self._fetch(platform, context)
            changes = await self._apply(platform, context, members, actor, address)
        except HubError as error:
            await self._remember(context, error.message)
            raise
        await self._remember(context, "")
        return changes

    async def sync_all(self, platform: Platform, actor: str, address: str = "") -> dict[str, str]:
        """Sync every course that can be; what came of each, by its title."""
        async with self._store.reading() as unit:
            contexts = await unit.lti_courses.list(platform.id)
        results = {}
        for context in contexts:
            if context.members_url and context.group_id is not None:
                try:
                    results[context.title] = (await self.sync(platform, context, actor, address)).words
                except HubError as error:
                    results[context.title] = error.message
        return results

    async def _fetch(self, platform: Platform, context: Context) -> dict[str, Member]:
        if not context.members_url:
            raise BadRequest("The platform has not told of a list of members for this course; open it there once.")
        token, address = await self._tokens.get(platform, SCOPE), context.members_url
        found: dict[str, Member] = {}
        for _ in range(MAX_PAGES):
            headers = {"Accept": MEDIA_TYPE, "Authorization": f"Bearer {token}"}
            answer = await self._fetcher.get(address, hosts_of(platform), headers)
            if answer.status != 200:
                self._tokens.forget(platform)
                raise PlatformSilent(f"The learning platform answered {answer.status} when it was asked for members.")
            found.update((member.subject, member) for member in read_members(answer.json_object()))
            following = answer.next_page(address)
            if following is None or len(found) > MAX_MEMBERS:
                break
            address = following
        else:
            raise PlatformSilent(f"The learning platform's list of members has more than {MAX_PAGES} pages.")
        if len(found) > MAX_MEMBERS:
            raise PlatformSilent(f"The learning platform's list has more than {MAX_MEMBERS} members.")
        return found

    async def _apply(
        self, platform: Platform, context: Context, members: Mapping[str, Member], actor: str, address: str
    ) -> Changes:
        group_id, source = context.group_id, platform.membership_source
        assert group_id is not None  # noqa: S101 - `sync` has looked
        async with self._store.reading() as unit:
            group = await unit.lti_courses.group_name(group_id)
            here = await unit.lti_courses.roster(group_id, source, identity_issuer(platform))
        current = {subject: role for subject, (_, role) in here.items()}
        changes = decide_changes(current, {subject: member.role for subject, member in members.items()})
        for subject in changes.add:
            await self._add(platform, members[subject], str(group), address)
        async with self._store.unit() as unit:
            for subject, role in changes.change.items():
                await unit.lti_courses.set_member_role(group_id, here[subject][0], source, role)
            for subject in changes.remove:
                await unit.lti_courses.remove_member(group_id, here[subject][0], source)
            now = self._clock.now()
            details: dict[str, Any] = {"changes": changes.words, "platform": platform.name}
            await unit.audit.add(AuditEvent(now, "group.roster_fetched", actor, group_id, address, details))
        return changes

    async def _add(self, platform: Platform, member: Member, group: str, address: str) -> None:
        assertion = assertion_of(platform, member.subject, member.name, member.email, member.username)
        try:
            wanted = replace(assertion, groups={group: member.role})
            await self._arrivals.arrive(wanted, address, may_be_new=self._new_people)
        except (NotAdmitted, BadRequest) as error:
            log.info("a member of a course of %s was passed over: %s", platform.name, error.message)

    async def _remember(self, context: Context, problem: str) -> None:
        async with self._store.unit() as unit:
            current = await unit.lti_courses.find(context.id)
            if current is not None:
                now = self._clock.now()
                await unit.lti_courses.save(replace(current, roster_at=now, roster_problem=problem[:300]))
