"""R8: the disk of the homes, or the hub's own, is full. What was saved stays, and what cannot be saved is said."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults.harness.crowd import printed, start_kernel
from tests.faults.harness.front_end import FrontEnd
from tests.faults.harness.scoreboard import Case
from tests.faults.harness.small_disk import MIB, small_disk
from tests.harness.accounts import PASSWORD, Account, add_account
from tests.harness.client import HubClient
from tests.harness.plain_http import ask
from tests.harness.running import RunningHub, eventually

DISK_BYTES = 96 * MIB


@contextmanager
def hub_on(folder: Path) -> Iterator[RunningHub]:
    """A hub whose data folder is given."""
    hub = RunningHub("process", data_dir=folder)
    try:
        hub.start()
        yield hub
    finally:
        hub.remove()


@contextmanager
def short_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="kh-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def notebook(text: str) -> dict[str, Any]:
    cell = {"cell_type": "code", "id": "one", "metadata": {}, "outputs": [], "execution_count": None, "source": text}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}


def save(hub: RunningHub, account: Account, text: str, name: str = "a.ipynb") -> Any:
    body = {"type": "notebook", "format": "json", "content": notebook(text)}
    return ask(hub.address, f"/user/{account.name}/api/contents/{name}", "PUT", token=account.token, body=body)


def read(hub: RunningHub, account: Account, name: str = "a.ipynb") -> str:
    answer = ask(hub.address, f"/user/{account.name}/api/contents/{name}", token=account.token)
    assert answer.status == 200, answer
    source: str = answer.json()["content"]["cells"][0]["source"]
    return source


def test_r8_a_full_disk_of_the_homes_leaves_what_was_saved() -> None:
    with (
        Case("R8") as case,
        short_folder() as folder,
        small_disk(folder / "homes", DISK_BYTES) as disk,
        hub_on(folder) as hub,
    ):
        ada = add_account(hub, "ada")
        first = save(hub, ada, "old " + "x" * MIB)
        assert first.status == 201, first
        before = (ada.home / "a.ipynb").read_bytes()
        disk.fill()
        refused = [save(hub, ada, "new " + "y" * 2 * MIB) for _ in range(3)]
        large = save(hub, ada, "large " + "z" * 6 * MIB, "large.ipynb")
        statuses = {answer.status for answer in [*refused, large]}
        case.holds("homes full: saves are refused with 507", statuses == {507}, str(sorted(statuses)))
        said = refused[0].message
        case.holds("homes full: the reason is said (N7)", "full" in said or "room" in said, said)
        same = (ada.home / "a.ipynb").read_bytes() == before
        case.holds("homes full: the old file is whole (N1)", same, "byte for byte" if same else "changed")
        left = [file.name for file in ada.home.iterdir() if file.name not in ("a.ipynb", ".ipynb_checkpoints")]
        case.holds("homes full: no half file is left", not [n for n in left if "large" in n], str(left))
        disk.free()
        again = save(hub, ada, "newer " + "y" * 2 * MIB)
        ok = again.status == 200 and read(hub, ada).startswith("newer")
        case.holds("homes full: with room again saves work, nothing is restarted", ok, str(again.status))


async def test_r8_a_full_disk_of_the_hub_itself_is_said_and_survived() -> None:
    with Case("R8") as case, short_folder() as folder, small_disk(folder, DISK_BYTES) as disk, hub_on(folder) as hub:
        ada = await asyncio.to_thread(add_account, hub, "ada")
        kernel_id = await start_kernel(hub, ada, "k.ipynb")
        tab = await FrontEnd(hub.address, "ada", ada.token, kernel_id).open()
        await tab.run("x = 1")
        assert save(hub, ada, "old").status == 201
        disk.fill()
        statuses = await what_is_answered(hub, ada)
        text = printed(await tab.run("print(x)"))
        case.holds("hub's disk full: kernels run on", text.startswith("1"), repr(text[:1]))
        held = read(hub, ada)
        case.holds("hub's disk full: files can be read, the old one is whole (N1)", held == "old", repr(held)[:40])
        fine = statuses["save"] == 507 and statuses["sign-in"] in (200, 503, 507)
        case.holds("hub's disk full: it is said, never a 500", fine and 500 not in statuses.values(), str(statuses))
        disk.free()
        await asyncio.to_thread(eventually, lambda: save(hub, ada, "newer").status == 200, 20.0, "a save")
        async with HubClient(hub.address, "ada") as browser:
            again = await browser.sign_in(PASSWORD)
        case.holds("hub's disk full: with room again all works, nothing is restarted", again == 200, str(again))
        alive = "ended (" not in hub.log()
        case.holds("hub's disk full: no process died", alive, "none" if alive else hub.log()[-200:])
        await tab.close()


async def what_is_answered(hub: RunningHub, ada: Account) -> dict[str, int]:
    """Statuses of what people do on a disk that is full."""
    statuses = {"save": save(hub, ada, "new " + "y" * MIB).status}
    body = {"path": "n.ipynb", "name": "", "type": "notebook", "kernel": {"name": "python3"}}
    statuses["kernel"] = ask(hub.address, "/user/ada/api/sessions", "POST", token=ada.token, body=body).status
    statuses["home page"] = ask(hub.address, "/hub/home", token=ada.token).status
    statuses["sign-in"] = 0
    async with HubClient(hub.address, "ada") as browser:
        async with browser.http.get(f"{hub.address}/hub/login") as page:
            statuses["sign-in page"] = page.status
        with contextlib.suppress(AssertionError):
            form = {"_xsrf": await browser.open_form(), "username": "ada", "password": PASSWORD, "next": ""}
            async with browser.http.post(f"{hub.address}/hub/login", data=form, allow_redirects=False) as answer:
                statuses["sign-in"] = 200 if answer.status in (302, 303) else answer.status
    return statuses
