"""Runs a proxy until the process is told to end."""

from __future__ import annotations

import asyncio
import logging
import signal

from proxy.app import Proxy
from proxy.config import ProxySettings
from proxy.kit.file_limit import raise_file_limit

log = logging.getLogger(__name__)


async def run(settings: ProxySettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError when the address is taken."""
    raise_file_limit()
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    proxy = Proxy(settings)
    await proxy.start()
    try:
        await told.wait()
    finally:
        log.info("the proxy ends")
        await proxy.close()
