"""A transaction: runs statements with a deadline and turns the database's errors into the hub's.

IntegrityError                          Conflict
DataError, a number too large           BadRequest
disk full                               NoSpace
anything else, no answer in time        StoreUnavailable
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVarTuple

from sqlalchemy import CursorResult, Executable, Row, Select, exc
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.errors import BadRequest, Conflict, HubError, NoSpace, StoreUnavailable

STATEMENT_SECONDS = 15.0
"""Longest time for one statement, to which the databases' own limits (hub.store.engine) are shorter."""

MAX_KEYS = 1000
"""Most keys in one ``IN (…)``. SQLite takes 32,766 parameters to a statement, asyncpg 32,767."""

Columns = TypeVarTuple("Columns")

_CHANGED = "What this refers to was changed or deleted meanwhile; reload and try again."


class Transaction:
    """One open transaction of one unit of work; repositories run their statements through it.

    `writes` says whether rows that are read are going to be written: repositories lock them then, where the
    database knows row locks (see `hub.store.engine`). After an error nothing more can be done in it, on
    either database: PostgreSQL would silently turn the commit into a rollback.
    """

    def __init__(self, connection: AsyncConnection, *, writes: bool) -> None:
        self._connection = connection
        self.dialect = connection.dialect.name
        self.writes = writes
        self._failure: HubError | None = None

    async def execute(
        self,
        statement: Executable,
        parameters: Sequence[Mapping[str, Any]] | None = None,
        *,
        conflict: str = _CHANGED,
    ) -> CursorResult[Any]:
        """Run one statement, or one statement for each of `parameters`.

        Raises Conflict with the message `conflict` where a constraint forbids it, BadRequest for a value that
        the database cannot keep, NoSpace, and StoreUnavailable for everything else.
        """
        self.require_intact()
        if statement.is_dml and not self.writes:
            raise RuntimeError("This unit only reads; use `store.unit()` to write.")
        try:
            async with translated(conflict):
                return await self._connection.execute(statement, parameters)
        except HubError as error:
            self._failure = error
            raise

    async def rows(self, statement: Executable) -> Sequence[Row[Any]]:
        """All rows of a query."""
        return (await self.execute(statement)).all()

    async def row(self, statement: Executable) -> Row[Any] | None:
        """The first row of a query, or None."""
        return (await self.execute(statement)).first()

    async def rows_for(self, keys: Iterable[str], query: Callable[[Sequence[str]], Executable]) -> list[Row[Any]]:
        """All rows of `query(keys)`, asked for with at most `MAX_KEYS` keys at once."""
        wanted = sorted(set(keys))
        found: list[Row[Any]] = []
        for start in range(0, len(wanted), MAX_KEYS):
            found.extend(await self.rows(query(wanted[start : start + MAX_KEYS])))
        return found

    async def count(self, statement: Executable, *, conflict: str = _CHANGED) -> int:
        """How many rows a statement changed."""
        return (await self.execute(statement, conflict=conflict)).rowcount

    def locking(self, query: Select[*Columns]) -> Select[*Columns]:
        """The query, which in a unit that writes locks the rows it finds until the unit ends.

        The lock lets others refer to the row meanwhile. SQLite needs none: it has one writer at a time.
        """
        return query.with_for_update(key_share=True) if self.writes else query

    async def commit(self) -> None:
        """Make it durable. When this raises StoreUnavailable, it is unknown whether it was."""
        self.require_intact()
        async with translated(_CHANGED):
            await self._connection.commit()

    def require_intact(self) -> None:
        """Raise the error that ended this transaction, if one did and somebody caught it inside the unit."""
        if self._failure is not None:
            raise self._failure


@asynccontextmanager
async def translated(conflict: str = _CHANGED, seconds: float | None = None) -> AsyncIterator[None]:
    """Run one call of the database with a deadline (None: `STATEMENT_SECONDS`), and translate what it raises."""
    with _translated_errors(conflict):
        async with asyncio.timeout(STATEMENT_SECONDS if seconds is None else seconds):
            yield


@contextmanager
def _translated_errors(conflict: str) -> Iterator[None]:
    try:
        yield
    except exc.IntegrityError as error:
        raise Conflict(conflict) from error
    except (exc.DataError, OverflowError) as error:
        raise BadRequest("A value is outside of what the database can keep.") from error
    except exc.StatementError as error:
        if isinstance(error, exc.DBAPIError):
            raise _unavailable(error) from error
        if isinstance(error.orig, (HubError, ValueError)):
            raise error.orig from None
        raise
    except (exc.TimeoutError, TimeoutError, OSError) as error:
        raise _unavailable(error) from error


def _unavailable(error: BaseException) -> HubError:
    if _is_full(error):
        return NoSpace("The disk that holds the database is full. Nothing was changed.")
    return StoreUnavailable("The database does not answer at the moment. Please try again.")


def _is_full(error: BaseException) -> bool:
    """SQLITE_FULL, or PostgreSQL's state 53100 (disk_full)."""
    cause = getattr(error, "orig", None)
    return "database or disk is full" in str(cause) or getattr(cause, "sqlstate", None) == "53100"
