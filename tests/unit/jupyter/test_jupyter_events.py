"""Events: every tab of a user hears what happened, nobody else's does, and none after the sign-in has ended."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from hub.domain.ids import PrincipalId, UserId
from hub.errors import StoreUnavailable, TooManyRequests
from hub.http.handler import INTERNAL_HEADER
from hub.jupyter.announcements import MAX_SOCKETS_OF_USER, Events
from proxy.contract.close_codes import CloseCode


class Tab:
    """A listener in memory."""

    def __init__(self, principal: str = "p") -> None:
        self.principal = PrincipalId(principal)
        self.heard: list[Any] = []
        self.ended = False

    def tell(self, event: bytes) -> None:
        self.heard.append(json.loads(event))

    def end(self) -> None:
        self.ended = True


async def connect(hub: Any, who: str, **headers: str) -> WebSocketClientConnection:
    sent = {INTERNAL_HEADER: "internal", "Cookie": f"who={who}", "Origin": f"http://127.0.0.1:{hub.port}", **headers}
    present = {name: value for name, value in sent.items() if value}
    address = f"ws://127.0.0.1:{hub.port}/user/alice/api/events/subscribe"
    return await websocket_connect(HTTPRequest(address, headers=present))


async def test_a_tab_hears_what_another_one_did(hub: Any) -> None:
    tab = await connect(hub, "alice")
    body = {"type": "file", "format": "text", "content": ""}
    await hub.json("PUT", "api/contents/a.txt", body, status=201)
    await hub.json("GET", "api/contents/a.txt")
    await hub.json("PATCH", "api/contents/a.txt", {"path": "b.txt"})
    await hub.json("DELETE", "api/contents/b.txt", status=204)
    await hub.json("POST", "api/events", {"schema_id": "x", "version": "1", "data": {"y": 1}}, status=204)
    heard = [json.loads(str(await tab.read_message())) for _ in range(4)]
    schema = "https://events.jupyter.org/jupyter_server/contents_service/v1"
    assert heard == [
        {"schema_id": schema, "action": "save", "path": "a.txt"},
        {"schema_id": schema, "action": "rename", "path": "b.txt", "source_path": "a.txt"},
        {"schema_id": schema, "action": "delete", "path": "b.txt"},
        {"schema_id": "x", "y": 1},
    ]
    tab.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": "who=bob"},
        {"Cookie": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {INTERNAL_HEADER: ""},
    ],
)
async def test_nobody_else_can_listen(hub: Any, headers: dict[str, str]) -> None:
    with pytest.raises(HTTPClientError) as refused:
        await connect(hub, "alice", **headers)
    assert refused.value.code == 403


async def test_a_program_with_a_token_needs_no_origin(hub: Any) -> None:
    tab = await connect(hub, "alice", Cookie="", Origin="", Authorization="token alice")
    tab.close()


async def test_wrong_events_are_refused(hub: Any) -> None:
    for body in ({"schema_id": "x"}, {"schema_id": 1, "version": "1", "data": {}}, None):
        await hub.json("POST", "api/events", body, status=400)


async def test_the_socket_of_an_ended_sign_in_is_closed(hub: Any) -> None:
    tab = await connect(hub, "alice")

    async def nobody(_held: set[PrincipalId]) -> set[str]:
        return set()

    await hub.services.frontends.events.end_dead(nobody)
    assert await tab.read_message() is None
    assert tab.close_code == CloseCode.SIGNED_OUT


def test_only_the_tabs_of_the_user_hear() -> None:
    events, own, other = Events(), Tab(), Tab()
    events.join(UserId("a"), own)
    events.join(UserId("b"), other)
    events.contents(UserId("a"), "save", "x")
    assert len(own.heard) == 1 and other.heard == []
    events.leave(UserId("a"), own)
    events.leave(UserId("a"), own)
    events.contents(UserId("a"), "save", "x")
    assert len(own.heard) == 1


def test_a_user_has_only_so_many_sockets() -> None:
    events = Events()
    for _ in range(MAX_SOCKETS_OF_USER):
        events.join(UserId("a"), Tab())
    with pytest.raises(TooManyRequests):
        events.join(UserId("a"), Tab())


async def test_a_database_that_is_away_ends_no_socket() -> None:
    events, tab = Events(), Tab()
    events.join(UserId("a"), tab)

    async def away(_held: set[PrincipalId]) -> set[str]:
        raise StoreUnavailable("The database did not answer.")

    with pytest.raises(StoreUnavailable):
        await events.end_dead(away)
    assert not tab.ended
