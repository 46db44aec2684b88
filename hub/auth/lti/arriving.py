"""Who comes by a launch: the user, the course as a group, the link, and where it leads."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from hub.auth.arrivals import Arrivals, Assertion
from hub.auth.lti.claims import Launch, MessageType
from hub.auth.lti.launches import Answered
from hub.domain.audit import AuditEvent
from hub.domain.ids import GroupId, new_id
from hub.domain.lti import (
    Context,
    ContextId,
    Link,
    LinkId,
    Platform,
    Target,
    group_name,
    membership_role,
)
from hub.domain.users import User
from hub.errors import Conflict, NotAdmitted
from hub.store.engine import Store
from hub.store.unit import Unit
from proxy.kit.clock import Clock

TARGET_FIELD = "kernelhub_target"
"""The custom parameter in which a platform keeps what a teacher chose."""
_NUMBERED = 1000
_TRIES = 5
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody who has come. `target`: what a teacher chose for the link, None for nothing; `place`: a path here."""

    user: User
    assertion: Assertion
    context: Context | None
    link: Link | None
    target: Target | None
    place: str
    is_owner: bool


class Arriving:
    """Turns launches that are believed into users, groups and places."""

    def __init__(self, store: Store, clock: Clock, arrivals: Arrivals, *, new_people: bool) -> None:
        self._store = store
        self._clock = clock
        self._arrivals = arrivals
        self._new_people = new_people

    async def arrive(
        self, answered: Answered, place_of: Callable[[Launch, Target | None], str], address: str = ""
    ) -> Arrival:
        """The user whom a launch brings. Raises NotAdmitted. `place_of` says where in the hub a launch leads."""
        platform, launch = answered.platform, answered.launch
        role = membership_role(launch.roles)
        context, group = await _again(lambda: self._course(platform, launch))
        assertion = assertion_of(platform, launch.subject, launch.name, launch.email, launch.username)
        if group is not None and role is not None:
            assertion = replace(assertion, groups={group: role})
        user = await self._arrivals.arrive(assertion, address, may_be_new=self._new_people)
        if context is not None and context.group_id is not None and role is None:
            async with self._store.unit() as unit:
                await unit.lti_courses.remove_member(context.group_id, user.id, platform.membership_source)
        async with self._store.reading() as unit:
            chosen = launch.custom.get(TARGET_FIELD, "")
            target = await unit.lti_courses.find_target(platform.id, chosen) if chosen else None
        place = place_of(launch, target)
        link = await _again(lambda: self._link(context, launch, place))
        return Arrival(user, assertion, context, link, target, place, role == "owner")

    async def _course(self, platform: Platform, launch: Launch) -> tuple[Context | None, str | None]:
        """The course of a launch and its group's name, both made when they are new; None where there is none."""
        if not launch.context:
            return None, None
        async with self._store.unit() as unit:
            now = self._clock.now()
            known = await unit.lti_courses.find_by_context(platform.id, launch.deployment, launch.context)
            title = launch.context_title or launch.context_label or launch.context
            if known is None:
                ids = (ContextId(new_id()), platform.id, launch.deployment, launch.context)
                known = Context(*ids, title, now)
                await unit.lti_courses.add(known)
            # A launch without a service (some messages lack them) takes nothing away that another one told of.
            context = replace(
                known,
                title=title,
                members_url=launch.members_url or known.members_url,
                line_items_url=launch.line_items_url or known.line_items_url,
                scopes=launch.scopes or known.scopes,
            )
            group = await unit.lti_courses.group_name(context.group_id) if context.group_id else None
            if group is None and platform.makes_groups:
                group_id, group = await self._make_group(unit, platform, launch, context.title, now)
                context = replace(context, group_id=group_id)
            if context != known:
                await unit.lti_courses.save(context)
        return context, group

    async def _make_group(
        self, unit: Unit, platform: Platform, launch: Launch, title: str, now: datetime
    ) -> tuple[GroupId, str]:
        group_id, label = GroupId(new_id()), launch.context_label or launch.context_title or launch.context
        for number in range(1, _NUMBERED):
            name = group_name(platform.name, label, number)
            if await unit.lti_courses.make_group(group_id, name, title, platform.membership_source, now):
                event = AuditEvent(now, "group.added", f"platform:{platform.name}", group_id, "", {"name": name})
                await unit.audit.add(event)
                return group_id, name
        raise NotAdmitted("There are too many courses of this name; ask your administrator.")

    async def _link(self, context: Context | None, launch: Launch, place: str) -> Link | None:
        if context is None or launch.message is not MessageType.RESOURCE_LINK:
            return None
        link = Link(
            LinkId(new_id()),
            context.id,
            launch.link,
            launch.link_title,
            self._clock.now(),
            place,
            launch.line_item_url,
        )
        async with self._store.unit() as unit:
            return await unit.lti_courses.save_link(link)


async def _again(step: Callable[[], Awaitable[T]]) -> T:
    """Do a step again when somebody else has recorded the same course or link at the same moment."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(Conflict):
            return await step()
    return await step()


def assertion_of(platform: Platform, subject: str, name: str, email: str, username: str) -> Assertion:
    """What a platform says about somebody. It decides about no role in the hub, and about its own issuer only.

    The issuer is marked, so that a platform can be no OpenID provider's people, whatever it calls itself.
    """
    suggested = username or email.partition("@")[0] or name or "student"
    return Assertion(
        provider=platform.membership_source,
        issuer=identity_issuer(platform),
        subject=subject,
        suggested_name=suggested,
        display_name=name,
        email=email,
        leave_other_groups=True,
    )


def identity_issuer(platform: Platform) -> str:
    """The issuer of identities that a platform vouches for."""
    return f"lti {platform.issuer}"
