"""How alembic runs the migrations, on SQLite and PostgreSQL.

`hub.store.schema` hands over a connection with an open transaction. Without one (``alembic revision
--autogenerate -m "…"``, for developers; pyproject.toml says where the migrations are) the database is that
of the hub's settings.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection

from hub.config import load_settings
from hub.store.schema import CONNECTION, connected
from hub.store.tables import metadata
from hub.store.types import PlainText, UtcDateTime


def run(connection: Connection) -> None:
    """Run what alembic was asked for, in the transaction that is open."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=True,
        render_item=render_item,
        compare_type=True,
        compare_server_default=True,
    )
    context.run_migrations()


def render_item(kind: str, item: Any, _context: object) -> str | Literal[False]:
    """Write the hub's column types into a new migration without naming them: it must not import the hub."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, PlainText):
        return 'sa.Text().with_variant(sa.Text(collation="C"), "postgresql")'
    return False


async def run_by_settings() -> None:
    """Run it on the database of the settings."""
    async with connected(load_settings().sqlalchemy_url) as connection:
        await connection.run_sync(run)


given = context.config.attributes.get(CONNECTION)
if given is not None:
    run(given)
else:
    asyncio.run(run_by_settings())
