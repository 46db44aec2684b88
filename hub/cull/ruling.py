"""What administrators and groups' owners say of when idle things end: read, checked, written, recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hub.config import Culling
from hub.config.culling import CullingRules, GroupRules, OwnerRules
from hub.cull.rules import layer_of, policy_of, read_rules
from hub.domain.audit import AuditEvent
from hub.domain.culling import in_words
from hub.domain.culling_policy import FOR_OWNERS, within_cap
from hub.domain.users import Group, User
from hub.errors import Forbidden
from hub.running_settings import changes_between
from hub.store.culling import StoredRules
from hub.store.engine import Store
from proxy.kit.clock import Clock

NAMES = {"kernel_idle": "A kernel’s idle time", "workspace_empty": "An empty container’s time"}


class Ruling:
    """Rules of groups and users. `culling` gives the settings of everybody."""

    def __init__(self, store: Store, clock: Clock, culling: Callable[[], Culling]) -> None:
        self._store = store
        self._clock = clock
        self._culling = culling

    async def of_group(self, group: Group) -> tuple[GroupRules, OwnerRules]:
        """What administrators say for a group, and what its owners say."""
        async with self._store.reading() as unit:
            stored = await unit.culling.rules_of_group(group.id)
        return read_rules(GroupRules, stored.get(False)), read_rules(OwnerRules, stored.get(True))

    async def of_user(self, user: User) -> CullingRules:
        """What administrators say for one user."""
        async with self._store.reading() as unit:
            return read_rules(CullingRules, await unit.culling.rules_of_user(user.id))

    async def set_for_group(self, group: Group, rules: GroupRules, actor: str, address: str = "") -> None:
        """Write an administrator's word for a group in place of the one before."""
        before, _ = await self.of_group(group)
        await self._save(StoredRules(None, group.id, False, *self._said(rules, actor)), group.name, before, address)

    async def set_by_owner(self, group: Group, rules: OwnerRules, actor: str, address: str = "") -> None:
        """Write the owners' word for their group. Raises Forbidden for more than administrators allow."""
        administrators, before = await self.of_group(group)
        layer, base = layer_of(administrators, ""), policy_of(self._culling())
        for name in FOR_OWNERS:
            said = layer_of(rules, "").values
            if name not in said:
                continue
            otherwise = layer.values.get(name, getattr(base, name))
            allowed = within_cap(said[name], otherwise, layer)
            if allowed != said[name]:
                most = in_words(allowed) if allowed is not None else "never"
                raise Forbidden(
                    f"{NAMES[name]} may be {most} at most in {group.name}; an administrator can allow more."
                )
        await self._save(StoredRules(None, group.id, True, *self._said(rules, actor)), group.name, before, address)

    async def set_for_user(self, user: User, rules: CullingRules, actor: str, address: str = "") -> None:
        """Write an administrator's word for a user in place of the one before."""
        before = await self.of_user(user)
        await self._save(StoredRules(user.id, None, False, *self._said(rules, actor)), user.id, before, address)

    def _said(self, rules: OwnerRules, actor: str) -> tuple[dict[str, Any], Any, str]:
        value = rules.model_dump(mode="json", exclude_defaults=True)
        return value, self._clock.now(), actor

    async def _save(self, stored: StoredRules, subject: str, before: OwnerRules, address: str) -> None:
        was = before.model_dump(mode="json", exclude_defaults=True)
        if was == stored.value:
            return
        details = {"said_by": "owners" if stored.by_owner else "administrators", **changes_between(was, stored.value)}
        if stored.user_id is not None:
            details = {"user": stored.user_id, **details}
        async with self._store.unit() as unit:
            await unit.culling.save_rules(stored)
            await unit.audit.add(
                AuditEvent(stored.changed_at, "culling.rules_changed", stored.changed_by, subject, address, details)
            )
