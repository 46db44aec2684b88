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
    """Serve until SIGTERM or SIGINT, or until SIGQUIT: then requests that are under way are answered first.

    A second signal cuts that short. Raises OSError when the address is taken.
    """
    raise_file_limit()
    told: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    proxy = Proxy(settings)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        loop.add_signal_handler(number, _tell, proxy, told, number)
    await proxy.start()
    finish = False
    try:
        finish = await told.get() == signal.SIGQUIT
    finally:
        log.info("the proxy ends%s", ", once it has answered what is under way" if finish else "")
        await proxy.close(finish=finish)


def _tell(proxy: Proxy, told: asyncio.Queue[signal.Signals], number: signal.Signals) -> None:
    told.put_nowait(number)
    if told.qsize() > 1 or number != signal.SIGQUIT:
        proxy.hurry()
