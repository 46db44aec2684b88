"""A whole hub whose engine is away, comes and goes, or lacks the image: said quickly, and nothing is forgotten."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.accounts import PASSWORD, Account, add_account, in_thread
from tests.harness.client import HubClient, text_of
from tests.harness.containers import containers
from tests.harness.plain_http import Answer, ask
from tests.harness.relay import Relay
from tests.harness.running import RunningHub, eventually, running_hub
from tests.integration.images import minimal_image, require_engine

BARE = "kernelhub-test/bare:latest"
EMPTY_TAR = bytes(10240)
QUICK_SECONDS = 30.0
"""Far less than the minute for which a container that started would be waited for."""


def serve(data_dir: Path, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``kernelhub serve`` that must end by itself."""
    command = [sys.executable, "-m", "hub.cli", "serve", "--port", "0", "--data-dir", str(data_dir), *flags]
    variables = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=variables)


def dead_engine(data_dir: Path) -> dict[str, str]:
    return {"KERNELHUB_DOCKER_URL": f"unix://{data_dir}/none.sock"}


# ---- no engine from the start


def test_a_hub_that_must_have_an_engine_refuses_to_start_without_one_and_says_what_to_do(data_dir: Path) -> None:
    done = serve(data_dir, "--spawner", "docker", **dead_engine(data_dir))
    assert done.returncode == 2
    said = done.stdout + done.stderr
    (paragraph,) = [line for line in said.splitlines() if "does not start" in line]
    assert "No container engine answers" in paragraph and f"{data_dir}/none.sock" in paragraph
    assert "systemctl start docker" in paragraph and "kernelhub doctor" in paragraph
    assert "Traceback" not in said and "ready at" not in said


@pytest.mark.parametrize(
    ("flags", "environment"),
    [
        (["--spawner", "auto", "--host", "0.0.0.0"], {}),
        (["--spawner", "process"], {"KERNELHUB_PUBLIC_URL": "https://hub.example.edu"}),
    ],
    ids=["all addresses", "a public address"],
)
def test_local_processes_are_refused_where_others_can_reach_the_hub(
    data_dir: Path, flags: list[str], environment: dict[str, str]
) -> None:
    done = serve(data_dir, *flags, **dead_engine(data_dir), **environment)
    assert done.returncode == 2
    assert "local processes have no isolation" in done.stdout + done.stderr


def test_without_an_engine_a_hub_for_oneself_falls_back_and_warns_once_and_on_every_page(data_dir: Path) -> None:
    with running_hub("auto", dead_engine(data_dir)) as hub:
        paragraphs = [line for line in hub.log().splitlines() if line.startswith("WARNING: ")]
        assert len(paragraphs) == 1 and "No isolation" in paragraphs[0] and "Docker Engine" in paragraphs[0]
        assert hub.address.startswith("http://127.0.0.1:")
        ada = add_account(hub, "ada")
        for target in ("/hub/login", "/hub/home", "/user/ada/lab"):
            page = ask(hub.address, target, token=None if "login" in target else ada.token)
            assert page.status == 200 and "No isolation" in page.text, target
        proxies = {c.laddr.ip for c in hub.child("proxy").net_connections("inet") if c.status == "LISTEN"}
        assert proxies == {"127.0.0.1"}


# ---- an engine, but not what is needed of it


def start_session(hub: RunningHub, account: Account, path: str = "a.ipynb") -> Answer:
    body = {"path": path, "name": "", "type": "notebook", "kernel": {"name": "python3"}}
    return ask(hub.address, f"/user/{account.name}/api/sessions", "POST", token=account.token, body=body, seconds=90)


def profiles(image: str) -> dict[str, str]:
    return {"KERNELHUB_PROFILES": json.dumps({"datascience": {"image": image, "spare_kernels": 0}})}


@pytest.mark.docker
@pytest.mark.parametrize(
    ("image", "words"),
    [("kernelhub-test/absent:latest", "kernelhub-test/absent:latest"), (BARE, "pip install ipykernel")],
    ids=["is missing", "has no kernel"],
)
def test_an_image_is_said_at_once_to_the_notebook_and_in_the_launcher_if_it(image: str, words: str) -> None:
    require_engine()
    subprocess.run(["docker", "import", "-", BARE], input=EMPTY_TAR, capture_output=True, check=True, timeout=60)
    with running_hub("docker", profiles(image)) as hub:
        ada = add_account(hub, "ada")
        began = time.monotonic()
        answer = start_session(hub, ada)
        assert time.monotonic() - began < QUICK_SECONDS
        assert answer.status == 500 and words in answer.message, answer
        assert answer.json()["code"] in ("workspace.image_missing", "workspace.no_kernels")
        began = time.monotonic()
        listed = ask(hub.address, "/user/ada/api/kernelspecs", token=ada.token)
        assert time.monotonic() - began < QUICK_SECONDS
        names = [spec["spec"]["display_name"] for spec in listed.json()["kernelspecs"].values()]
        assert listed.status == 200 and any(words in name for name in names), names
        assert ask(hub.address, "/user/ada/api/kernels", token=ada.token).json() == []
        assert ask(hub.address, "/user/ada/api/contents", token=ada.token).status == 200, "files are there"
        hub_id = (hub.data_dir / "hub-id").read_text().strip()
        assert not containers(f"kernelhub={hub_id}")


# ---- an engine that comes and goes


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """The way to the engine."""
    require_engine()
    path = tmp_path_factory.mktemp("engine") / "docker.sock"
    relay = Relay(path, engine_socket())
    relay.open()
    yield relay
    relay.cut()


def engine_socket() -> str:
    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")


@pytest.fixture(scope="module")
def hub(relay: Relay) -> Iterator[RunningHub]:
    environment = {**profiles(minimal_image()), "KERNELHUB_DOCKER_URL": f"unix://{relay.path}"}
    with running_hub("docker", environment) as hub:
        yield hub


async def run_cell(hub: RunningHub, account: Account, kernel_id: str, code: str) -> str:
    async with HubClient(hub.address, account.name, account.token) as client, client.kernel(kernel_id) as kernel:
        return text_of(await kernel.execute(code))


def kernels_of(hub: RunningHub, account: Account) -> list[Any]:
    kernels: list[Any] = ask(hub.address, f"/user/{account.name}/api/kernels", token=account.token).json()
    return [kernel["id"] for kernel in kernels]


@pytest.mark.docker
def test_an_engine_that_goes_away_is_said_and_nothing_is_deleted_or_forgotten_and_all_goes_on_when_it_is_back(
    hub: RunningHub, relay: Relay
) -> None:
    ada, bob = add_account(hub, "ada"), add_account(hub, "bob")
    first = start_session(hub, ada)
    assert first.status == 201, first
    kernel_id = first.json()["kernel"]["id"]
    in_thread(run_cell(hub, ada, kernel_id, "x = 41"))
    hub_id = (hub.data_dir / "hub-id").read_text().strip()
    before = containers(f"kernelhub={hub_id}")
    assert before

    relay.cut()
    refused = start_session(hub, bob)
    assert refused.status == 503 and refused.json()["code"] == "engine.silent", refused
    assert "engine" in refused.message and "nothing was changed" in refused.message
    assert ask(hub.address, "/user/bob/api/contents", token=bob.token).status == 200, "files need no engine"
    assert ask(hub.address, "/health/ready").status == 200
    assert in_thread(sign_in(hub, bob)) == 200, "one can sign in"
    assert in_thread(run_cell(hub, ada, kernel_id, "x += 1; print(x)")) == "42\n", "kernels that run do not need it"
    assert start_session(hub, ada, "b.ipynb").status == 201, "nor do more kernels in a container that runs"
    stop = ask(hub.address, "/hub/api/users/ada/server", "DELETE", token=ada.token)
    assert stop.status == 503, stop
    assert containers(f"kernelhub={hub_id}") == before

    relay.open()
    eventually(lambda: start_session(hub, bob).status == 201, 30.0, "bob's kernel")
    assert kernel_id in kernels_of(hub, ada), "what could not be stopped is not forgotten"
    assert in_thread(run_cell(hub, ada, kernel_id, "print(x)")) == "42\n"
    assert set(before) < set(containers(f"kernelhub={hub_id}"))


async def sign_in(hub: RunningHub, account: Account) -> int:
    async with HubClient(hub.address, account.name) as client:
        return await client.sign_in(PASSWORD)


@pytest.mark.docker
def test_a_hub_that_is_killed_while_the_engine_is_away_comes_back_with_it_and_finds_everything(
    hub: RunningHub, relay: Relay
) -> None:
    eve = add_account(hub, "eve")
    kernel_id = start_session(hub, eve).json()["kernel"]["id"]
    in_thread(run_cell(hub, eve, kernel_id, "y = 'kept'"))
    relay.cut()
    hub.child("hub").kill()
    eventually(lambda: re.search(r"does not start: No container engine answers", hub.log()), 30.0, "the refusal")
    relay.open()
    eventually(hub.is_ready, 40.0, "readiness")
    assert kernels_of(hub, eve) == [kernel_id]
    assert in_thread(run_cell(hub, eve, kernel_id, "print(y)")) == "kept\n"
