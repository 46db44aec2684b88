"""Use cases of sessions: Jupyter's pairing of a notebook path (or a console's name) and a kernel.

Front ends create a session with a random path and tell the real one by a later update, so a session is known by
its id, and its path may change at any time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from hub.crash_points import Point, reached
from hub.domain.ids import KernelId, SessionId, WorkspaceId, new_uuid
from hub.domain.kernels import Session
from hub.domain.users import User
from hub.errors import BadRequest, Conflict, HubError, NotFound
from hub.store.engine import Store
from hub.workspaces.kernels import KernelModel, Kernels
from proxy.kit.clock import Clock

Paired = Callable[[Session, WorkspaceId, Session | None], Awaitable[None]]
"""Is told of a session that was made or changed, in which workspace its kernel is, and what it was before."""

MAX_SESSIONS = 256
"""Of one user: several may share a kernel, so kernels alone do not bound them."""


@dataclass(frozen=True, slots=True)
class SessionModel:
    """A session with its kernel as it is now."""

    session: Session
    kernel: KernelModel


class Sessions:
    """Sessions of users."""

    def __init__(self, store: Store, kernels: Kernels, clock: Clock, paired: Paired | None = None) -> None:
        self._paired = paired
        self._store = store
        self._kernels = kernels
        self._clock = clock

    async def list(self, user: User) -> list[SessionModel]:
        """All of a user's sessions."""
        async with self._store.reading() as unit:
            sessions = await unit.sessions.list_for(user.id)
        if not sessions:
            return []
        kernels = {model.kernel.id: model for model in await self._kernels.list(user)}
        return [SessionModel(s, kernels[s.kernel_id]) for s in sessions if s.kernel_id in kernels]

    async def get(self, user: User, session_id: SessionId) -> SessionModel:
        """One session. Raises NotFound."""
        session = await self._row(user, session_id)
        return SessionModel(session, await self._kernels.get(user, session.kernel_id))

    async def create(
        self,
        user: User,
        path: str,
        name: str,
        type: str,
        kernel_name: str | None = None,
        kernel_id: KernelId | None = None,
    ) -> SessionModel:
        """The session of `path`: the one there is, or a new one with a new kernel or the kernel `kernel_id`.

        Where there is no kernel of that id, one is started that has it. Raises what `Kernels.start` raises, NotFound
        for somebody else's kernel, and Conflict for one session too many.
        """
        existing = await self._find_by_path(user, path)
        if existing is not None:
            return existing
        async with self._store.reading() as unit:
            if len(await unit.sessions.list_for(user.id)) >= MAX_SESSIONS:
                raise Conflict(f"You have {MAX_SESSIONS} sessions; close a notebook or shut its kernel down first.")
        if kernel_id is not None:
            kernel, started = await self._given(user, kernel_name, path, kernel_id)
        else:
            kernel, started = await self._kernels.start(user, kernel_name, path), True
        session = Session(
            id=SessionId(new_uuid()),
            user_id=user.id,
            kernel_id=kernel.kernel.id,
            path=path,
            name=name,
            type=type,
            created_at=self._clock.now(),
        )
        reached(Point.SESSION_ADD_BEFORE)
        try:
            async with self._store.unit() as unit:
                await unit.sessions.add(session)
            reached(Point.SESSION_ADD_AFTER)
        except Conflict:
            # Two tabs opened the same notebook at once: the first pairing holds, the second kernel goes.
            if started:
                await self._kernels.end(kernel.kernel, "another session of the same notebook was opened first")
            winner = await self._find_by_path(user, path)
            if winner is None:
                raise
            return winner
        except HubError:
            if started:
                await self._kernels.end(kernel.kernel, "its session could not be recorded")
            raise
        if self._paired is not None:
            await self._paired(session, kernel.kernel.workspace_id, None)
        return SessionModel(session, kernel)

    async def _given(
        self, user: User, kernel_name: str | None, path: str, kernel_id: KernelId
    ) -> tuple[KernelModel, bool]:
        """The kernel that the client named, and whether it had to be started. Raises NotFound for somebody else's."""
        async with self._store.reading() as unit:
            is_new = await unit.kernels.find(kernel_id) is None
        if is_new:
            return await self._kernels.start(user, kernel_name, path, kernel_id), True
        return await self._kernels.get(user, kernel_id), False

    async def update(
        self,
        user: User,
        session_id: SessionId,
        path: str | None = None,
        name: str | None = None,
        type: str | None = None,
        kernel_name: str | None = None,
        kernel_id: KernelId | None = None,
    ) -> SessionModel:
        """Change what is given. Another kernel, new by name or existing by id, ends the one there was.

        Raises NotFound, BadRequest for a path that another session has, and what `Kernels.start` raises.
        """
        before = await self._row(user, session_id)
        if kernel_id is not None:
            wanted = (await self._kernels.get(user, kernel_id)).kernel.id
        elif kernel_name is not None:
            wanted = (await self._kernels.start(user, kernel_name, path or before.path)).kernel.id
        else:
            wanted = None
        changed = await self._change(user, session_id, path, name, type, wanted)
        if self._paired is not None:
            workspace = await self._kernels.workspace_of(user.id, changed.kernel_id)
            await self._paired(changed, workspace.id, before)
        if wanted is not None and wanted != before.kernel_id:
            await self._kernels.shutdown(user, before.kernel_id, "replaced by another kernel in its notebook")
        return SessionModel(changed, await self._kernels.get(user, changed.kernel_id))

    async def _change(
        self,
        user: User,
        session_id: SessionId,
        path: str | None,
        name: str | None,
        type: str | None,
        kernel_id: KernelId | None,
    ) -> Session:
        """Change what is given and nothing else, in one unit of work.

        JupyterLab renames a notebook by two requests at once, one with the path and one with the name; neither may
        write what the other one changes, nor answer what was before.
        """
        try:
            async with self._store.unit() as unit:
                session = await unit.sessions.find(session_id)
                if session is None or session.user_id != user.id:
                    raise _no_such_session(session_id)
                changed = replace(
                    session,
                    path=session.path if path is None else path,
                    name=session.name if name is None else name,
                    type=session.type if type is None else type,
                    kernel_id=kernel_id or session.kernel_id,
                )
                await unit.sessions.save(changed)
            reached(Point.SESSION_CHANGE_AFTER)
            return changed
        except Conflict as error:
            raise BadRequest(f"Another session has the path {path!r}.") from error

    async def delete(self, user: User, session_id: SessionId) -> None:
        """End a session and its kernel. Raises NotFound."""
        session = await self._row(user, session_id)
        await self._kernels.shutdown(user, session.kernel_id)
        async with self._store.unit() as unit:
            await unit.sessions.delete(session.id)

    async def _find_by_path(self, user: User, path: str) -> SessionModel | None:
        async with self._store.reading() as unit:
            session = await unit.sessions.find_by_path(user.id, path)
        if session is None:
            return None
        try:
            return SessionModel(session, await self._kernels.get(user, session.kernel_id))
        except NotFound:
            async with self._store.unit() as unit:
                await unit.sessions.delete(session.id)
            return None

    async def _row(self, user: User, session_id: SessionId) -> Session:
        async with self._store.reading() as unit:
            session = await unit.sessions.find(session_id)
        if session is None or session.user_id != user.id:
            raise _no_such_session(session_id)
        return session


def _no_such_session(session_id: SessionId) -> NotFound:
    return NotFound(f"Session not found: session_id={session_id!r}")
