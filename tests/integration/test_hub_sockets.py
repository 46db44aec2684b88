"""The door of a whole hub: who may open a WebSocket from where, what is not public, whose word is believed."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.harness.accounts import PASSWORD, Account, add_account, audit
from tests.harness.client import HubClient, KernelConnection, text_of
from tests.harness.plain_http import ask
from tests.harness.running import RunningHub, running_hub


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process") as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


@pytest.fixture(scope="module")
def bob(hub: RunningHub) -> Account:
    return add_account(hub, "bob")


@pytest.fixture(scope="module")
def kernel_id(hub: RunningHub, ada: Account) -> str:
    answer = ask(hub.address, "/user/ada/api/kernels", "POST", token=ada.token, body={"name": "python3"})
    assert answer.status == 201, answer
    found: str = answer.json()["id"]
    return found


@pytest.fixture(scope="module")
def terminal(hub: RunningHub, ada: Account) -> str:
    answer = ask(hub.address, "/user/ada/api/terminals", "POST", token=ada.token)
    assert answer.status == 200, answer
    found: str = answer.json()["name"]
    return found


@pytest.fixture(params=["kernel", "terminal", "events"])
def socket_path(request: pytest.FixtureRequest, kernel_id: str, terminal: str) -> str:
    """The path of each kind of WebSocket of ada's."""
    paths = {
        "kernel": f"/user/ada/api/kernels/{kernel_id}/channels",
        "terminal": f"/user/ada/terminals/websocket/{terminal}",
        "events": "/user/ada/api/events/subscribe",
    }
    return paths[request.param]


async def status_of(hub: RunningHub, path: str, headers: dict[str, str]) -> int:
    """101 where the WebSocket opens, else the refusal's status."""
    async with aiohttp.ClientSession() as http:
        try:
            async with http.ws_connect(hub.address + path, headers=headers):
                return 101
        except aiohttp.WSServerHandshakeError as refused:
            return refused.status


async def cookie_of(hub: RunningHub, account: Account) -> str:
    """The Cookie header of a new sign-in."""
    async with HubClient(hub.address, account.name) as client:
        await client.sign_in(PASSWORD)
        return "; ".join(f"{cookie.key}={cookie.value}" for cookie in client.http.cookie_jar)


async def test_a_page_of_the_hub_itself_opens_its_users_sockets(
    hub: RunningHub, ada: Account, socket_path: str
) -> None:
    headers = {"Cookie": await cookie_of(hub, ada), "Origin": hub.address}
    assert await status_of(hub, socket_path, headers) == 101


async def test_no_other_sites_page_opens_a_socket_with_the_users_cookie(
    hub: RunningHub, ada: Account, socket_path: str
) -> None:
    cookie = await cookie_of(hub, ada)
    port = urlsplit(hub.address).port
    origins = [
        "https://evil.example",
        "null",
        "",
        f"http://localhost:{port}",
        f"http://127.0.0.1:{(port or 0) + 1}",
        f"{hub.address}.evil.example",
        f"http://127.0.0.1:{port}@evil.example",
        "file://",
        f"ws://127.0.0.1:{port}",
    ]
    for origin in origins:
        assert await status_of(hub, socket_path, {"Cookie": cookie, "Origin": origin}) == 403, origin


async def test_a_missing_origin_is_no_permission_for_a_cookie(hub: RunningHub, ada: Account, socket_path: str) -> None:
    assert await status_of(hub, socket_path, {"Cookie": await cookie_of(hub, ada)}) == 403


async def test_a_program_with_a_token_needs_no_origin(hub: RunningHub, ada: Account, socket_path: str) -> None:
    assert await status_of(hub, socket_path, {"Authorization": f"token {ada.token}"}) == 101


async def test_a_page_of_another_site_opens_none_even_with_a_token(
    hub: RunningHub, ada: Account, socket_path: str
) -> None:
    headers = {"Authorization": f"token {ada.token}", "Origin": "https://evil.example"}
    assert await status_of(hub, socket_path, headers) == 403


async def test_nobody_opens_a_socket_without_credentials(hub: RunningHub, socket_path: str) -> None:
    assert await status_of(hub, socket_path, {"Origin": hub.address}) == 403


async def test_another_users_socket_is_refused_by_cookie_and_by_token(
    hub: RunningHub, bob: Account, socket_path: str
) -> None:
    by_cookie = {"Cookie": await cookie_of(hub, bob), "Origin": hub.address}
    assert await status_of(hub, socket_path, by_cookie) == 403
    assert await status_of(hub, socket_path, {"Authorization": f"token {bob.token}"}) == 403


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
def test_another_users_kernel_is_refused_by_http(hub: RunningHub, bob: Account, kernel_id: str, method: str) -> None:
    action = "/interrupt" if method == "POST" else ""
    assert ask(hub.address, f"/user/ada/api/kernels/{kernel_id}{action}", method, token=bob.token).status == 403


async def test_another_users_kernel_is_not_found_under_ones_own_name(
    hub: RunningHub, ada: Account, bob: Account, kernel_id: str
) -> None:
    own = f"/user/bob/api/kernels/{kernel_id}"
    token = {"Authorization": f"token {bob.token}"}
    assert await status_of(hub, f"{own}/channels", token) == 404
    for method, action in [("GET", ""), ("DELETE", ""), ("POST", "/interrupt"), ("POST", "/restart")]:
        answer = await asyncio.to_thread(ask, hub.address, own + action, method, token=bob.token)
        assert answer.status == 404, answer
    body = {"path": "x.ipynb", "name": "", "type": "notebook", "kernel": {"id": kernel_id}}
    answer = await asyncio.to_thread(ask, hub.address, "/user/bob/api/sessions", "POST", token=bob.token, body=body)
    assert answer.status in (400, 404)
    assert ask(hub.address, f"/user/ada/api/kernels/{kernel_id}", token=ada.token).status == 200


async def test_a_socket_that_leads_nowhere_is_not_found(hub: RunningHub, ada: Account, kernel_id: str) -> None:
    token = {"Authorization": f"token {ada.token}"}
    for path in [
        f"/user/ada/api/kernels/{uuid.uuid4()}/channels",
        "/user/ada/api/kernels/x/channels",
        "/user/ada/terminals/websocket/999",
        "/user/ada/terminals/websocket/x%2f..%2f1",
        "/user/ada/api/nothing",
        "/ws",
    ]:
        assert await status_of(hub, path, token) in (400, 404), path


def test_a_kernels_channels_are_no_plain_address(hub: RunningHub, ada: Account, kernel_id: str) -> None:
    answer = ask(hub.address, f"/user/ada/api/kernels/{kernel_id}/channels", token=ada.token)
    assert answer.status == 400


@pytest.mark.parametrize(
    "target",
    [
        "/internal/route",
        "/internal/activity",
        "/internal/welcome",
        "/internal",
        "/INTERNAL/welcome",
        "/%69nternal/welcome",
        "/metrics",
        "/metrics/",
        "/%6detrics",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_the_hubs_own_processes_ask_is_not_found_from_outside(hub: RunningHub, target: str, method: str) -> None:
    secret = (hub.data_dir / "internal-token").read_text().strip()
    for headers in ({}, {"X-Kernelhub-Internal": secret}):
        answer = ask(hub.address, target, method, headers=headers)
        assert answer.status == 404, answer
        assert b"setup" not in answer.body


def test_the_hubs_own_port_answers_nobody_without_the_internal_token(hub: RunningHub, ada: Account) -> None:
    own = hub_address(hub)
    for target in ("/hub/login", "/user/ada/api/contents", "/hub/api/user", "/internal/welcome"):
        for headers in ({}, {"X-Kernelhub-Internal": "x"}, {"X-Kernelhub-Internal": ""}):
            answer = ask(own, target, token=ada.token, headers=headers)
            assert answer.status == 403, (target, answer)


def hub_address(hub: RunningHub) -> str:
    """Where the hub's own process listens."""
    (listening,) = {c.laddr.port for c in hub.child("hub").net_connections("inet") if c.status == "LISTEN"}
    return f"http://127.0.0.1:{listening}"


SPOOFED = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Real-Ip": "203.0.113.7",
    "Forwarded": "for=203.0.113.7;proto=https",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X_Forwarded_For": "203.0.113.7",
    "X-Kernelhub-Internal": "x",
    "X-Request-Id": "forged-request-id",
}


async def test_a_clients_own_word_about_its_address_is_not_believed(hub: RunningHub) -> None:
    body = {"auth": {"username": "nobody-here", "password": "x"}}
    answer = ask(hub.address, "/hub/api/users/nobody-here/tokens", "POST", headers=SPOOFED, body=body)
    assert answer.status == 403
    (event, *_) = await audit(hub, "sign_in.refused")
    assert event.address == "127.0.0.1"
    assert "203.0.113.7" not in hub.log()


async def test_a_clients_own_word_about_host_and_scheme_leads_nowhere(hub: RunningHub, ada: Account) -> None:
    answer = ask(hub.address, "/", headers=SPOOFED)
    assert answer.status == 302 and answer.headers["location"] == "/hub/login"
    page = ask(hub.address, "/hub/home", token=ada.token, headers=SPOOFED)
    assert "evil.example" not in page.text


async def test_the_internal_header_of_a_client_gives_it_no_identity(hub: RunningHub) -> None:
    secret = (hub.data_dir / "internal-token").read_text().strip()
    headers = {"X-Kernelhub-Internal": secret, "X-Forwarded-For": "203.0.113.7", "X-Forwarded-User": "ada"}
    assert ask(hub.address, "/user/ada/api/contents", headers=headers).status == 403


async def test_a_kernel_is_used_by_several_tabs_at_once(hub: RunningHub, ada: Account, kernel_id: str) -> None:
    async with (
        HubClient(hub.address, ada.name, ada.token) as client,
        client.kernel(kernel_id) as first,
        client.kernel(kernel_id) as second,
    ):
        await first.execute("shared = 'seen by both'")
        assert text_of(await second.execute("print(shared)")) == "seen by both\n"


async def test_both_framings_of_the_kernel_protocol_are_spoken(hub: RunningHub, ada: Account, kernel_id: str) -> None:
    address = f"{hub.address}/user/ada/api/kernels/{kernel_id}/channels?session_id=old"
    headers = {"Authorization": f"token {ada.token}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.ws_connect(address) as socket:
            assert socket.protocol is None
            header = {
                "msg_id": "1",
                "msg_type": "kernel_info_request",
                "session": "old",
                "username": "",
                "version": "5.3",
            }
            message = {"header": header, "parent_header": {}, "metadata": {}, "content": {}, "channel": "shell"}
            await socket.send_json(message)
            async with asyncio.timeout(10):
                while (answer := await socket.receive_json())["header"]["msg_type"] != "kernel_info_reply":
                    pass
            assert answer["content"]["language_info"]["name"] == "python"
        async with http.ws_connect(address, protocols=["v1.kernel.websocket.jupyter.org"]) as socket:
            assert socket.protocol == "v1.kernel.websocket.jupyter.org"
            assert text_of(await KernelConnection(socket, "new").execute("print(1)")) == "1\n"
