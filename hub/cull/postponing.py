"""Users put off what they are warned of: by how much, how often, and by how much altogether the policy says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from hub.cull.loop import Culler
from hub.domain.audit import AuditEvent
from hub.domain.culling import Action, Decision, Standing, in_words
from hub.domain.culling_policy import CullingPolicy
from hub.domain.ids import KernelId, WorkspaceId
from hub.errors import BadRequest, Conflict, NotFound
from hub.store.culling import Postponement
from hub.store.engine import Store
from proxy.kit.clock import Clock

LEAST = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Leave:
    """What may still be put off: by how much at once, None: nothing any more, and `why` not."""

    by: timedelta | None
    times_left: int
    why: str = ""


def leave_of(policy: CullingPolicy, standing: Standing) -> Leave:
    """What a policy leaves to a user whose thing stands so. Pure."""
    times_left = max(0, policy.postpone_times - standing.times)
    by = min(policy.postpone, policy.postpone_total - standing.put_off)
    if not policy.postpone_times or min(policy.postpone, policy.postpone_total) < LEAST:
        return Leave(None, 0, "Ends cannot be put off here.")
    if not times_left:
        times = "once" if standing.times == 1 else f"{standing.times} times"
        return Leave(None, 0, f"It was put off {times} already, which is all that is allowed. Use it, and it stays.")
    if by < LEAST:
        return Leave(
            None, 0, f"It was put off by {in_words(standing.put_off)}, the most allowed. Use it, and it stays."
        )
    return Leave(by, times_left)


class Postponing:
    """The use case behind the button "Keep" and the API's call."""

    def __init__(self, store: Store, culler: Culler, clock: Clock) -> None:
        self._store = store
        self._culler = culler
        self._clock = clock

    def leave(self, decision: Decision) -> Leave:
        """What may be put off of a decision's end."""
        look = self._culler.find_look(decision.workspace_id)
        if look is None or decision.rule is None or decision.due_in is None:
            return Leave(None, 0, "Nothing ends here that could be put off.")
        return leave_of(look.policy, decision.facts.standing)

    async def postpone(
        self,
        workspace_id: WorkspaceId,
        kernel_id: KernelId | None,
        actor: str,
        address: str = "",
        by: timedelta | None = None,
    ) -> Decision:
        """Put the end of a kernel, or (None) of a container, off by a span, None: by as much as the policy gives.

        It is counted from when it would have ended. Gives the decision as it is then. Raises NotFound when it was not
        seen in the last round, Conflict when nothing is to be put off or no more may be, BadRequest for another span.
        """
        decision = self._find(workspace_id, kernel_id)
        look = self._culler.find_look(workspace_id)
        if look is None or decision.rule is None or decision.due_in is None:
            raise Conflict(f"Nothing is to be put off: {decision.reason}.")
        if not decision.is_warned:
            raise Conflict(
                f"It ends in {in_words(decision.due_in)} at the earliest; its end can be put off once warned."
            )
        if by is not None and not LEAST <= by <= look.policy.postpone:
            raise BadRequest(f"An end is put off by {in_words(LEAST)} to {in_words(look.policy.postpone)} at once.")
        now = self._clock.now()
        async with self._store.unit() as unit:
            before = await unit.culling.find_postponement(workspace_id, kernel_id, decision.rule)
            times, seconds = (before.times, before.seconds) if before is not None else (0, 0.0)
            leave = leave_of(look.policy, Standing(times=times, put_off=timedelta(seconds=seconds)))
            if leave.by is None:
                raise Conflict(leave.why)
            span = min(leave.by, by or leave.by)
            until = now + decision.due_in + span
            row = Postponement(
                workspace_id,
                kernel_id,
                decision.rule,
                look.workspace.user_id,
                now,
                until,
                times + 1,
                seconds + span.total_seconds(),
            )
            await unit.culling.postpone(row)
            await unit.audit.add(
                AuditEvent(
                    at=now,
                    action="culling.postponed",
                    actor=actor,
                    subject=kernel_id or workspace_id,
                    address=address,
                    details={
                        "user": look.workspace.user_id,
                        "workspace": workspace_id,
                        "rule": str(decision.rule),
                        "by_seconds": span.total_seconds(),
                        "until": until.isoformat(),
                        "times": times + 1,
                        "put_off_seconds": row.seconds,
                    },
                )
            )
        self._culler.was_put_off(row)
        return self._find(workspace_id, kernel_id)

    def _find(self, workspace_id: WorkspaceId, kernel_id: KernelId | None) -> Decision:
        _, decisions = self._culler.decisions_for([workspace_id])
        found = next((decision for decision in decisions if decision.kernel_id == kernel_id), None)
        if found is None or found.action is Action.REPORT_DEAD:
            raise NotFound("There is no such kernel or container that runs.")
        return found
