"""Attacks on what notebooks, archives, kernelspecs and jobs brought: a student's files and code against the hub."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.accounts import Account, add_account
from tests.harness.plain_http import Answer, ask
from tests.harness.running import RunningHub, eventually, running_hub

MIB = 1024**2
ALLOWED = "https://colab.example"
EMPTY = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process", {"KERNELHUB_ALLOWED_ORIGINS": json.dumps([ALLOWED])}) as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    account = add_account(hub, "ada")
    assert ask(hub.address, "/user/ada/api/contents", token=account.token).status == 200  # which makes the home
    return account


def get(hub: RunningHub, user: Account, path: str, **more: Any) -> Answer:
    return ask(hub.address, f"/user/{user.name}/{path}", token=user.token, **more)


def cpu_seconds(hub: RunningHub) -> float:
    times = hub.child("hub").cpu_times()
    return float(times.user + times.system)


def peak_bytes(hub: RunningHub) -> int:
    status = Path(f"/proc/{hub.child('hub').pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024


def write(user: Account, name: str, text: str) -> Path:
    file = user.home / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_choice_files_that_are_slow_to_read_cost_the_hub_nothing(hub: RunningHub, ada: Account) -> None:
    slow = "[" + "a." * 4000 + "a]\n" + "a." * 4000 + "b = 1"
    for depth in range(1, 5):
        for name in (".kernelhub.toml", "jupytext.toml"):
            write(ada, "d/" * depth + name, slow)
    write(ada, "d/d/d/d/x.ipynb", json.dumps(EMPTY))
    before = cpu_seconds(hub)
    assert get(hub, ada, "api/contents/d/d/d/d/x.ipynb?type=notebook").status == 200
    assert cpu_seconds(hub) - before < 2


def test_a_text_that_says_how_to_make_a_huge_notebook_stays_out_of_the_hubs_memory(
    hub: RunningHub, ada: Account
) -> None:
    aliases = [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 5)]
    write(ada, "bomb.md", "\n".join(["---", "jupyter:", f"  a0: &a0 [{'x' * 20_000}]", *aliases, "---", "", "# x"]))
    before = peak_bytes(hub)
    answer = get(hub, ada, "api/contents/bomb.md?type=notebook", seconds=60)
    assert answer.status == 400 and "64 MiB" in answer.message
    assert peak_bytes(hub) - before < 50 * MIB


@pytest.mark.parametrize("archive_format", ["zip", "tgz", "tbz2", "txz"])
def test_an_archive_of_nothing_but_holes_is_soon_over(hub: RunningHub, ada: Account, archive_format: str) -> None:
    os.truncate(write(ada, "holes/big", ""), 8 * 1024**4)
    began = time.monotonic()
    answer = get(hub, ada, f"directories/holes?archiveFormat={archive_format}")
    assert answer.status == 200 and len(answer.body) < 10_000
    assert time.monotonic() - began < 60


def test_code_in_a_container_puts_no_script_into_the_hubs_pages(hub: RunningHub, ada: Account) -> None:
    folder = ".local/share/jupyter/kernels/evil"
    argv = ["python3", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    write(ada, f"{folder}/kernel.json", json.dumps({"argv": argv, "display_name": "evil", "language": "python"}))
    write(ada, f"{folder}/kernel.js", "define([], () => fetch('/hub/api/user'))")
    write(ada, f"{folder}/kernel.css", "* { background: url(https://evil.example) }")
    write(ada, f"{folder}/logo-svg.svg", "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    started = get(hub, ada, "api/kernels", method="POST", body={"name": "evil"})
    assert started.status == 201, started.text

    def evil() -> Any:
        return get(hub, ada, "api/kernelspecs").json()["kernelspecs"].get("evil")

    assert list(eventually(evil, what="the kernelspec")["resources"]) == ["logo-svg"]
    for file in ("kernel.js", "kernel.css"):
        assert get(hub, ada, f"kernelspecs/evil/{file}").status == 404
    logo = get(hub, ada, "kernelspecs/evil/logo-svg.svg")
    assert logo.status == 200 and "sandbox" in logo.headers["content-security-policy"]
    assert get(hub, ada, f"api/kernels/{started.json()['id']}", method="DELETE").status == 204


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{ALLOWED}.evil.example", f"{ALLOWED}:8443"])
def test_another_sites_page_reads_nothing_whatever_it_has(hub: RunningHub, ada: Account, origin: str) -> None:
    answer = get(hub, ada, "api/contents", headers={"Origin": origin})
    assert "access-control-allow-origin" not in answer.headers
    with_token = ask(hub.address, f"/user/ada/api/contents?token={ada.token}", headers={"Origin": origin})
    assert with_token.status == 403


@pytest.mark.parametrize("name", ["bob%2f..%2fada", "ada%2f..%2fbob", "b%6fb", "BOB", "bob%00", "%2e%2e"])
@pytest.mark.parametrize(
    "path", ["api/kernelhub/trash", "directories/", "api/kernelhub/runs", "tree", "nbclassic/tree", "diff?path=x.ipynb"]
)
def test_another_users_address_is_refused_however_it_is_written(
    hub: RunningHub, ada: Account, name: str, path: str
) -> None:
    answer = ask(hub.address, f"/user/{name}/{path}", token=ada.token)
    assert answer.status in (400, 403, 404), answer.text
