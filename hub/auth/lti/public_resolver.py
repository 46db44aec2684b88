"""Finds the addresses of hosts that a platform named, and only public ones."""

from __future__ import annotations

import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from hub.auth.lti.public_addresses import is_public


class PublicOnly(AbstractResolver):
    """Finds only public addresses; what was found is what is connected to, so no second answer can differ."""

    def __init__(self) -> None:
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """See AbstractResolver. Raises OSError when nothing public is left."""
        found = [each for each in await self._inner.resolve(host, port, family) if is_public(each["host"])]
        if not found:
            raise OSError(f"{host} has no public address")
        return found

    async def close(self) -> None:
        """See AbstractResolver."""
        await self._inner.close()
