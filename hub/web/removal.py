"""What administrators do to people, the same from the pages and from the REST API."""

from __future__ import annotations

from hub.domain.users import User
from hub.http.services import Services


async def disable(services: Services, user: User, actor: str, address: str) -> User:
    """Bar a user, then stop their containers. Raises Conflict for the last administrator, EngineSilent."""
    disabled = await services.users.disable(user, actor, address)
    await services.workspaces.stop_all(disabled, "the account was disabled", actor)
    return disabled


async def delete(services: Services, user: User, actor: str, address: str) -> None:
    """Bar a user, stop their containers, free their name; they can be restored until the grace is over.

    Raises Conflict for the last administrator, EngineSilent.
    """
    await services.departures.mark(user, actor, address)
