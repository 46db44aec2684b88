"""Bodies that are too large: refused before they are read, whoever sends them, and bounded by sender."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tornado.httpserver import HTTPServer
from tornado.routing import URLSpec
from tornado.testing import bind_unused_port

from hub.config import Settings
from hub.http.application import make_application
from hub.http.handler import INTERNAL_HEADER, Access, HubHandler
from hub.http.held_bytes import HeldBytes
from hub.http.services import Services
from hub.http.streaming import BodyTooLarge
from hub.jupyter.routes import routes as jupyter_routes
from hub.web.routes import routes as web_routes

MIB = 1024 * 1024


class Small(HubHandler):
    access = Access.PUBLIC
    csrf_exempt = True

    @classmethod
    def body_limit(cls, settings: Settings) -> int:
        return 1000

    def post(self) -> None:
        self.write_json({"bytes": len(self.request.body)})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    settings = SimpleNamespace(secure_cookies=False, allowed_origins=[])
    services = cast(Services, SimpleNamespace(settings=settings, internal_token="t", guard=None))
    server = HTTPServer(make_application(services, [URLSpec("/small", Small)]), max_body_size=512 * MIB)
    socket, number = bind_unused_port()
    server.add_sockets([socket])
    yield number
    server.stop()
    await server.close_all_connections()


async def answer_to(port: int, head: str, body: bytes = b"", path: str = "/small") -> bytes:
    """What is answered when the head and only this part of the body have been sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\n{INTERNAL_HEADER}: t\r\n{head}\r\n\r\n".encode() + body)
    try:
        async with asyncio.timeout(5):
            return await reader.readline()
    finally:
        writer.close()


async def test_a_body_over_the_limit_is_413_and_none_of_it_is_kept(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: list[int] = []
    monkeypatch.setattr(BodyTooLarge, "data_received", lambda self, chunk: dropped.append(len(chunk)))
    for path in ("/small", "/nothing"):
        dropped.clear()
        assert b" 413 " in await answer_to(port, f"Content-Length: {2 * MIB}", b"x" * 2 * MIB, path)
        assert (sum(dropped), max(dropped) <= 64 * 1024) == (2 * MIB, True)


async def test_a_body_over_the_limit_that_never_arrives_is_413_too(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.http.streaming.DROP_SECONDS", 0.1)
    assert b" 413 " in await answer_to(port, f"Content-Length: {300 * MIB}", b"x")


async def test_a_body_of_unknown_length_is_cut_off_at_the_limit(port: int) -> None:
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
    assert b" 400 " in await answer_to(port, "Transfer-Encoding: chunked", chunk)


async def test_a_body_within_the_limit_arrives(port: int) -> None:
    assert b" 200 " in await answer_to(port, "Content-Length: 1000", b"x" * 1000)


def test_one_sender_may_hold_one_largest_body_and_all_together_two() -> None:
    held = HeldBytes()
    assert held.take("a", 100, most=100)
    assert not held.take("a", 1, most=100)
    assert held.take("b", 60, most=100)
    assert held.take("c", 40, most=100)
    assert not held.take("d", 1, most=100)
    held.give_back("a", 100)
    assert held.take("a", 50, most=100)
    for owner, count in {"a": 50, "b": 60, "c": 40}.items():
        held.give_back(owner, count)
    assert held.total == 0


def test_every_address_of_the_hub_but_uploads_takes_at_most_a_few_mebibytes() -> None:

    settings = Settings()
    large: dict[str, Any] = {}
    for spec in [*web_routes(), *jupyter_routes()]:
        assert issubclass(spec.handler_class, HubHandler)
        if spec.handler_class.body_limit(settings) > 8 * MIB:
            large[spec.handler_class.__name__] = getattr(spec.handler_class, "_stream_request_body", False)
    assert large == {"ContentsHandler": True, "ExportBodyHandler": True}
