"""What the supervisor asks a running hub and proxy: whether they are ready, and how to begin."""

from __future__ import annotations

import asyncio
import urllib.request

import msgspec

DEADLINE_SECONDS = 5.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Both are on this machine: a gateway that the environment names has no part in it."""


class Welcome(msgspec.Struct, frozen=True):
    """Answer of ``POST /internal/welcome``: a link for the first administrator while there is none, and a warning."""

    setup_path: str | None = None
    warning: str | None = None


async def is_ready(address: str) -> bool:
    """Whether the public address answers ``/health/ready``."""

    def ask() -> bool:
        try:
            with _DIRECT.open(f"{address}/health/ready", timeout=DEADLINE_SECONDS) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    return await asyncio.to_thread(ask)


async def ask_welcome(hub_url: str, internal_token: str) -> Welcome:
    """How to begin. Raises OSError when the hub does not answer."""

    def ask() -> Welcome:
        request = urllib.request.Request(  # noqa: S310 - the address is the hub's own
            f"{hub_url}/internal/welcome",
            data=b"{}",
            headers={"X-Kernelhub-Internal": internal_token, "Content-Type": "application/json"},
        )
        with _DIRECT.open(request, timeout=DEADLINE_SECONDS) as answer:
            return msgspec.json.decode(answer.read(), type=Welcome)

    return await asyncio.to_thread(ask)
