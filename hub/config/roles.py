"""Roles of the configuration: ``[roles.NAME]`` with scopes, and the groups whose people have the role."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from hub.config.values import Section
from hub.domain.roles import BUILT_IN, CustomRole
from hub.domain.scopes import MAX_SCOPES, InvalidScope, parse_scope

_ROLE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}\Z")


class RoleSection(Section):
    """What somebody with the role may do besides what every member may."""

    scopes: list[str] = Field(
        description='Scopes, each with an optional filter: `"read:users"`, `"servers!group=physics"`. '
        "docs/how-to/permissions.md lists them."
    )
    groups: list[str] = Field(
        [],
        description="Groups whose people have the role: `name` for those whom the hub's people have put into it, "
        "`provider:name` for those whom a provider has.",
    )

    @field_validator("scopes")
    @classmethod
    def _known_scopes(cls, scopes: list[str]) -> list[str]:
        if len(scopes) > MAX_SCOPES:
            raise ValueError(f"a role has at most {MAX_SCOPES} scopes")
        for text in scopes:
            try:
                parse_scope(text)
            except InvalidScope as error:
                raise ValueError(f"{text[:80]!r}: {error}") from None
        return scopes


def check_role_names(roles: dict[str, RoleSection]) -> dict[str, RoleSection]:
    """The roles, if all names can be roles' names. Raises ValueError."""
    for name in roles:
        if not _ROLE_NAME.match(name):
            raise ValueError(f"{name!r} cannot be a role's name: 1 to 40 lower-case letters, digits, - and _")
        if name in BUILT_IN:
            raise ValueError(f"the role {name!r} is built in and cannot be changed; give yours another name")
    return roles


def custom_roles(roles: dict[str, RoleSection]) -> dict[str, CustomRole]:
    """The roles as values, by name."""
    return {
        name: CustomRole(name, tuple(map(parse_scope, section.scopes)), tuple(section.groups))
        for name, section in roles.items()
    }
