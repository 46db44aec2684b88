"""How long a message waits for a paused container: ``python -m tests.bench.thaw [--rounds N]``.

A whole hub with a real engine. One WebSocket stays open all the time; whenever the container is frozen, a cell is run
through it, which adds to a variable, and another one right after. The difference is what the thaw costs its user.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import subprocess
import time

from tests.harness.accounts import add_account
from tests.harness.client import HubClient, KernelConnection, eventually, text_of
from tests.harness.running import RunningHub, running_hub

SETTINGS = {
    "KERNELHUB_CULLING__PAUSE_AFTER": "1s",
    "KERNELHUB_CULLING__INTERVAL": "0.3s",
    "KERNELHUB_DEFAULT_PROFILE": "minimal",
    "KERNELHUB_PROFILES": '{"minimal": {"image": "kernelhub/minimal"}}',
}
PAUSE_SECONDS = 60.0
GOES_ON = re.compile(r"goes on after (\d+) ms")


def is_paused(hub: RunningHub) -> bool:
    """Whether the engine says so."""
    command = ["docker", "ps", "--filter", f"label={hub.label}", "--filter", "status=paused", "-q"]
    return bool(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())


async def until_paused(hub: RunningHub) -> None:
    """Wait until the container is frozen."""

    async def look() -> bool | None:
        return await asyncio.to_thread(is_paused, hub) or None

    await eventually(look, PAUSE_SECONDS)


async def answered(kernel: KernelConnection, expected: int) -> float:
    """Run a cell; milliseconds from its request to its last message. What it says must be right."""
    began = time.perf_counter()
    said = text_of(await kernel.execute("n += 1; print(n)"))
    took = (time.perf_counter() - began) * 1000
    assert said.strip() == str(expected), f"the variable is {said!r}, and should be {expected}"
    return took


async def measure(hub: RunningHub, rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds of cells that had to wait for a thaw, and of those that had not."""
    ada = await asyncio.to_thread(add_account, hub, "ada")
    waited, plain = [], []
    async with HubClient(hub.address, "ada", ada.token) as client:
        session = await client.start_session()
        async with client.kernel(session["kernel"]["id"]) as kernel:
            await kernel.execute("n = 0")
            for number in range(1, 2 * rounds, 2):
                await until_paused(hub)
                waited.append(await answered(kernel, number))
                plain.append(await answered(kernel, number + 1))
    return waited, plain


def in_words(name: str, values: list[float]) -> str:
    """One line of the table."""
    return f"{name:<44} median {statistics.median(values):6.0f} ms   worst {max(values):6.0f} ms"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    with running_hub("docker", SETTINGS) as hub:
        waited, plain = asyncio.run(measure(hub, rounds))
        thaws = [float(found) for found in GOES_ON.findall(hub.log())]
    print(in_words("a cell in a paused container", waited))
    print(in_words("the next cell", plain))
    print(in_words("the thaw, until it is written down", thaws))


if __name__ == "__main__":
    main()
