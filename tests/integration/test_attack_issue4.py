"""An attack on issue 4 at a whole hub, through its proxy: many requests at once, addresses made up, secrets in logs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import aiohttp
import pytest

from tests.harness.accounts import PASSWORD, add_account, audit
from tests.harness.client import HubClient
from tests.harness.running import RunningHub, running_hub


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    settings = {"KERNELHUB_START_WORKSPACE": "kernel", "KERNELHUB_LIMITS__KERNELS": "1"}
    with running_hub("process", settings) as hub:
        add_account(hub, "root1", admin=True)
        add_account(hub, "root2", admin=True)
        add_account(hub, "ada")
        yield hub


def token_of(hub: RunningHub, name: str, *scopes: str) -> str:
    """A token of a user, made on the command line."""
    return hub.cli("token", "create", name, *(part for scope in scopes for part in ("--scope", scope))).strip()


async def test_of_twenty_kernels_asked_for_at_once_the_quota_lets_one_start(hub: RunningHub) -> None:
    async with HubClient(hub.address, "ada", token_of(hub, "ada")) as ada:

        async def start() -> int:
            async with ada.http.post(f"{ada.base}/api/kernels", json={"name": "python3"}) as answer:
                return answer.status

        statuses = await asyncio.gather(*(start() for _ in range(20)))
        assert sorted(statuses).count(201) == 1, statuses
        async with ada.http.get(f"{ada.base}/api/kernels") as answer:
            assert len(await answer.json()) == 1


async def test_two_administrators_who_bar_each_other_at_once_leave_one(hub: RunningHub) -> None:
    tokens = {name: token_of(hub, name) for name in ("root1", "root2")}

    async def demote(by: str, whom: str) -> int:
        headers = {"Authorization": f"token {tokens[by]}"}
        address = f"{hub.address}/hub/api/users/{whom}"
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.patch(address, json={"admin": False}) as answer,
        ):
            return answer.status

    try:
        statuses = await asyncio.gather(demote("root1", "root2"), demote("root2", "root1"))
        assert sorted(statuses)[0] == 200 and sorted(statuses)[1] in (403, 409), statuses
    finally:
        for name in ("root1", "root2"):
            hub.cli("user", "role", name, "admin", check=False)


async def test_a_made_up_address_gets_around_no_limit(hub: RunningHub) -> None:
    statuses = []
    async with aiohttp.ClientSession() as http:
        for number in range(40):
            headers = {"X-Forwarded-For": f"198.51.100.{number}", "X-Real-IP": f"198.51.100.{number}"}
            body = {"note": "x", "auth": {"username": f"user{number}", "password": "wrong wrong wrong"}}
            async with http.post(f"{hub.address}/hub/api/users/ada/tokens", json=body, headers=headers) as answer:
                statuses.append(answer.status)
    assert statuses[-1] == 429
    refused = await audit(hub, "sign_in.refused")
    assert refused and not any(event.address.startswith("198.51.100.") for event in refused)


async def test_an_invitation_used_twice_at_once_lets_one_in(hub: RunningHub) -> None:
    found = re.search(r"(/hub/invitation/\S+)", hub.cli("user", "add", "eve"))
    assert found

    async def use(http: aiohttp.ClientSession, number: int) -> int:
        async with http.get(f"{hub.address}{found[1]}") as page:
            form = re.search(r'name="_xsrf" value="([^"]+)"', await page.text())
        assert form
        password = f"seven otters juggle lanterns {number}"
        fields = {"_xsrf": form[1], "password": password, "again": password}
        async with http.post(f"{hub.address}{found[1]}", data=fields, allow_redirects=False) as answer:
            return answer.status

    sessions = [aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) for _ in range(5)]
    try:
        statuses = await asyncio.gather(*(use(http, number) for number, http in enumerate(sessions)))
    finally:
        for http in sessions:
            await http.close()
    assert statuses.count(302) == 1, statuses


async def test_no_secret_is_in_a_log(hub: RunningHub) -> None:
    token = token_of(hub, "ada")
    secrets = [token, PASSWORD, "c4nary"]
    async with aiohttp.ClientSession() as http:
        for path in (
            *("/hub/invitation/c4nary", "/hub/setup/c4nary", "/hub/lti/register/c4nary?openid_configuration=c4nary"),
            *("/hub/login?next=c4nary", "/hub/oauth/x/callback?code=c4nary&state=c4nary", f"/hub/home?token={token}"),
            f"/user/ada/api/kernels?token={token}",
        ):
            async with http.get(f"{hub.address}{path}", allow_redirects=False):
                pass
        async with http.post(f"{hub.address}/hub/lti/launch", data={"id_token": "c4nary", "state": "c4nary"}):
            pass
    log = "".join(hub.output) + "".join(
        file.read_text(errors="replace") for file in hub.data_dir.rglob("*.log") if file.is_file()
    )
    assert log
    assert [secret for secret in secrets if secret in log] == []
