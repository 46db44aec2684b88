"""R9: SIGKILL while files are saved. A file is the old one or the new one, and what was answered 2xx is there."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from hub.spawn.folders import Folders
from tests.faults.harness.processes import kill
from tests.faults.harness.saver import ONE, SAVED, notebook, number_in
from tests.faults.harness.scoreboard import Case
from tests.faults.harness.sizes import sized
from tests.harness.accounts import Account, add_account
from tests.harness.running import RunningHub, eventually

KILLS = sized(8, 200)
HUB_KILLS = 20
SIZE = 3 * 1024 * 1024
"""What goes through memory; the kills of a whole hub save more than 4 MiB, which goes through files."""
LARGE = 5 * 1024 * 1024


def test_r9_a_save_that_is_killed_leaves_the_old_file_or_the_new_one(data_dir: Path) -> None:
    folders = Folders(data_dir, None, None)
    home = folders.home(ONE.id)
    home.mkdir(parents=True, exist_ok=True)
    torn = lost = 0
    answered = -1
    with Case("R9") as case:
        for _ in range(KILLS):
            answered = save_until_killed(data_dir, answered + 1)
            try:
                found = number_in(json.loads((home / SAVED).read_bytes()))
            except ValueError:
                torn += 1
                continue
            lost += found < answered
            answered = max(answered, found)
        case.holds(f"{KILLS} kills during saves: no torn file (N1)", torn == 0, f"{torn} torn")
        case.holds(f"{KILLS} kills during saves: every save that returned is there (N1)", lost == 0, f"{lost} lost")


def save_until_killed(folder: Path, first: int) -> int:
    """Start the saver and kill it at a random moment; gives the last save that returned."""
    command = [sys.executable, "-m", "tests.faults.harness.saver", str(folder), str(first), str(SIZE)]
    saver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert saver.stdout is not None
    last = saver.stdout.readline()
    time.sleep(random.uniform(0.0, 0.25))  # the moment is the point of it
    saver.kill()
    said = [last, *saver.stdout.read().splitlines()]
    saver.wait(10)
    saver.stdout.close()
    return max((int(line) for line in said if line.strip().isdigit()), default=first - 1)


@pytest.mark.full_only("the hub is started anew for each kill")
async def test_r9_a_hub_that_is_killed_during_saves_keeps_what_it_answered(hub: RunningHub) -> None:
    with Case("R9") as case:
        ada = await asyncio.to_thread(add_account, hub, "saver")
        torn = lost = 0
        number, answered = 0, -1
        for _ in range(HUB_KILLS):
            saving = asyncio.create_task(save_on(hub, ada, number))
            await asyncio.sleep(0.6 + random.uniform(0.0, 0.6))
            old = hub.child("hub")
            kill(old)
            last, number = await saving
            answered = max(answered, last)
            await asyncio.to_thread(eventually, lambda pid=old.pid: hub.find_child("hub", pid), 20.0, "a new hub")
            await asyncio.to_thread(eventually, hub.is_ready, 30.0, "readiness")
            if answered < 0:
                continue
            try:
                found = number_in(json.loads((ada.home / SAVED).read_bytes()))
            except ValueError:
                torn += 1
            else:
                lost += found < answered
        case.holds(f"{HUB_KILLS} kills of the hub: no torn file (N1)", torn == 0, f"{torn} torn")
        case.holds(f"{HUB_KILLS} kills of the hub: every save answered 2xx is there (N1)", lost == 0, f"{lost} lost")


async def save_on(hub: RunningHub, account: Account, first: int) -> tuple[int, int]:
    """Save one notebook after the other until one fails; gives the last one answered 2xx, and the next to try."""
    number, answered = first, -1
    headers = {"Authorization": f"token {account.token}"}
    url = f"{hub.address}/user/{account.name}/api/contents/{SAVED}"
    async with aiohttp.ClientSession(headers=headers) as http:
        while True:
            size = LARGE if number % 2 else SIZE
            body = {"type": "notebook", "format": "json", "content": notebook(number, size)}
            try:
                async with http.put(url, json=body) as answer:
                    if answer.status not in (200, 201):
                        return answered, number + 1
            except aiohttp.ClientError:
                return answered, number + 1
            answered = number
            number += 1
