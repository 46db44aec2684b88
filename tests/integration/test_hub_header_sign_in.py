"""Sign-in by a gateway's header, through the real proxy: from the gateway's address, and from nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

import aiohttp
import pytest

from tests.harness.accounts import add_account
from tests.harness.running import RunningHub, running_hub

GATEWAY = "127.0.0.2"
STRANGER = "127.0.0.3"


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    settings = {
        "KERNELHUB_START_WORKSPACE": "kernel",
        "KERNELHUB_HEADER_SIGN_IN__HEADER": "X-Remote-User",
        "KERNELHUB_HEADER_SIGN_IN__ADDRESSES": f'["{GATEWAY}"]',
    }
    with running_hub("process", settings) as hub:
        add_account(hub, "ada", admin=True)
        yield hub


async def whoever(hub: RunningHub, address: str, said: list[tuple[str, str]]) -> str | None:
    """The user that somebody at `address` is, who says this; None: nobody."""
    jar = aiohttp.CookieJar(unsafe=True)
    connector = aiohttp.TCPConnector(local_addr=(address, 0))
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar) as http:
        async with http.get(f"{hub.address}/hub/login?next=/hub/home", headers=said, allow_redirects=False):
            pass
        async with http.get(f"{hub.address}/hub/api/user") as answer:
            return (await answer.json())["name"] if answer.status == 200 else None


async def test_who_comes_by_the_gateway_is_signed_in_under_a_name_of_their_own(hub: RunningHub) -> None:
    assert await whoever(hub, GATEWAY, [("X-Remote-User", "carol")]) == "carol"
    assert await whoever(hub, GATEWAY, [("X-Remote-User", "ada")]) == "ada2", "nobody becomes the administrator"
    assert await whoever(hub, GATEWAY, [("x-remote-user", "ada")]) == "ada2"


@pytest.mark.parametrize(
    "said",
    [
        [("X-Remote-User", "carol")],
        [("X-REMOTE-USER", "carol"), ("X-Forwarded-For", GATEWAY)],
        [("X_Remote_User", "carol")],
    ],
)
async def test_from_any_other_address_the_header_says_nothing(hub: RunningHub, said: list[tuple[str, str]]) -> None:
    assert await whoever(hub, STRANGER, said) is None


@pytest.mark.parametrize(
    "said", [[("X-Remote-User", "carol"), ("X-Remote-User", "ada")], [("X_Remote_User", "carol")], []]
)
async def test_a_header_that_comes_twice_or_not_at_all_says_nothing(
    hub: RunningHub, said: list[tuple[str, str]]
) -> None:
    assert await whoever(hub, GATEWAY, said) is None
