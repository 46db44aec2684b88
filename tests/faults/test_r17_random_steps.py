"""R17: random starts, stops and crashes of everything, on a whole hub. What runs is what the hub says, always.

`tests/unit/workspaces` walks thousands of steps with a fake engine (hypothesis); here the processes are real.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.harness.processes import agent_processes, kill
from tests.faults.harness.scoreboard import Case
from tests.faults.harness.sizes import sized
from tests.harness.accounts import Account, add_account
from tests.harness.plain_http import Answer, ask
from tests.harness.running import RunningHub, eventually

STEPS = sized(8, 400)
SETTLED_SECONDS = 30.0
USERS = 3


class World:
    """A hub, its users, and what may happen to them."""

    def __init__(self, hub: RunningHub, seed: int) -> None:
        self.hub = hub
        self.random = random.Random(seed)
        self.users = [add_account(hub, f"chaos{seed}x{number}") for number in range(USERS)]
        self.steps: Counter[str] = Counter()
        self.errors: list[str] = []

    def step(self) -> None:
        """One random thing happens."""
        what = self.random.choice(
            [
                self.start,
                self.start,
                self.shut,
                self.stop_workspace,
                self.kill_kernel,
                self.kill_agent,
                self.rarely_kill_hub,
            ]
        )
        self.steps[what.__name__] += 1
        what(self.random.choice(self.users))

    def start(self, user: Account) -> None:
        body = {
            "path": f"n{self.random.randrange(3)}.ipynb",
            "name": "",
            "type": "notebook",
            "kernel": {"name": "python3"},
        }
        self._judge(self._ask(user, "POST", f"/user/{user.name}/api/sessions", body))

    def shut(self, user: Account) -> None:
        kernels = self.kernels(user)
        if kernels:
            self._judge(self._ask(user, "DELETE", f"/user/{user.name}/api/kernels/{self.random.choice(kernels)}"))

    def stop_workspace(self, user: Account) -> None:
        self._judge(self._ask(user, "DELETE", f"/hub/api/users/{user.name}/server"))

    def kill_kernel(self, _user: Account) -> None:
        children = [child for agent in agent_processes(self.hub) for child in agent.children()]
        if children:
            self.random.choice(children).kill()

    def kill_agent(self, _user: Account) -> None:
        agents = agent_processes(self.hub)
        if agents:
            kill(self.random.choice(agents))

    def rarely_kill_hub(self, _user: Account) -> None:
        if self.random.random() < 0.25:
            kill(self.hub.child("hub"))
            eventually(self.hub.is_ready, 30.0, "readiness")

    def kernels(self, user: Account) -> list[str]:
        """The user's kernels, as the hub says."""
        answer = self._ask(user, "GET", f"/user/{user.name}/api/kernels")
        return [kernel["id"] for kernel in answer.json()] if answer.status == 200 else []

    def leftovers(self) -> list[str]:
        """What there is that the hub does not know of, or the other way round; empty when all is in step."""
        found = []
        agents = agent_processes(self.hub)
        folders = {Path(agent.environ()["KERNELHUB_RUN"]).name for agent in agents}
        if len(folders) != len(agents):
            found.append(f"{len(agents)} agents in {len(folders)} run folders")
        working = {user.name for user in self.users if self.kernels(user)}
        if len(agents) < len(working):
            found.append(f"{len(agents)} agents for {len(working)} users with kernels")
        running = {f.name for f in (self.hub.data_dir / "run").iterdir() if (f / "agent.sock").exists()}
        if running - folders:
            found.append(f"run folders without an agent: {sorted(running - folders)}")
        orphans = [p.pid for p in self._of_this_hub() if p.ppid() == 1 and not _is_agent(p)]
        if orphans:
            found.append(f"processes without an agent: {orphans}")
        return found

    def _of_this_hub(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter(["environ"]):
            if (process.info["environ"] or {}).get("KERNELHUB_RUN", "").startswith(f"{self.hub.data_dir}/"):
                found.append(process)
        return found

    def _ask(self, user: Account, method: str, path: str, body: Any = None) -> Answer:
        return ask(self.hub.address, path, method, token=user.token, body=body, seconds=60)

    def _judge(self, answer: Answer) -> None:
        if answer.status >= 500 and answer.status != 503:
            self.errors.append(f"{answer.status} {answer.body[:120]!r}")


def _is_agent(process: psutil.Process) -> bool:
    return any("agent" in part for part in process.cmdline()[:4])


@pytest.mark.parametrize("seed", sized([17], [17, 18, 19]))
def test_r17_whatever_happens_what_runs_is_what_the_hub_says(hub: RunningHub, seed: int) -> None:
    with Case("R17") as case:
        world = World(hub, seed)
        try:
            for _ in range(STEPS):
                world.step()
            kill(hub.child("hub"))
            eventually(hub.is_ready, 30.0, "readiness")
            with contextlib.suppress(AssertionError):
                eventually(lambda: not world.leftovers(), SETTLED_SECONDS, "all in step")
            left = world.leftovers()
            case.holds(
                f"{STEPS} random steps: nothing is left over after 30 s (N4)", not left, "; ".join(left) or "nothing"
            )
            case.holds(f"{STEPS} random steps: no 500", not world.errors, "; ".join(world.errors[:2]) or "none")
            started = [
                world._ask(user, "POST", f"/user/{user.name}/api/kernels", {"name": "python3"}) for user in world.users
            ]
            fine = all(answer.status == 201 for answer in started)
            case.holds("everybody can work afterwards", fine, str([answer.status for answer in started]))
        finally:
            print(f"seed {seed}: {dict(world.steps)}")
            for user in world.users:
                ask(hub.address, f"/hub/api/users/{user.name}/server", "DELETE", token=user.token)
