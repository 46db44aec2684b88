"""proxy.io.listening and the end of a proxy from which another one takes over."""

from __future__ import annotations

import asyncio
import os
import socket

import aiohttp
import pytest

from proxy.app import Proxy
from proxy.config import ProxySettings
from proxy.io.listening import handed_over, listen

TOKEN = "internal"


def settings(**more: object) -> ProxySettings:
    return ProxySettings(internal_token=TOKEN, port=0, hub_url="http://127.0.0.1:9", static_roots={}, **more)  # type: ignore[arg-type]


async def status(port: int) -> int:
    timeout = aiohttp.ClientTimeout(total=10)
    url = f"http://127.0.0.1:{port}/health/live"
    async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as answer:
        return answer.status


async def test_connections_wait_for_a_proxy_in_the_queue_that_was_handed_over() -> None:
    (queue,) = listen("127.0.0.1", 0)
    port = queue.getsockname()[1]
    waiting = asyncio.create_task(status(port))
    await asyncio.sleep(0)
    proxy = Proxy(settings(listen_fds=(os.dup(queue.fileno()),)))
    await proxy.start()
    assert (await waiting, proxy.port) == (200, port)
    await proxy.close()
    waiting = asyncio.create_task(status(port))
    another = Proxy(settings(listen_fds=(os.dup(queue.fileno()),)))
    await another.start()
    assert await waiting == 200
    await another.close()
    queue.close()


async def test_a_proxy_says_when_it_listens() -> None:
    reading, writing = os.pipe()
    proxy = Proxy(settings(ready_fd=writing))
    await proxy.start()
    assert os.read(reading, 100) == b"ready\n"
    assert os.read(reading, 100) == b"", "and closes the pipe"
    os.close(reading)
    await proxy.close()


async def test_who_is_in_the_queue_of_a_proxy_that_ends_is_answered() -> None:
    proxy = Proxy(settings(reuse_port=True))
    await proxy.start()
    connections = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(20)]  # nothing is accepted yet
    for connection in connections:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await proxy.close(finish=True)
    for connection in connections:
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        connection.close()


async def test_two_proxies_listen_on_one_port_only_when_both_allow_it() -> None:
    first = Proxy(settings(reuse_port=True))
    await first.start()
    (second,) = listen("127.0.0.1", first.port, reuse_port=True)
    second.close()
    with pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", first.port)
    await first.close()


def test_what_is_handed_over_goes_to_nobody_else() -> None:
    (queue,) = listen("127.0.0.1", 0)
    descriptor = os.dup(queue.fileno())
    os.set_inheritable(descriptor, True)
    (inherited,) = handed_over([descriptor])
    assert not inherited.get_inheritable() and not inherited.getblocking()
    inherited.close()
    queue.close()
