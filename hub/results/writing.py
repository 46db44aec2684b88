"""A kernel's executions put where they belong: into its notebooks' files, or into what is kept for the user."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hub.contents.service import Contents
from hub.domain.ids import UserId
from hub.domain.missed import is_elsewhere, known_as
from hub.errors import BadRequest, Forbidden, HubError, NotFound, TooLarge
from hub.results import apart, deciding
from hub.results.desk import KernelDesk
from hub.results.missed import MissedResults
from hub.results.placing import Fate
from hub.results.tracking import Execution

_REASONS = {
    Fate.CHANGED: "The cell's code was changed after it had been started.",
    Fate.AMBIGUOUS: "Several cells of the notebook have this code, and nobody told which one it was.",
    Fate.ABSENT: "No cell of the notebook has this code any more.",
}
_BEST_FIRST = (Fate.PLACED, Fate.CHANGED, Fate.AMBIGUOUS, Fate.ABSENT)


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of an attempt: each execution's fate, where the reason is not the fate's own, and what to wait for.

    `trouble` is "" when nothing has to be tried again.
    """

    fates: Mapping[str, Fate]
    reason: str = ""
    trouble: str = ""


class Writer:
    """Writes. `announce` is told of each file that was written."""

    def __init__(self, missed: MissedResults, announce: Callable[[UserId, str], None]) -> None:
        self._missed = missed
        self.announce = announce

    async def write(
        self, desk: KernelDesk, contents: Contents, pending: list[Execution], connected: frozenset[str]
    ) -> None:
        """Put all that is pending where it belongs, as far as it can be; `desk.trouble` says what is in the way.

        Those that still run are written as far as they are, and stay pending.
        """
        fresh = [each for each in pending if each.ended or desk.written.get(each.msg_id) != each.last_seq]
        if not fresh:
            return
        tried = await self._try(desk, contents, pending)
        placed = [each for each in pending if tried.fates.get(each.msg_id) is Fate.PLACED]
        others = [each for each in pending if each.ended and each not in placed]
        done = [each for each in placed if each.ended]
        desk.trouble = tried.trouble if others else ""
        if others and not tried.trouble:
            done += await self._keep(desk, contents, others, tried, connected)
        desk.failures = desk.failures + 1 if desk.trouble else 0
        desk.written = {each.msg_id: each.last_seq for each in pending if not each.ended}
        finished = {each.msg_id for each in done}
        deciding.settle(desk.index, desk.known, done, [each for each in pending if each.msg_id not in finished])

    async def _try(self, desk: KernelDesk, contents: Contents, pending: list[Execution]) -> Tried:
        fates: dict[str, Fate] = {}
        reason = trouble = ""
        for path in desk.known.notebooks:
            insertion = apart.Insertion(contents.scratch, [desk.source(pending)])
            try:
                written = await contents.amend(path, insertion)
            except NotFound:
                reason = _not_here(path)
            except (BadRequest, Forbidden, TooLarge) as error:
                reason = error.message
            except HubError as error:
                trouble = error.message
            else:
                if insertion.report.unusable:
                    reason = f"{path} was left alone: {insertion.report.unusable}."
                _merge(fates, insertion.report.fates)
                if written:
                    self.announce(desk.user_id, path)
        return Tried(fates, reason, trouble)

    async def _keep(
        self,
        desk: KernelDesk,
        contents: Contents,
        executions: list[Execution],
        tried: Tried,
        connected: frozenset[str],
    ) -> list[Execution]:
        """Keep what has no place, but for what was seen by who started it; gives what is settled by that."""
        unseen = [each for each in executions if not deciding.has_seen(each, desk.known, connected)]
        done = [each for each in executions if each not in unseen]
        if not unseen:
            return done
        path = known_as(next(reversed(desk.known.notebooks), ""))
        try:
            cells = await asyncio.to_thread(apart.cells, contents.scratch, [desk.source(unseen)])
            for each in unseen:
                notebook = cells.get(each.msg_id)
                if notebook is not None and notebook["cells"][0]["outputs"]:
                    fate = tried.fates.get(each.msg_id)
                    reason = _REASONS[fate] if fate in _REASONS and not tried.reason else tried.reason
                    await self._missed.keep(desk, each, path, reason or _REASONS[Fate.ABSENT], notebook)
                done.append(each)
        except (HubError, OSError) as error:
            desk.trouble = error.message if isinstance(error, HubError) else f"The hub's disk: {error.strerror}."
        return done


def _not_here(path: str) -> str:
    where = ": VS Code keeps it on your computer" if is_elsewhere(path) else ""
    return f"{known_as(path)} is not among your files here{where}."


def _merge(fates: dict[str, Fate], more: Mapping[str, Fate]) -> None:
    """Of several notebooks' fates, the best."""
    for msg_id, fate in more.items():
        before = fates.get(msg_id)
        if before is None or _BEST_FIRST.index(fate) < _BEST_FIRST.index(before):
            fates[msg_id] = fate
