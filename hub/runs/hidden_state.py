"""Use case: what the kernel of an open notebook has in its memory that the notebook does not say."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from hub.contents.service import ContentsOfUsers
from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.users import User
from hub.errors import HubError
from hub.runs.notebooks import run_child
from hub.runs.service import content_of
from hub.runs.state import Cell, Names, Ran, Report, examine
from hub.store.engine import Store
from hub.workspaces.agents import Agents, ask

log = logging.getLogger(__name__)

MOST_ANSWERS = 64
MAX_CODES_CHARS = 8 * 1024**2


class _Metadata(msgspec.Struct):
    kernelspec: dict[str, Any] = {}
    language_info: dict[str, Any] = {}


class _Cell(msgspec.Struct):
    cell_type: str = ""
    source: str = ""
    execution_count: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None


class _Notebook(msgspec.Struct):
    cells: list[_Cell] = []
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


@dataclass(frozen=True, slots=True)
class HiddenState:
    """The answer. `kernel_id` and `report` are None while the notebook has no kernel, or it cannot be asked."""

    path: str
    kernel_id: KernelId | None
    report: Report | None


class HiddenStates:
    """Compares notebooks, as they were last saved, with what ran in their kernels."""

    def __init__(self, store: Store, agents: Agents, contents: ContentsOfUsers) -> None:
        self._store = store
        self._agents = agents
        self._contents = contents

    async def look(self, user: User, path: str) -> HiddenState:
        """What is to be said of a notebook. Raises NotFound, BadRequest, AgentSilent."""
        model = await self._contents.of(user).get(path, type="notebook")
        async with self._store.reading() as unit:
            session = await unit.sessions.find_by_path(user.id, path)
            kernel = await unit.kernels.find(session.kernel_id) if session is not None else None
        if kernel is None:
            return HiddenState(path, None, None)
        ran, complete = await self._executions(kernel.workspace_id, kernel.id)
        notebook = await asyncio.to_thread(_read, content_of(model))
        cells = [
            Cell(index, cell.source, cell.execution_count)
            for index, cell in enumerate(notebook.cells)
            if cell.cell_type == "code"
        ]
        names = await _names(user, cells, ran) if _is_python(notebook.metadata) else {}
        report = await asyncio.to_thread(examine, cells, ran, names, complete)
        return HiddenState(path, kernel.id, report)

    async def _executions(self, workspace_id: WorkspaceId, kernel_id: KernelId) -> tuple[list[Ran], bool]:
        """What ran in the kernel's present process, and whether that is all of it."""
        ran: list[Ran] = []
        generation: int | None = None
        size = 0
        for _ in range(MOST_ANSWERS):
            after = ran[-1].number if ran else 0
            told = await ask(self._agents.client(workspace_id).executions(kernel_id, after))
            if generation not in (None, told.generation):
                ran = []  # it was restarted meanwhile
            generation = told.generation
            fresh = [Ran(each.number, each.execution_count, each.code) for each in told.executions]
            ran += [each for each in fresh if each.number > after or not ran]
            size += sum(len(each.code) for each in fresh)
            if not fresh or fresh[-1].number >= told.total or size > MAX_CODES_CHARS:
                break
        return ran, not ran or ran[0].number == 1


def _read(content: bytes) -> _Notebook:
    try:
        return msgspec.json.decode(content, type=_Notebook)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _Notebook()


def _is_python(metadata: _Metadata) -> bool:
    language = metadata.kernelspec.get("language") or metadata.language_info.get("name") or "python"
    return str(language).lower() in ("python", "python3", "ipython")


async def _names(user: User, cells: list[Cell], ran: list[Ran]) -> dict[str, Names]:
    """The names in all pieces of code, found in a process of its own. Without them, that part is left out."""
    codes = list(dict.fromkeys([*(cell.code for cell in cells), *(each.code for each in ran)]))
    while sum(map(len, codes)) > MAX_CODES_CHARS:
        codes.remove(max(codes, key=len))
    try:
        found = json.loads(await run_child(user.id, "hub.runs.names", json.dumps(codes).encode()))
    except HubError as error:
        log.warning("names were not found: %s", error.message)
        return {}
    return {code: Names(frozenset(made), frozenset(used)) for code, (made, used) in zip(codes, found, strict=True)}
