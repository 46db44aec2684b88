"""What administrators do to people, the same from the pages and from the REST API."""

from __future__ import annotations

from hub.domain.users import User
from hub.domain.workspace import WorkspaceState
from hub.http.services import Services


async def stop_workspaces(services: Services, user: User, reason: str, actor: str) -> None:
    """Stop all containers of a user. Raises EngineSilent when the engine cannot be asked."""
    for workspace in await services.workspaces.list_for(user):
        if workspace.state is not WorkspaceState.STOPPED:
            await services.workspaces.stop(workspace.id, reason, actor=actor)


async def disable(services: Services, user: User, actor: str, address: str) -> User:
    """Bar a user, then stop their containers. Raises Conflict for the last administrator."""
    disabled = await services.users.disable(user, actor, address)
    await stop_workspaces(services, disabled, "the account was disabled", actor)
    return disabled


async def delete(services: Services, user: User, actor: str, address: str) -> None:
    """Bar a user, stop their containers, and only then delete: a silent engine leaves nothing ownerless.

    Raises Conflict for the last administrator, EngineSilent.
    """
    await disable(services, user, actor, address)
    await services.users.delete(user, actor, address)
