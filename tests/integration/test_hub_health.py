"""Whether a whole hub says that it lives and is ready, and what its numbers tell and do not tell."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.harness.accounts import Account, add_account, in_thread
from tests.harness.client import HubClient
from tests.harness.plain_http import Answer, ask
from tests.harness.running import RunningHub, eventually, running_hub


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


METRICS_PORT, HUB_PORT = free_port(), free_port()


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    ports = {"KERNELHUB_METRICS_PORT": str(METRICS_PORT), "KERNELHUB_HUB_PORT": str(HUB_PORT)}
    with running_hub("process", ports) as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    account = add_account(hub, "ada.lovelace@example.org")
    in_thread(use(hub, account))
    return account


async def use(hub: RunningHub, account: Account) -> None:
    """Do something that is counted."""
    async with HubClient(hub.address, account.name, account.token) as client:
        session = await client.start_session()
        async with client.kernel(session["kernel"]["id"]) as kernel:
            await kernel.execute("1")
    async with HubClient(hub.address, account.name) as browser:
        await browser.sign_in(account.password)


def on_hub(target: str, headers: dict[str, str] | None = None) -> Answer:
    return ask(f"http://127.0.0.1:{HUB_PORT}", target, headers=headers)


@pytest.mark.parametrize("target", ["/health/live", "/health/ready"])
def test_health_is_answered_on_the_public_address_and_by_the_hub_itself_without_credentials(
    hub: RunningHub, target: str
) -> None:
    for answer in (ask(hub.address, target), on_hub(target)):
        assert answer.status == 200 and answer.json()["status"]
        assert answer.headers["cache-control"] == "no-store"


def test_the_public_address_lives_but_is_not_ready_while_the_hub_is_away(hub: RunningHub) -> None:
    process = hub.child("hub")
    process.suspend()
    try:
        assert ask(hub.address, "/health/live").status == 200
        answer = ask(hub.address, "/health/ready")
        assert answer.status == 503 and "retry-after" in answer.headers
    finally:
        process.resume()
    assert eventually(hub.is_ready)


def test_the_hubs_numbers_are_on_its_own_port_only(hub: RunningHub, ada: Account) -> None:
    answer = on_hub("/metrics")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain")
    assert "kernelhub_" in answer.text
    assert ask(hub.address, "/metrics").status == 404
    secret = (hub.data_dir / "internal-token").read_text().strip()
    assert on_hub("/metrics", {"X-Kernelhub-Internal": secret}).status == 404


def test_the_proxys_numbers_are_on_their_own_port_on_loopback(hub: RunningHub, ada: Account) -> None:
    answer = ask(f"http://127.0.0.1:{METRICS_PORT}", "/metrics")
    assert answer.status == 200 and "kernelhub_" in answer.text
    listening = {c.laddr for c in hub.child("proxy").net_connections("inet") if c.status == "LISTEN"}
    assert {place.ip for place in listening if place.port == METRICS_PORT} == {"127.0.0.1"}


def test_no_number_names_anybody(hub: RunningHub, ada: Account) -> None:
    for answer in (on_hub("/metrics"), ask(f"http://127.0.0.1:{METRICS_PORT}", "/metrics")):
        for private in ("lovelace", ada.id, ada.token, "127.0.0.1"):
            assert private not in answer.text


def test_sign_ins_are_counted(hub: RunningHub, ada: Account) -> None:
    lines = [line for line in on_hub("/metrics").text.splitlines() if "sign_ins" in line and "accepted" in line]
    assert any(float(line.rsplit(" ", 1)[1]) >= 1 for line in lines), lines
