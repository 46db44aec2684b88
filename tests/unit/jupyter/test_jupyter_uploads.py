"""Large bodies: who sends them is known before they are kept, and nobody holds the memory."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from hub.http.handler import INTERNAL_HEADER

MIB = 1024 * 1024


async def began(hub: Any, who: str, name: str, sent: int, xsrf: str | None = None) -> tuple[Any, Any]:
    """A PUT of which only the first `sent` bytes of 100 MiB arrive."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    token = xsrf if xsrf is not None else f"form-token-of-{who}"
    head = (
        f"PUT /user/{name}/api/contents/a.txt HTTP/1.1\r\nHost: 127.0.0.1:{hub.port}\r\n{INTERNAL_HEADER}: "
        f"{hub.services.internal_token}\r\nCookie: who={who}\r\nX-XSRFToken: {token}\r\n"
        f"Content-Length: {100 * MIB}\r\n\r\n"
    )
    writer.write(head.encode() + b" " * sent)
    return reader, writer


async def status(reader: Any) -> bytes:
    async with asyncio.timeout(5):
        line: bytes = await reader.readline()
        return line


async def test_a_body_of_somebody_who_may_not_send_it_is_refused_and_none_of_it_is_kept(
    hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.http.handler.DROP_SECONDS", 0.2)
    held = hub.application.settings["held_bytes"]
    counted: list[int] = []

    def take(_owner: str, count: int, _most: int) -> bool:
        counted.append(count)
        return True

    monkeypatch.setattr(held, "take", take)
    for who, name, xsrf in (("nobody", "alice", None), ("bob", "alice", None), ("alice", "alice", "wrong")):
        reader, writer = await began(hub, who, name, MIB, xsrf)
        assert b" 403 " in await status(reader), (who, name)
        writer.close()
    assert counted == []


async def test_what_a_client_that_left_had_sent_is_held_no_more(hub: Any) -> None:
    held = hub.application.settings["held_bytes"]
    _, writer = await began(hub, "alice", "alice", MIB)
    async with asyncio.timeout(5):
        while held.total < MIB:
            await asyncio.sleep(0.01)
    writer.close()
    async with asyncio.timeout(5):
        while held.total:
            await asyncio.sleep(0.01)


async def test_a_user_who_sends_more_than_the_largest_body_at_once_is_told_so_and_others_are_not(hub: Any) -> None:
    held = hub.application.settings["held_bytes"]
    most = hub.services.settings.max_upload_bytes
    assert held.take("id-alice", most, most)
    body = {"type": "file", "format": "text", "content": "x"}
    assert (await hub.fetch("PUT", "/user/alice/api/contents/a.txt", body)).code == 429
    assert (await hub.fetch("PUT", "/user/bob/api/contents/a.txt", body, who="bob")).code == 201
    held.give_back("id-alice", most)
    assert (await hub.fetch("PUT", "/user/alice/api/contents/a.txt", body)).code == 201
    assert held.total == 0
    assert json.loads((await hub.fetch("GET", "/user/alice/api/contents/a.txt")).body)["content"] == "x"
