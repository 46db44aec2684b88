"""How a hub ends: who asked for it, and what shall end with it."""

from __future__ import annotations

import asyncio

ENDED_FOR_GOOD = 3
"""Exit status of a hub that was told to shut down with its proxy: nobody shall start it again."""


class Ending:
    """A wish that the hub should end; `wanted` is set once there is one."""

    def __init__(self) -> None:
        self.wanted = asyncio.Event()
        self.for_good = False
        self.stop_workspaces = False

    def ask(self, *, for_good: bool = False, stop_workspaces: bool = False) -> None:
        """End the hub soon. `for_good`: its supervisor and the proxy, too; `stop_workspaces`: users' containers."""
        self.for_good = self.for_good or for_good
        self.stop_workspaces = self.stop_workspaces or stop_workspaces
        self.wanted.set()
