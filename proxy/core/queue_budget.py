"""How much may wait for slow clients together: of one workspace, and of all.

One client's bound alone would not do: somebody with twenty tabs that stand still could hold twenty times as much.
So the queues of a workspace share a budget, and all workspaces a larger one. A queue may take outputs while it holds
less than what is free (the dynamic thresholds of shared-memory switches): one slow client gets half of the budget,
twenty get a twenty-first each, and some is always left for who comes next.
"""

from __future__ import annotations

from weakref import WeakValueDictionary

from proxy.core.limits import DEFAULT_LIMITS, Limits


class QueueBudget:
    """Bytes that several queues hold, counted. `within` is the budget that this one is a part of, if any."""

    def __init__(self, most_bytes: int, within: QueueBudget | None = None) -> None:
        self.taken_bytes = 0
        self._most_bytes = most_bytes
        self._within = within

    @property
    def free_bytes(self) -> int:
        """What may still be taken; less than nothing when guaranteed bytes went beyond the budget."""
        free = self._most_bytes - self.taken_bytes
        return free if self._within is None else min(free, self._within.free_bytes)

    @property
    def is_tight(self) -> bool:
        """Whether more than half is taken."""
        return self.free_bytes < self._most_bytes // 2

    def take(self, size: int) -> None:
        """Count `size` bytes more, or fewer."""
        self.taken_bytes += size
        if self._within is not None:
            self._within.take(size)


class QueueBudgets:
    """The budgets of all workspaces; one is forgotten when its last queue is."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._all = QueueBudget(limits.proxy_bytes)
        self._budgets: WeakValueDictionary[str, QueueBudget] = WeakValueDictionary()

    def of(self, workspace_id: str) -> QueueBudget:
        """The budget that all clients of this workspace share."""
        budget = self._budgets.get(workspace_id)
        if budget is None:
            budget = self._budgets[workspace_id] = QueueBudget(self._limits.workspace_bytes, self._all)
        return budget
