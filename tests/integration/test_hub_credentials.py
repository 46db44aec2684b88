"""Tokens and sign-ins of a whole hub: where they are accepted, whose they are, and that their end is the end."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
import pytest

from hub.cli.offline import ACTOR
from tests.harness.accounts import PASSWORD, Account, add_account, services
from tests.harness.client import HubClient, KernelConnection, text_of
from tests.harness.plain_http import ask
from tests.harness.running import RunningHub, running_hub

SIGNED_OUT = 4401
PLACES = ["/user/ada/api/contents", "/user/ada/api/sessions", "/user/ada/api/me", "/hub/api/user", "/user/ada/lab"]


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
def root(hub: RunningHub) -> Account:
    return add_account(hub, "root1", admin=True)


@pytest.fixture(scope="module")
def kernel_id(hub: RunningHub, ada: Account) -> str:
    """A kernel of ada's that lives as long as the tests."""
    answer = ask(hub.address, "/user/ada/api/kernels", "POST", token=ada.token, body={"name": "python3"})
    assert answer.status == 201, answer
    found: str = answer.json()["id"]
    return found


async def new_token(hub: RunningHub, account: Account, lifetime: timedelta = timedelta(hours=1)) -> tuple[str, str]:
    """The id and the value of another token of the user's."""
    async with services(hub) as made:
        user = await made.user(account.name)
        token, value = await made.auth.tokens.create(user, "another", lifetime, actor=ACTOR)
        return token.id, value


@asynccontextmanager
async def channels(
    hub: RunningHub, kernel_id: str, query: str = "", name: str = "ada", **headers: str
) -> AsyncIterator[KernelConnection]:
    """The kernel's WebSocket by these headers and nothing else."""
    session = uuid.uuid4().hex  # as every page has one of its own
    address = f"{hub.address}/user/{name}/api/kernels/{kernel_id}/channels?session_id={session}{query}"
    protocols = ["v1.kernel.websocket.jupyter.org"]
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(address, headers=headers, protocols=protocols) as socket,
    ):
        yield KernelConnection(socket, session)


async def seconds_to_close(socket: aiohttp.ClientWebSocketResponse, began: float) -> float:
    """When the proxy closed the socket because the credentials ended."""
    async with asyncio.timeout(8):
        while not socket.closed:
            await socket.receive()
    assert socket.close_code == SIGNED_OUT
    return time.monotonic() - began


# ---- where tokens are accepted


@pytest.mark.parametrize("scheme", ["token", "Bearer", "TOKEN", "bearer"])
@pytest.mark.parametrize("place", PLACES)
def test_a_token_is_accepted_wherever_a_cookie_is(hub: RunningHub, ada: Account, scheme: str, place: str) -> None:
    answer = ask(hub.address, place, headers={"Authorization": f"{scheme} {ada.token}"})
    assert answer.status == 200, answer


@pytest.mark.parametrize("scheme", ["token", "Bearer"])
def test_a_token_may_change_things_without_any_form_token(hub: RunningHub, ada: Account, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {ada.token}"}
    body = {"type": "file", "format": "text", "content": "by token"}
    target = "/user/ada/api/contents/by-token.txt"
    assert ask(hub.address, target, "PUT", headers=headers, body=body).status in (200, 201)
    assert ask(hub.address, target, "DELETE", headers=headers).status == 204


@pytest.mark.parametrize("scheme", ["token", "Bearer"])
async def test_a_websocket_opens_by_a_token_in_its_header(
    hub: RunningHub, ada: Account, kernel_id: str, scheme: str
) -> None:
    async with channels(hub, kernel_id, Authorization=f"{scheme} {ada.token}") as kernel:
        assert text_of(await kernel.execute("print('by header')")) == "by header\n"


async def test_a_websocket_opens_by_a_token_in_its_query_because_browsers_can_send_no_header(
    hub: RunningHub, ada: Account, kernel_id: str
) -> None:
    async with channels(hub, kernel_id, f"&token={ada.token}") as kernel:
        assert text_of(await kernel.execute("print('by query')")) == "by query\n"


@pytest.mark.parametrize("place", PLACES)
def test_a_token_in_the_query_of_a_plain_request_is_refused(hub: RunningHub, ada: Account, place: str) -> None:
    answer = ask(hub.address, f"{place}?token={ada.token}", headers={"Accept": "application/json"})
    assert answer.status in (302, 403) and b"ada" not in answer.body


def test_tokens_in_addresses_are_not_in_the_log(hub: RunningHub, ada: Account) -> None:
    ask(hub.address, f"/user/ada/api/contents?token={ada.token}")
    assert ada.token not in hub.log()


async def test_a_wrong_token_is_refused_even_beside_a_good_cookie(hub: RunningHub, ada: Account) -> None:
    async with HubClient(hub.address, ada.name) as client:
        await client.sign_in(PASSWORD)
        assert (await client.request("GET", "api/contents"))[0] == 200
        headers = {"Authorization": f"token {ada.token[:-1]}x"}
        async with client.http.get(f"{client.base}/api/contents", headers=headers) as answer:
            assert answer.status == 403


# ---- whose they are


@pytest.mark.parametrize("who", ["bob", "root"])
@pytest.mark.parametrize(
    "place", ["api/contents", "api/kernels", "lab", "files/x", "api/terminals", "lab/api/settings"]
)
def test_nothing_of_a_user_opens_by_anybody_elses_token(
    hub: RunningHub, ada: Account, bob: Account, root: Account, who: str, place: str
) -> None:
    other = {"bob": bob, "root": root}[who]
    answer = ask(hub.address, f"/user/ada/{place}", token=other.token, headers={"Accept": "application/json"})
    assert answer.status == 403, "an administrator has no way into files either"


def test_ordinary_users_have_nothing_of_the_administrators_api(hub: RunningHub, ada: Account, bob: Account) -> None:
    for method, target in [
        ("GET", "/hub/api/users"),
        ("POST", "/hub/api/users"),
        ("GET", "/hub/api/users/bob"),
        ("DELETE", "/hub/api/users/bob"),
        ("POST", "/hub/api/users/bob/server"),
        ("GET", "/hub/api/users/bob/tokens"),
        ("DELETE", f"/hub/api/users/bob/tokens/{bob.token_id}"),
        ("GET", "/hub/api/users/bob/culling"),
        ("GET", "/hub/admin"),
    ]:
        answer = ask(
            hub.address, target, method, token=ada.token, body={"usernames": ["x"]} if method == "POST" else None
        )
        assert answer.status in (403, 404), (method, target, answer)
    assert ask(hub.address, "/user/bob/api/me", token=bob.token).status == 200


def test_an_administrator_makes_no_token_that_opens_somebodys_files(
    hub: RunningHub, root: Account, ada: Account
) -> None:
    answer = ask(hub.address, "/hub/api/users/ada/tokens", "POST", token=root.token, body={"note": "mine"})
    assert answer.status == 403


# ---- their end


async def test_an_expired_token_is_refused(hub: RunningHub, ada: Account) -> None:
    _, value = await new_token(hub, ada, timedelta(seconds=1))

    async def is_refused() -> bool:
        answer = await asyncio.to_thread(ask, hub.address, "/user/ada/api/me", token=value)
        assert answer.status in (200, 403)
        return answer.status == 403

    async with asyncio.timeout(6):
        while not await is_refused():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("value", ["", "x", "hub_", "hub_" + "A" * 51, "x" * 5000, "é" * 10])
def test_what_is_no_token_is_refused(hub: RunningHub, ada: Account, value: str) -> None:
    headers = {"Authorization": f"token {value}"}
    assert ask(hub.address, "/user/ada/api/me", headers=headers).status == 403


async def test_a_revoked_token_is_refused_and_its_websocket_closes_within_five_seconds(
    hub: RunningHub, ada: Account, kernel_id: str
) -> None:
    token_id, value = await new_token(hub, ada)
    async with (
        channels(hub, kernel_id, Authorization=f"token {value}") as kernel,
        channels(hub, kernel_id, Authorization=f"token {ada.token}") as other,
    ):
        await kernel.execute("1")
        answer = await asyncio.to_thread(
            ask, hub.address, f"/hub/api/users/ada/tokens/{token_id}", "DELETE", token=ada.token
        )
        began = time.monotonic()
        assert answer.status == 204
        assert (await asyncio.to_thread(ask, hub.address, "/user/ada/api/me", token=value)).status == 403
        assert await seconds_to_close(kernel.socket, began) < 5.0
        assert text_of(await other.execute("print('still open')")) == "still open\n"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with channels(hub, kernel_id, Authorization=f"token {value}"):
            pass
    assert refused.value.status == 403


async def test_a_token_revoked_by_the_command_line_is_dead_within_five_seconds(
    hub: RunningHub, ada: Account, kernel_id: str
) -> None:
    token_id, value = await new_token(hub, ada)
    async with channels(hub, kernel_id, Authorization=f"token {value}") as kernel:
        await asyncio.to_thread(hub.cli, "token", "revoke", token_id)
        began = time.monotonic()
        assert await seconds_to_close(kernel.socket, began) < 5.0
    async with asyncio.timeout(began + 5.0 - time.monotonic()):
        while (await asyncio.to_thread(ask, hub.address, "/user/ada/api/me", token=value)).status != 403:
            await asyncio.sleep(0.05)


async def test_signing_out_closes_the_sockets_of_this_sign_in_within_five_seconds_and_of_no_other(
    hub: RunningHub, ada: Account, kernel_id: str
) -> None:
    async with HubClient(hub.address, ada.name) as here, HubClient(hub.address, ada.name) as there:
        await here.sign_in(PASSWORD)
        await there.sign_in(PASSWORD)
        async with here.kernel(kernel_id) as first, here.kernel(kernel_id) as second, there.kernel(kernel_id) as other:
            await asyncio.gather(first.execute("1"), second.execute("1"), other.execute("1"))
            async with here.http.get(f"{hub.address}/hub/home") as page:
                xsrf = (await page.text()).split('name="_xsrf" value="')[1].split('"')[0]
            async with here.http.post(f"{hub.address}/hub/logout", data={"_xsrf": xsrf}) as answer:
                assert answer.status == 200
            began = time.monotonic()
            assert (await here.request("GET", "api/contents"))[0] == 403
            ends = await asyncio.gather(*(seconds_to_close(kernel.socket, began) for kernel in (first, second)))
            assert max(ends) < 5.0
            assert text_of(await other.execute("print('still open')")) == "still open\n"
        assert (await there.request("GET", "api/contents"))[0] == 200


@pytest.mark.parametrize("how", ["sign-out-everywhere", "password"])
async def test_everywhere_means_every_socket_of_every_browser_within_five_seconds_but_no_tokens(
    hub: RunningHub, how: str
) -> None:
    account = add_account(hub, f"dora-{how[:4]}")
    new = "five calmer yellow badgers"
    async with (
        HubClient(hub.address, account.name) as here,
        HubClient(hub.address, account.name) as there,
        HubClient(hub.address, account.name, account.token) as program,
    ):
        await here.sign_in(PASSWORD)
        await there.sign_in(PASSWORD)
        kernel = (await program.start_session())["kernel"]["id"]
        async with there.kernel(kernel) as other, program.kernel(kernel) as by_token:
            await asyncio.gather(other.execute("1"), by_token.execute("1"))
            async with here.http.get(f"{hub.address}/hub/home") as page:
                xsrf = (await page.text()).split('name="_xsrf" value="')[1].split('"')[0]
            fields = {"_xsrf": xsrf, "current": PASSWORD, "password": new, "again": new}
            async with here.http.post(f"{hub.address}/hub/home/{how}", data=fields) as answer:
                assert answer.status == 200
            began = time.monotonic()
            assert (await there.request("GET", "api/contents"))[0] == 403
            assert await seconds_to_close(other.socket, began) < 5.0
            assert text_of(await by_token.execute("print('still open')")) == "still open\n"
        assert (await here.request("GET", "api/contents"))[0] == (200 if how == "password" else 403)


async def test_a_cookie_kept_after_signing_out_opens_nothing(hub: RunningHub, ada: Account, kernel_id: str) -> None:
    async with HubClient(hub.address, ada.name) as client:
        await client.sign_in(PASSWORD)
        kept = {cookie.key: cookie.value for cookie in client.http.cookie_jar}
        async with client.http.get(f"{hub.address}/hub/home") as page:
            xsrf = (await page.text()).split('name="_xsrf" value="')[1].split('"')[0]
        async with client.http.post(f"{hub.address}/hub/logout", data={"_xsrf": xsrf}) as answer:
            assert answer.status == 200
    cookies = "; ".join(f"{name}={value}" for name, value in kept.items())
    assert "kernelhub=" in cookies
    answer_by_cookie = await asyncio.to_thread(ask, hub.address, "/user/ada/api/contents", headers={"Cookie": cookies})
    assert answer_by_cookie.status == 403
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with channels(hub, kernel_id, Cookie=cookies, Origin=hub.address):
            pass
    assert refused.value.status == 403


async def test_disabling_a_user_closes_everything_within_five_seconds(hub: RunningHub, root: Account) -> None:
    eve = add_account(hub, "eve")
    async with HubClient(hub.address, eve.name) as client, HubClient(hub.address, eve.name, eve.token) as program:
        await client.sign_in(PASSWORD)
        session = await program.start_session()
        kernel = session["kernel"]["id"]
        async with client.kernel(kernel) as by_cookie, program.kernel(kernel) as by_token:
            await asyncio.gather(by_cookie.execute("1"), by_token.execute("1"))
            answer = await asyncio.to_thread(
                ask, hub.address, "/hub/api/users/eve", "PATCH", token=root.token, body={"disabled": True}
            )
            began = time.monotonic()
            assert answer.status == 200, answer
            async with asyncio.timeout(5):
                for connection in (by_cookie, by_token):
                    while not connection.socket.closed:
                        await connection.socket.receive()
            assert time.monotonic() - began < 5.0
        assert (await client.request("GET", "api/contents"))[0] == 403
        assert (await program.request("GET", "api/contents"))[0] == 403
    answer = await asyncio.to_thread(ask, hub.address, "/hub/api/users/eve", token=root.token)
    assert answer.json()["server"] is None, "the container was stopped"


async def test_a_token_opens_sockets_only_with_the_scope_for_them(
    hub: RunningHub, ada: Account, bob: Account, kernel_id: str
) -> None:
    async with services(hub) as made:
        user = await made.user("ada")
        values = {}
        for scopes in (("jupyter",), ("self",), ("read:jupyter",), ("servers!user", "read:users!user")):
            _, values[scopes] = await made.auth.tokens.create(user, "t", timedelta(hours=1), ACTOR, scopes=scopes)
    for scopes, value in values.items():
        if scopes[0] in {"jupyter", "self"}:
            async with channels(hub, kernel_id, Authorization=f"token {value}") as kernel:
                await kernel.execute("1")
            continue
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with channels(hub, kernel_id, query=f"&token={value}"):
                pass
        assert refused.value.status == 403
    read_only = values[("read:jupyter",)]
    assert ask(hub.address, "/user/ada/api/contents", token=read_only).status == 200
    body = {"type": "notebook"}
    assert ask(hub.address, "/user/ada/api/contents", "POST", token=read_only, body=body).status == 403
    with pytest.raises(aiohttp.WSServerHandshakeError):
        async with channels(hub, kernel_id, Authorization=f"token {bob.token}"):
            pass
    assert not any(value in hub.log() for value in values.values())


async def test_a_demoted_administrator_is_a_member_within_five_seconds_and_keeps_their_own_sockets(
    hub: RunningHub, root: Account
) -> None:
    boss = add_account(hub, "boss", admin=True)
    async with HubClient(hub.address, boss.name, boss.token) as program:
        session = await program.start_session()
        async with program.kernel(session["kernel"]["id"]) as kernel:
            assert (await asyncio.to_thread(ask, hub.address, "/hub/api/users", token=boss.token)).status == 200
            await asyncio.to_thread(hub.cli, "user", "role", "boss", "user")
            async with asyncio.timeout(5):
                while (await asyncio.to_thread(ask, hub.address, "/hub/api/users", token=boss.token)).status != 403:
                    await asyncio.sleep(0.05)
            assert text_of(await kernel.execute("print('mine')")) == "mine\n"
