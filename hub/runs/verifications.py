"""Use cases of verifications: begin one, and the badge of a notebook as it is now."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from hub.contents.service import ContentsOfUsers
from hub.domain.runs import Run, RunKind, Verdict
from hub.domain.users import User
from hub.errors import Conflict
from hub.runs.notebooks import wanted_kernel
from hub.runs.scratch import Scratches, new_scratch_id
from hub.runs.service import Runs, require_notebook
from hub.runs.verifying import Glance, read_version
from hub.store.engine import Store


@dataclass(frozen=True, slots=True)
class Badge:
    """What is known of a notebook's present version. `last` None: it was not verified since it changed.

    `unclear` is the last attempt if that came to no verdict, and nothing did before.
    """

    digest: str
    last: Run | None
    under_way: Run | None
    unclear: Run | None = None


class Verifications:
    """Everybody's verifications, which are runs of another kind."""

    def __init__(
        self, store: Store, runs: Runs, contents: ContentsOfUsers, glance: Glance, scratches: Scratches
    ) -> None:
        self._store = store
        self._runs = runs
        self._contents = contents
        self._glance = glance
        self._scratches = scratches

    async def start(self, user: User, path: str, kernel: str | None, cell_seconds: float | None) -> Run:
        """Begin to verify a notebook; gives the run.

        Raises NotFound, BadRequest, UnknownKernelspec, and Conflict while another notebook is verified.
        """
        require_notebook(path, "The notebook")
        async with self._store.reading() as unit:
            under_way = await unit.runs.list_open()
        if any(run.user_id == user.id and run.kind is RunKind.VERIFY for run in under_way):
            raise Conflict("Another notebook of yours is being verified; wait for its end, or stop it.")
        version = await read_version(self._contents, self._glance, user, path)
        wanted = await asyncio.to_thread(wanted_kernel, version.data)
        name, _ = await self._runs.choose_kernel(user, kernel, wanted)
        run = self._runs.new(user, RunKind.VERIFY, path, name)
        run = replace(run, workspace_id=new_scratch_id(), digest=version.digest, cell_seconds=cell_seconds)
        return await self._runs.begin(user, run)

    async def badge(self, user: User, path: str) -> Badge:
        """What is known of the notebook as it is now. Raises NotFound, BadRequest."""
        version = await read_version(self._contents, self._glance, user, path)
        async with self._store.reading() as unit:
            over = await unit.runs.list_verified(user.id, version.digest)
            open_runs = await unit.runs.list_open()
        verifying = [run for run in open_runs if run.user_id == user.id and run.kind is RunKind.VERIFY]
        mine = [run for run in verifying if run.path == path]
        clear = [run for run in over if run.verdict not in (None, Verdict.UNKNOWN)]
        unclear = [run for run in over if run.verdict is Verdict.UNKNOWN]
        return Badge(
            digest=version.digest,
            last=clear[0] if clear else None,
            under_way=await self._runs.get(user, mine[0].id) if mine else None,
            unclear=unclear[0] if unclear and not clear else None,
        )

    async def sweep(self) -> None:
        """Remove what verifications of a hub before this one left behind."""
        async with self._store.reading() as unit:
            wanted = {run.workspace_id for run in await unit.runs.list_open() if run.workspace_id is not None}
        await self._scratches.sweep(wanted)
