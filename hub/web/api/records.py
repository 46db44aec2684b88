"""``/hub/api/audit``, ``history``, ``settings`` and ``profiles``: the administrators' records and settings (ours)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from hub.config import Culling, Profile
from hub.config.announcement import Announcement
from hub.config.limits import DefaultLimits
from hub.config.values import Section
from hub.domain.history import Range, date_of
from hub.domain.scopes import Scope
from hub.errors import BadRequest, NotFound
from hub.http.handler import Over
from hub.running_settings import PROFILE_PREFIX, DefaultProfile, RegistrationSetting
from hub.store.history import Of
from hub.web.api.base import MAX_LIMIT, ApiHandler
from hub.web.audit_search import FIELDS, as_json, search_of
from hub.web.history_words import day_rows, most_used, most_used_by_group

MAX_PLACE = 10**12
SECTIONS: dict[str, type[Section]] = {
    "announcement": Announcement,
    "registration": RegistrationSetting,
    "culling": Culling,
    "limits": DefaultLimits,
    "default_profile": DefaultProfile,
}


class AuditHandler(ApiHandler):
    """``/hub/api/audit``."""

    permission = Scope.READ_AUDIT

    async def get(self) -> None:
        """A page of what is looked for, newest first; `next_before` is where the next one begins."""
        asked = {name: self.get_query_argument(name, "").strip()[:200] for name in FIELDS}
        limit = max(1, self.number("limit", 50, MAX_LIMIT))
        before = self.number("before", 0, MAX_PLACE) or None
        wanted = await search_of(self.services.store, asked)
        async with self.services.store.reading() as unit:
            page = await unit.audit.search(wanted, before, limit)
            head = await unit.audit.head()
        self.write_json(
            {
                "events": [as_json(event) for event in page.events],
                "next_before": page.next_before,
                "looked_back_to": page.looked_back_to,
                "head": str(head) if head is not None else None,
            }
        )


class HistoryHandler(ApiHandler):
    """``/hub/api/history``."""

    permission = Scope.READ_HISTORY
    over = Over.SOME

    async def get(self) -> None:
        """What is counted of some days, of those whom the asker may see."""
        ask = self.get_query_argument
        span = Range.read(ask("days", ""), ask("from", ""), ask("to", ""), self.services.clock.now())
        reach = self.identity.reach(Scope.READ_HISTORY)
        of = Of() if reach.everything else Of(frozenset(reach.groups), frozenset(reach.users))
        limit = max(1, self.number("limit", 20, MAX_LIMIT))
        store = self.services.store
        counts = await self.services.history.count(of, span)
        async with store.reading() as unit:
            failures = await unit.lives.failures(of, span, limit)
        self.write_json(
            {
                "from": date_of(span.first),
                "to": date_of(span.last),
                "people": counts.people,
                "hours": round(sum(counts.seconds.values()) / 3600, 3),
                "days": [
                    {"day": day, "starts": a, "failed": f, "people": p, "median_seconds": m, "p95_seconds": s}
                    for day, a, f, p, m, s in day_rows(counts)
                ],
                "weeks": [
                    {"week": date_of(monday), "people": people}
                    for monday, people in sorted(counts.people_by_week.items())
                ],
                "failures": [
                    {
                        "outcome": failure.outcome,
                        "reason": failure.reason,
                        "code": failure.code,
                        "profile": failure.profile,
                        "times": failure.count,
                        "people": failure.people,
                        "last_at": failure.last_at,
                    }
                    for failure in failures
                ],
                "by_person": [
                    {
                        "user": one.name or None,
                        "user_id": one.user_id,
                        "hours": round(one.hours, 3),
                        "starts": one.starts,
                    }
                    for one in await most_used(store, counts, limit)
                ],
                "by_group": [
                    {"group": one.name, "hours": round(one.hours, 3), "starts": one.starts, "people": one.people}
                    for one in await most_used_by_group(self.services.history, of, counts, limit)
                ],
            }
        )


class SettingsHandler(ApiHandler):
    """``/hub/api/settings``."""

    permission = Scope.ADMIN_SETTINGS

    async def get(self) -> None:
        """All settings that can change while the hub runs, and what is fixed."""
        running = self.services.running
        shown: dict[str, Any] = {name: running.value_of(name).model_dump(mode="json") for name in SECTIONS}
        fixed = {name: where for name, where in running.current.fixed.items() if not name.startswith(PROFILE_PREFIX)}
        self.write_json({**shown, "fixed": fixed})


class OneSetting(ApiHandler):
    """``/hub/api/settings/<section>``."""

    permission = Scope.ADMIN_SETTINGS

    async def patch(self, section: str) -> None:
        """Change a section: what is left out stays. 409 for what the configuration fixes."""
        running = self.services.running
        if section not in SECTIONS:
            raise NotFound(f"There is no setting {section[:64]!r}; there are {', '.join(SECTIONS)}.")
        before = running.value_of(section).model_dump()
        value = _section(SECTIONS[section], {**before, **self.body(dict[str, Any])})
        await running.set(section, value, self.identity.user.id, self.address)
        self.write_json(running.value_of(section).model_dump(mode="json"))


class ProfilesHandler(ApiHandler):
    """``/hub/api/profiles``."""

    permission = Scope.ADMIN_PROFILES

    async def get(self) -> None:
        """All profiles, in the order in which people see them; those that are turned off last."""
        current = self.services.running.current
        self.write_json([self.shown(name) for name in (*current.profiles, *current.disabled)])

    def shown(self, name: str) -> dict[str, Any]:
        """A profile as the API gives it. Raises NotFound."""
        current = self.services.running.current
        profile = {**current.profiles, **current.disabled}.get(name)
        if profile is None:
            raise NotFound(f"There is no profile {name[:64]!r}.")
        return {
            "name": name,
            "enabled": name in current.profiles,
            "default": name == current.default_profile,
            "fixed": current.fixed.get(PROFILE_PREFIX + name),
            **profile.model_dump(mode="json"),
        }


class OneProfile(ProfilesHandler):
    """``/hub/api/profiles/<name>``."""

    async def get(self, name: str = "") -> None:
        """One profile."""
        self.write_json(self.shown(name))

    async def put(self, name: str) -> None:
        """Make a profile (201) or replace it; `enabled` false turns it off. 409 for one that is fixed."""
        current = self.services.running.current
        is_new = name not in current.profiles and name not in current.disabled
        values = dict(self.body(dict[str, Any]))
        enabled = values.pop("enabled", True)
        if not isinstance(enabled, bool):
            raise BadRequest("enabled must be true or false.")
        profile = _section(Profile, values)
        actor = self.identity.user.id
        await self.services.running.save_profile(name, profile, actor, self.address, disabled=not enabled)
        self.write_json(self.shown(name), 201 if is_new else 200)

    async def delete(self, name: str) -> None:
        """Delete it (204); its containers run on until they are stopped."""
        await self.services.running.delete_profile(name, self.identity.user.id, self.address)
        self.set_status(204)


def _section(shape: type[Section], values: Mapping[str, Any]) -> Any:
    try:
        return shape.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise BadRequest(f"{where}: {str(first['msg']).removeprefix('Value error, ')}") from error
