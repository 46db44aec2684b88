"""Large bodies: who sends them is known before they are kept, and nobody holds the memory."""

from __future__ import annotations

import asyncio
import errno
import json
from typing import Any

import pytest

from hub.contents.large import LARGE_BYTES
from hub.contents.spool import Spool
from hub.http.handler import INTERNAL_HEADER
from hub.jupyter.contents import ContentsHandler

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
    monkeypatch.setattr("hub.http.streaming.DROP_SECONDS", 0.2)
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


def big(size: int) -> bytes:
    """The request of a save of a notebook of about this size."""
    notebook = {"cells": [], "metadata": {"x": "x" * size}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps({"type": "notebook", "format": "json", "content": notebook}).encode()


async def put(hub: Any, path: str, body: bytes, method: str = "PUT") -> tuple[int, dict[str, Any]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    head = (
        f"{method} /user/alice/{path} HTTP/1.1\r\nHost: 127.0.0.1:{hub.port}\r\n{INTERNAL_HEADER}: "
        f"{hub.services.internal_token}\r\nAuthorization: token alice\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    first, _, rest = answer.partition(b"\r\n\r\n")
    return int(first.split()[1]), json.loads(rest)


async def test_of_a_large_body_only_the_first_mebibytes_are_in_memory(
    hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = 0
    pieces: list[int] = []
    add, data_received = Spool.add, ContentsHandler.data_received

    def watched(handler: Any, chunk: bytes) -> Any:
        nonlocal longest
        done = data_received(handler, chunk)
        longest = max(longest, len(handler._received))
        return done

    async def noted(spool: Spool, piece: bytes) -> Any:
        pieces.append(len(piece))
        return await add(spool, piece)

    monkeypatch.setattr(ContentsHandler, "data_received", watched)
    monkeypatch.setattr(Spool, "add", noted)
    body = big(12 * MIB)
    status_code, model = await put(hub, "api/contents/a.ipynb", body)
    assert (status_code, model["type"]) == (201, "notebook")
    assert longest <= LARGE_BYTES + 64 * 1024
    assert sum(pieces) == len(body) and max(pieces[1:]) < 2 * MIB
    assert hub.application.settings["held_bytes"].total == 0
    shown = json.loads((await hub.fetch("GET", "/user/alice/api/contents/a.ipynb")).body)
    assert shown["content"]["metadata"] == {"x": "x" * 12 * MIB}


async def test_small_bodies_go_by_way_of_memory(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spool, "add", None)
    assert (await put(hub, "api/contents/a.ipynb", big(3 * MIB)))[0] == 201


async def test_what_is_wrong_with_a_large_body_is_said(hub: Any) -> None:
    assert (await put(hub, "api/contents/a.ipynb", b" " * 5 * MIB))[0] == 400
    status_code, error = await put(hub, "api/contents/a.ipynb", b'{"type": "notebook", "content": [' + b"1," * 3 * MIB)
    assert (status_code, error["message"]) == (400, "The request's body is not valid JSON.")
    assert (await put(hub, "api/contents/no/such/a.ipynb", big(5 * MIB)))[0] == 404
    for method in ("POST", "PATCH"):
        assert (await put(hub, "api/contents/a.ipynb", big(5 * MIB), method))[0] == 413
    assert hub.application.settings["held_bytes"].total == 0


async def test_a_full_disk_of_the_hub_is_answered_507(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("hub.contents.drafts.write_all", full)
    status_code, error = await put(hub, "api/contents/a.ipynb", big(12 * MIB))
    assert status_code == 507 and "disk of the hub" in error["message"]
    assert hub.application.settings["held_bytes"].total == 0
