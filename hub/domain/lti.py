"""Learning platforms (LTI 1.3) and what is known of them: frozen values, and what their roles mean here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NewType

from hub.domain.ids import GroupId, UserId

PlatformId = NewType("PlatformId", str)
ContextId = NewType("ContextId", str)
LinkId = NewType("LinkId", str)
TargetId = NewType("TargetId", str)
ScoreId = NewType("ScoreId", str)

MAX_GROUP_CHARS = 64
_MEMBERSHIP = "http://purl.imsglobal.org/vocab/lis/v2/membership"
_OWNERS = frozenset({"Instructor", "Administrator"})
_NOT_IN_NAMES = re.compile(r"[^a-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Platform:
    """A learning platform as it is registered here: an issuer and the client id that it gave to this hub.

    `audience` is that of requests for access tokens, "" for the token URL itself. `deployments` are accepted, those
    in `waiting` were named by a signed launch and are not. `source`: ``hub``, ``configuration`` or ``registration``.
    """

    id: PlatformId
    name: str
    issuer: str
    client_id: str
    authorize_url: str
    token_url: str
    jwks_url: str
    created_at: datetime
    audience: str = ""
    deployments: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    makes_groups: bool = True
    frame_origins: tuple[str, ...] = ()
    source: str = "hub"
    disabled_at: datetime | None = None
    keys: Mapping[str, Any] | None = None
    keys_at: datetime | None = None

    @property
    def membership_source(self) -> str:
        """What its memberships and groups are marked with."""
        return f"lti:{self.id}"


@dataclass(frozen=True, slots=True)
class Context:
    """A course of a platform. URLs are "" where the platform does not offer the service."""

    id: ContextId
    platform_id: PlatformId
    deployment: str
    context: str
    title: str
    created_at: datetime
    group_id: GroupId | None = None
    members_url: str = ""
    line_items_url: str = ""
    scopes: tuple[str, ...] = ()
    roster_at: datetime | None = None
    roster_problem: str = ""


class TargetKind(StrEnum):
    """What a link that a teacher made leads to."""

    COPY = "copy"
    """A notebook or folder of the teacher's own files, of which everybody gets a copy."""
    GIT = "git"
    """A repository: `path` is the query of a ``git-pull`` link."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a teacher chose for a link. `user_id` is the teacher, whose file it is."""

    id: TargetId
    platform_id: PlatformId
    user_id: UserId
    kind: TargetKind
    path: str
    title: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Link:
    """A link in a course, as a launch told of it; `place` is where it led last, a path of this hub."""

    id: LinkId
    context_id: ContextId
    link: str
    title: str
    created_at: datetime
    place: str = ""
    line_item_url: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """A score on its way to a platform. `state`: ``queued``, ``sent``, ``failed``."""

    id: ScoreId
    link_id: LinkId
    user_id: UserId
    score: float
    max: float
    comment: str
    created_at: datetime
    next_at: datetime
    state: str = "queued"
    attempts: int = 0
    problem: str = ""
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ToolKey:
    """A key of the hub's own; `private` is sealed. One with `retired_at` signs no more, but is still shown."""

    id: str
    public: Mapping[str, Any]
    private: str
    created_at: datetime
    retired_at: datetime | None = None


def membership_role(roles: Iterable[str]) -> str | None:
    """``owner`` or ``member`` of the course's group by a launch's roles; None for somebody who is neither.

    Only roles in the course count (LTI 1.3, A.2.2): an administrator of the institution or of the platform's system
    is nobody here. Teaching assistants (a sub-role of Instructor) are owners, observers (Mentor) nobody.
    """
    found = {_course_role(role) for role in roles}
    if found & _OWNERS:
        return "owner"
    return "member" if found & {"Learner", "Member", "ContentDeveloper"} else None


def _course_role(role: str) -> str:
    if role.isalpha():  # the short form, which some platforms send
        return role
    base, mark, name = role.partition("#")
    if not mark:
        return ""
    if base == _MEMBERSHIP:
        return name
    # A sub-role: …/lis/v2/membership/Instructor#TeachingAssistant
    return base.removeprefix(_MEMBERSHIP + "/") if base.startswith(_MEMBERSHIP + "/") else ""


def group_name(platform_name: str, label: str, number: int = 1) -> str:
    """The name for a course's group: the platform's name, the course's, and a number where the name is taken.

    The platform's name is the administrators' word, so that no course can be called like a group that means
    something here.
    """
    ending = "" if number == 1 else f"-{number}"
    name = f"{_plain(platform_name) or 'lti'}-{_plain(label) or 'course'}"
    return name[: MAX_GROUP_CHARS - len(ending)].rstrip("-._") + ending


def _plain(text: str) -> str:
    return _NOT_IN_NAMES.sub("-", text.casefold()).strip("-._")
