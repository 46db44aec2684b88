"""``/hub/api/users/<name>/culling``: what will end when, and why; putting it off; rules of users and groups."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar

import msgspec
from pydantic import ValidationError

from hub.config.culling import CullingRules, GroupRules, OwnerRules
from hub.cull.acting import numbers
from hub.cull.postponing import Postponing
from hub.domain.culling import Decision
from hub.domain.ids import KernelId
from hub.domain.scopes import Scope
from hub.errors import BadRequest, NotFound
from hub.http.handler import Over
from hub.web.api.base import ApiHandler

R = TypeVar("R", bound=OwnerRules)


class CullingAnswer(msgspec.Struct, frozen=True):
    """The last round's decisions about one user's containers and kernels; `decided_at` None: there was none yet."""

    decided_at: datetime | None
    decisions: list[dict[str, Any]]


class Wanted(msgspec.Struct, frozen=True):
    """What is to be put off: a kernel's end, or a container's. `seconds` None: as long as the policy gives."""

    kernel_id: str | None = None
    workspace_id: str | None = None
    seconds: float | None = None


class _OfUser(ApiHandler):
    """Base of what answers about one user's containers."""

    over = Over.USER

    async def decisions(self) -> tuple[datetime | None, list[Decision]]:
        """The last round's decisions about the user's containers and kernels."""
        workspaces = await self.services.workspaces.list_for(self.user)
        return self.services.culler.decisions_for([workspace.id for workspace in workspaces])


class CullingHandler(_OfUser):
    """What will be shut when, and why, for one user."""

    permission = Scope.READ_SERVERS

    async def get(self, _name: str) -> None:
        """Answer a `CullingAnswer`."""
        decided_at, decisions = await self.decisions()
        postponing = self.services.postponing
        self.write_json(CullingAnswer(decided_at, [shown(one, postponing, decided_at) for one in decisions]))


class Postpone(_OfUser):
    """``/hub/api/users/<name>/culling/postpone``."""

    permission = Scope.SERVERS

    async def post(self, _name: str) -> None:
        """Put the end of a kernel, or of a container, off. Answers the decision as it is then. 409 when none is due."""
        wanted = self.body(Wanted)
        if (wanted.kernel_id is None) == (wanted.workspace_id is None):
            raise BadRequest("Name a kernel_id or a workspace_id, and not both.")
        if wanted.seconds is not None and not 0 < wanted.seconds < 10**9:
            raise BadRequest("seconds must be a number above zero.")
        decided_at, decisions = await self.decisions()
        kernel_id = KernelId(wanted.kernel_id) if wanted.kernel_id is not None else None
        found = next(
            (
                one
                for one in decisions
                if one.kernel_id == kernel_id and wanted.workspace_id in (None, one.workspace_id)
            ),
            None,
        )
        if found is None:
            raise NotFound("There is no such kernel or container that runs.")
        by = timedelta(seconds=wanted.seconds) if wanted.seconds is not None else None
        postponing, actor = self.services.postponing, self.identity.user.id
        decision = await postponing.postpone(found.workspace_id, kernel_id, actor, self.address, by)
        self.write_json(shown(decision, postponing, decided_at))


class UserRules(ApiHandler):
    """``/hub/api/users/<name>/culling/rules``."""

    permission = Scope.ADMIN_USERS
    over = Over.USER

    async def get(self, _name: str) -> None:
        """What holds for this user otherwise than for everybody."""
        self.write_json(told(await self.services.ruling.of_user(self.user)))

    async def put(self, _name: str) -> None:
        """In place of what was said before."""
        rules = _read(CullingRules, self.body(dict[str, Any]))
        await self.services.ruling.set_for_user(self.user, rules, self.identity.user.id, self.address)
        self.write_json(told(rules))


class GroupRulesHandler(ApiHandler):
    """``/hub/api/groups/<group>/culling``: the administrators' word."""

    permission: ClassVar[Mapping[str, Scope]] = {"GET": Scope.READ_GROUPS, "PUT": Scope.ADMIN_GROUPS}
    over = Over.GROUP

    async def get(self, _name: str) -> None:
        """What holds for members otherwise than for everybody."""
        administrators, _ = await self.services.ruling.of_group(self.group)
        self.write_json(told(administrators))

    async def put(self, _name: str) -> None:
        """In place of what was said before."""
        rules = _read(GroupRules, self.body(dict[str, Any]))
        await self.services.ruling.set_for_group(self.group, rules, self.identity.user.id, self.address)
        self.write_json(told(rules))


class OwnersRulesHandler(ApiHandler):
    """``/hub/api/groups/<group>/culling/owners``: the owners' word."""

    permission: ClassVar[Mapping[str, Scope]] = {"GET": Scope.READ_GROUPS, "PUT": Scope.GROUPS}
    over = Over.GROUP

    async def get(self, _name: str) -> None:
        """What the owners say."""
        _, owners = await self.services.ruling.of_group(self.group)
        self.write_json(told(owners))

    async def put(self, _name: str) -> None:
        """In place of what was said before. 403 for more than the administrators allow."""
        rules = _read(OwnerRules, self.body(dict[str, Any]))
        await self.services.ruling.set_by_owner(self.group, rules, self.identity.user.id, self.address)
        self.write_json(told(rules))


def told(rules: OwnerRules) -> dict[str, Any]:
    """Rules as JSON: what they leave open is left out."""
    return rules.model_dump(mode="json", exclude_defaults=True)


def _read(shape: type[R], value: dict[str, Any]) -> R:
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = str(first["loc"][0]) if first["loc"] else "the body"
        raise BadRequest(f"{where}: {str(first['msg']).removeprefix('Value error, ')}.") from None


def shown(decision: Decision, postponing: Postponing, decided_at: datetime | None) -> dict[str, Any]:
    """A decision as JSON, with the numbers that it was made from.

    `due_in_seconds` counts from `decided_at`, and is None when nothing is due; `since` is None unless it is counted.
    """
    facts, leave = decision.facts, postponing.leave(decision)
    ends_at = decided_at + decision.due_in if decided_at is not None and decision.due_in is not None else None
    return {
        **numbers(decision),
        "action": decision.action,
        "workspace_id": decision.workspace_id,
        "kernel_id": decision.kernel_id,
        "since": decided_at - facts.spent if decided_at is not None and facts.spent is not None else None,
        "due_in_seconds": decision.due_in.total_seconds() if decision.due_in is not None else None,
        "ends_at": ends_at,
        "warned": decision.is_warned,
        "can_postpone_by_seconds": leave.by.total_seconds() if leave.by is not None else None,
        "postponements_left": leave.times_left,
    }
