"""proxy.core.queue_budget: what waits for the clients of one workspace is bounded together."""

from __future__ import annotations

import gc
import json
from datetime import UTC, datetime

import pytest

from proxy.core.client_queue import ClientQueue
from proxy.core.limits import ENTRY_OVERHEAD_BYTES, Limits
from proxy.core.messages import make_minter
from proxy.core.queue_budget import QueueBudget, QueueBudgets

MINT = make_minter("proxy", lambda: "note", lambda: datetime(2026, 1, 1, tzinfo=UTC))
LIMITS = Limits(floor_bytes=20_000, workspace_bytes=1_000_000, proxy_bytes=3_000_000)


def output(size: int, msg_type: str = "display_data") -> list[bytes]:
    parts = [json.dumps({"msg_type": msg_type, "msg_id": "1"}).encode(), b"{}", b"{}", b""]
    parts[3] = b"x" * (size - sum(map(len, parts)) - ENTRY_OVERHEAD_BYTES)
    return parts


def flood(queue: ClientQueue, messages: int = 200) -> None:
    for _ in range(messages):
        assert queue.push("iopub", output(10_000))


@pytest.mark.parametrize("clients", [1, 4, 20])
def test_many_slow_clients_hold_no_more_together_than_the_budget(clients: int) -> None:
    budget = QueueBudget(LIMITS.workspace_bytes)
    queues = [ClientQueue(MINT, LIMITS, budget) for _ in range(clients)]
    for _ in range(200):
        for queue in queues:
            assert queue.push("iopub", output(10_000))
    shares = [queue.waiting_bytes for queue in queues]
    assert sum(shares) == budget.taken_bytes < 1_000_000
    assert max(shares) - min(shares) < 25_000, "each gets as much as the others"
    assert min(shares) > 1_000_000 // (clients + 1) - 25_000
    assert all(queue.dropped.messages for queue in queues)


def test_who_comes_late_finds_room_still() -> None:
    budget = QueueBudget(LIMITS.workspace_bytes)
    queues = [ClientQueue(MINT, LIMITS, budget) for _ in range(8)]
    for queue in queues:
        flood(queue)
    assert [queue.waiting_bytes >= 10_000 for queue in queues] == [True] * 8
    assert queues[-1].push("shell", output(5000, "execute_reply"))


def test_replies_and_states_fit_where_outputs_do_not() -> None:
    queue = ClientQueue(MINT, LIMITS, QueueBudget(LIMITS.workspace_bytes))
    flood(queue)
    dropped = queue.dropped.messages
    for _ in range(40):
        assert queue.push("iopub", output(10_000, "status"))
    assert queue.dropped.messages == dropped
    assert not all(queue.push("iopub", output(10_000, "status")) for _ in range(40)), "then it is closed"


def test_what_is_written_and_not_taken_yet_counts() -> None:
    budget = QueueBudget(LIMITS.workspace_bytes)
    queue = ClientQueue(MINT, LIMITS, budget)
    queue.push("iopub", output(400_000))
    queue.pop()
    assert (queue.waiting_bytes, budget.taken_bytes) == (0, 400_000)
    other = ClientQueue(MINT, LIMITS, budget)
    other.push("iopub", output(700_000))
    assert other.dropped.messages == 1
    queue.landed()
    assert budget.taken_bytes == other.waiting_bytes
    other.push("iopub", output(700_000))
    assert other.dropped.messages == 1


def test_a_queue_that_is_closed_gives_everything_back_and_takes_nothing() -> None:
    budget = QueueBudget(LIMITS.workspace_bytes)
    queue = ClientQueue(MINT, LIMITS, budget)
    flood(queue)
    queue.pop()
    queue.close()
    assert queue.push("iopub", output(10_000))
    assert (budget.taken_bytes, queue.waiting_bytes, bool(queue)) == (0, 0, False)


def test_all_workspaces_share_a_larger_budget_and_each_client_has_a_little() -> None:
    budgets = QueueBudgets(LIMITS)
    queues = [ClientQueue(MINT, LIMITS, budgets.of(f"w{n}")) for n in range(30)]
    for _ in range(100):
        for queue in queues:
            queue.push("iopub", output(10_000))
    assert sum(queue.waiting_bytes for queue in queues) < 3_000_000
    assert budgets.of("w0") is budgets.of("w0")
    for _ in range(4):
        queues[0].pop()
    assert min(queue.waiting_bytes for queue in queues[1:]) > 10_000


def test_a_workspace_without_clients_is_forgotten() -> None:
    budgets = QueueBudgets(LIMITS)
    queue = ClientQueue(MINT, LIMITS, budgets.of("w"))
    queue.close()
    before = id(budgets.of("w"))
    del queue
    gc.collect()
    kept = [QueueBudget(1) for _ in range(3)]
    assert budgets.of("w").taken_bytes == 0 and before and kept
    assert list(budgets._budgets) == []
