"""Roles of the configuration, and who has them by which groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.auth.assemble import make_auth
from hub.config import ConfigError, Settings, load_settings
from hub.domain.ids import GroupId, new_id
from hub.domain.scopes import Scope
from hub.domain.users import Group, MemberRole, Role
from hub.store.engine import Store
from proxy.kit.clock import ManualClock

ROLES = {
    "assistant": {"scopes": ["servers!group=physics", "read:users!user=bob", "groups!group=gone"]},
    "ops": {"scopes": ["read:audit"], "groups": ["ops", "keycloak:staff"]},
}


async def test_a_role_of_the_configuration_adds_to_what_a_member_may(
    store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    auth = make_auth(Settings(data_dir=tmp_path, roles=ROLES), store, clock)
    asta, bob = await auth.users.add("asta", "assistant", "test"), await auth.users.add("bob", Role.USER, "test")
    group = Group(GroupId(new_id()), "physics", clock.now())
    async with store.unit() as unit:
        await unit.groups.add(group)
    grants = await auth.authority.grants_of(asta)
    assert grants.reach(Scope.JUPYTER).users == {asta.id}
    assert grants.reach(Scope.DELETE_SERVERS).groups == {group.id}
    assert grants.reach(Scope.READ_USERS).users == {asta.id, bob.id}
    assert not grants.reach(Scope.GROUPS)
    await auth.close()


@pytest.mark.parametrize(
    ("name", "source", "has"),
    [("ops", "hub", True), ("ops", "lms", False), ("staff", "keycloak", True), ("staff", "hub", False)],
)
async def test_a_group_gives_a_role_to_those_whom_the_right_one_put_there(
    store: Store, clock: ManualClock, tmp_path: Path, name: str, source: str, has: bool
) -> None:
    auth = make_auth(Settings(data_dir=tmp_path, roles=ROLES), store, clock)
    bob, group = await auth.users.add("bob", Role.USER, "test"), Group(GroupId(new_id()), name, clock.now())
    async with store.unit() as unit:
        await unit.groups.add(group)
        await unit.groups.add_member(group.id, bob.id, MemberRole.MEMBER, source)
    assert bool((await auth.authority.grants_of(bob)).reach(Scope.READ_AUDIT)) is has
    await auth.close()


@pytest.mark.parametrize(
    "section",
    [
        '[roles.admin]\nscopes = ["self"]',
        '[roles.Boss]\nscopes = ["self"]',
        '[roles.x]\nscopes = ["nope"]',
        '[roles.x]\nscopes = ["shutdown!user"]',
        '[roles.x]\nscopes = "servers"',
        "[roles.x]\ngroups = []",
        '[roles.x]\nscopes = []\nusers = ["bob"]',
    ],
)
def test_a_mistake_in_a_role_aborts_the_start(tmp_path: Path, section: str) -> None:
    file = tmp_path / "kernelhub.toml"
    file.write_text(section)
    with pytest.raises(ConfigError, match="roles"):
        load_settings(file)
