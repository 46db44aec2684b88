"""One id follows a request through proxy, hub and agent: in the answer, and in each one's log."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from tests.conftest import missing
from tests.harness.accounts import Account, add_account
from tests.harness.containers import engine_answers
from tests.harness.running import RunningHub, eventually, running_hub

pytestmark = pytest.mark.docker
FORGED = "a-forged-request-id"


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    if not engine_answers():
        missing("a Docker Engine", "bash tests/prepare.sh")
    with running_hub("docker", {"KERNELHUB_LOG_FORMAT": "json"}) as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


def lines(text: str, request: str) -> list[dict[str, Any]]:
    parsed = [json.loads(line) for line in text.splitlines() if line.startswith('{"time"')]
    return [line for line in parsed if line.get("request") == request]


async def test_the_id_of_an_answer_finds_the_lines_of_all_three(hub: RunningHub, ada: Account) -> None:
    headers = {"Authorization": f"token {ada.token}", "X-Request-Id": FORGED}
    async with aiohttp.ClientSession(headers=headers) as client:
        url = f"{hub.address}/user/ada/api/kernels"
        async with client.post(url, json={"name": "python3"}) as answer:
            request, kernel = answer.headers["X-Request-Id"], await answer.json()
    assert request != FORGED

    def answered() -> list[dict[str, Any]]:
        return [line for line in lines(hub.log(), request) if line["logger"] == "kernelhub.access"]

    [access] = eventually(answered, what="the hub's line")
    assert (access["process"], access["status"], access["method"]) == ("hub", 201, "POST")

    names = subprocess.run(
        ["docker", "ps", "--filter", f"label={hub.label}", "--format", "{{.Names}}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    logs = "".join(
        subprocess.run(["docker", "logs", name], capture_output=True, text=True, check=True).stderr for name in names
    )
    [noted] = lines(logs, request)
    assert (noted["process"], noted["message"], noted["kernel_id"]) == ("agent", "kernel.start", kernel["id"])


async def test_nothing_of_a_token_or_a_query_is_in_the_log(hub: RunningHub, ada: Account) -> None:
    url = f"{hub.address}/user/ada/api/me?token={ada.token}&secret=canary-7781"
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        assert answer.status == 403  # a token in an address counts for WebSockets only
    assert ada.token not in hub.log()
    assert "canary-7781" not in hub.log()
