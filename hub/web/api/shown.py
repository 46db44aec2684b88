"""What the API shows of users, their containers and groups: each asker sees what their scopes reach.

The *servers* that JupyterHub knows of a user are here the workspaces: that of the default profile has no name, the
others have their profiles' names, and all have the same address, since the interface itself is always there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from hub.auth.identity import Identity
from hub.domain.ids import GroupId, UserId
from hub.domain.scopes import Scope
from hub.domain.users import Group, MemberRole, Role, User
from hub.domain.workspace import Workspace, WorkspaceState
from hub.store.unit import Unit
from hub.web.api.models import GroupModel, ServerModel, UserModel
from hub.web.page import lab_path

_PENDING = {WorkspaceState.STARTING: "spawn", WorkspaceState.STOPPING: "stop"}
_SEEN = (Scope.READ_USERS, Scope.READ_USERS_GROUPS, Scope.READ_USERS_ACTIVITY, Scope.READ_SERVERS)


@dataclass(frozen=True, slots=True)
class View:
    """How the API shows things: to whom, with which profile as the one without a name, below which origin."""

    identity: Identity
    default_profile: str
    origin: str | None

    async def users(self, unit: Unit, users: Sequence[User], *, stopped: bool = False) -> list[UserModel]:
        """These users, in a fixed number of queries. `stopped`: also containers that do not run."""
        ids = [user.id for user in users]
        names = await unit.groups.names_for(ids)
        workspaces = await unit.workspaces.list_for_many(ids, stopped=stopped)
        reaches = [self.identity.reach(scope) for scope in _SEEN]
        filtered = any(not reach.everything for reach in reaches)
        groups: dict[UserId, frozenset[GroupId]] = await unit.permissions.groups_of(ids) if filtered else {}
        return [
            self._user(user, names[user.id], workspaces[user.id], groups.get(user.id, frozenset())) for user in users
        ]

    def _user(self, user: User, names: list[str], workspaces: list[Workspace], groups: frozenset[GroupId]) -> UserModel:
        sees = {scope: self.identity.may(scope, user.id, groups=groups) for scope in _SEEN}
        shown = UserModel(name=user.name, kind="user")
        if sees[Scope.READ_USERS]:
            shown = msgspec.structs.replace(
                shown,
                admin=user.is_admin,
                roles=_roles(user),
                created=user.created_at,
                disabled=user.disabled_at is not None,
                display_name=user.display_name,
                email=user.email,
            )
        if sees[Scope.READ_USERS_GROUPS]:
            shown = msgspec.structs.replace(shown, groups=names)
        if sees[Scope.READ_USERS_ACTIVITY]:
            shown = msgspec.structs.replace(shown, last_activity=user.last_activity_at)
        if sees[Scope.READ_SERVERS]:
            servers = {model.name: model for model in (self.server(user, each) for each in workspaces)}
            default = servers.get("")
            shown = msgspec.structs.replace(
                shown,
                server=default.url if default is not None and default.ready else None,
                pending=default.pending if default is not None else None,
                servers=servers,
            )
        return shown

    def server(self, user: User, workspace: Workspace) -> ServerModel:
        """A workspace as a server."""
        name = "" if workspace.profile == self.default_profile else workspace.profile
        base = lab_path(user).removesuffix("lab")
        progress = progress_path(user, name)
        return ServerModel(
            name=name,
            display_name="",
            ready=workspace.state is WorkspaceState.RUNNING,
            stopped=workspace.state is WorkspaceState.STOPPED,
            pending=_PENDING.get(workspace.state),
            url=base,
            full_url=f"{self.origin}{base}" if self.origin else None,
            progress_url=progress,
            full_progress_url=f"{self.origin}{progress}" if self.origin else None,
            started=workspace.started_at if workspace.state is not WorkspaceState.STOPPED else None,
            last_activity=workspace.last_activity_at,
            user_options={"profile": workspace.profile},
            kernelhub_state=workspace.state.value,
            stop_reason=workspace.stop_reason,
            kernelhub_paused=workspace.paused_at,
        )

    async def groups(self, unit: Unit, groups: Sequence[Group]) -> list[GroupModel]:
        """These groups, in one more query; who is in them only to those who may read it."""
        readable = [group.id for group in groups if self.identity.may(Scope.READ_GROUPS, group=group.id)]
        people = await unit.groups.member_names(readable)
        return [self._group(group, people.get(group.id)) for group in groups]

    def _group(self, group: Group, people: Iterable[tuple[str, MemberRole]] | None) -> GroupModel:
        if people is None:
            return GroupModel(name=group.name, kind="group")
        found = list(people)
        return GroupModel(
            name=group.name,
            kind="group",
            users=[name for name, _ in found],
            properties=group.properties,
            roles=[],
            owners=[name for name, role in found if role is MemberRole.OWNER],
            display_name=group.display_name,
            source=group.source,
        )


def progress_path(user: User, server: str) -> str:
    """Where the progress of a server's start is told."""
    base = f"/hub/api/users/{quote(user.name, safe='@+')}"
    return f"{base}/servers/{quote(server)}/progress" if server else f"{base}/server/progress"


def _roles(user: User) -> list[str]:
    """The roles as JupyterHub lists them: administrators are users besides, and so is everybody with a custom role."""
    return [user.role] if user.role in {Role.USER, Role.GUEST} else [user.role, Role.USER]
