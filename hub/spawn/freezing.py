"""Pausing at an engine: what its refusals mean is said by the container's state.

Freezing and thawing are one call each (Engine API 1.41, ``POST /containers/{id}/pause`` and ``unpause``). Version 20.10
answers 409 to the one where the container is paused already or has ended, and 500 to the other where it is not paused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from docker.errors import APIError

from hub.errors import Conflict, EngineSilent
from hub.spawn.engine import Engine, explanation

Look = Callable[[], Awaitable[dict[str, Any]]]
"""Gives the running container as the engine describes it now; raises Conflict where it does not run (any more)."""


async def freeze(engine: Engine, container_id: str, look: Look) -> None:
    """Freeze a container that runs. Raises Conflict if the engine will not, EngineSilent."""
    try:
        await engine.call(lambda client: client.pause(container_id))
    except (APIError, EngineSilent) as error:
        said = _said(error)
        if not (await look())["State"]["Paused"]:
            raise Conflict(f"The engine could not pause the container: {said}.") from error


async def thaw(engine: Engine, container_id: str, look: Look) -> None:
    """Let a paused container go on. Raises Conflict where it does not run any more, EngineSilent."""
    try:
        await engine.call(lambda client: client.unpause(container_id))
    except (APIError, EngineSilent) as error:
        said = _said(error)
        if (await look())["State"]["Paused"]:
            raise EngineSilent(f"The engine could not thaw the container: {said}.") from error


def _said(error: APIError | EngineSilent) -> str:
    """The engine's own sentence, of an answer that counts as silence, too; raises the error if it said nothing."""
    answer = error.__cause__ if isinstance(error, EngineSilent) else error
    if not isinstance(answer, APIError):
        raise error
    return explanation(answer)
