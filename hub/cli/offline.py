"""What commands that change users need: the store and the auth services, without a running hub.

A new data folder gets its database now, so that users can be added before the first start. An old database is
never migrated behind anyone's back: the error says which command does it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import click

from hub.auth.assemble import Auth, make_auth
from hub.config import Settings
from hub.domain.users import User, normalise_username
from hub.errors import NotFound
from hub.spawn.direct import select_direct
from hub.spawn.folders import Folders
from hub.spawn.process import ProcessSpawner
from hub.store import schema
from hub.store.engine import Store
from proxy.kit.clock import SystemClock

ACTOR = "cli"
"""Who acts, in the audit log."""


@dataclass(frozen=True, slots=True)
class Offline:
    """The services of one command."""

    settings: Settings
    store: Store
    auth: Auth

    async def user(self, name: str) -> User:
        """The user called `name`. Raises NotFound, and InvalidUsername for what can be no name."""
        async with self.store.reading() as unit:
            user = await unit.users.find_by_name(normalise_username(name))
        if user is None:
            raise NotFound(f"There is no user {name!r}. `kernelhub user list` shows all.")
        return user

    async def stop_containers(self, user: User) -> None:
        """Stop a user's containers; a running hub notices by itself. Raises EngineSilent."""
        async with self.store.reading() as unit:
            workspaces = await unit.workspaces.list_for(user.id)
        if not workspaces:
            return
        settings = self.settings
        selected = await select_direct(settings, Folders(settings.data_dir, settings.base_uid, settings.base_gid))
        processes = ProcessSpawner(selected.folders.without_uids(), start_seconds=0.0)
        try:
            for workspace in workspaces:
                await selected.spawner.stop(workspace.id)
                await processes.stop(workspace.id)  # `serve --spawner process` said so to the hub alone
        finally:
            await selected.spawner.close()


@asynccontextmanager
async def offline(settings: Settings) -> AsyncIterator[Offline]:
    """The services, closed at the end. Raises SchemaOutdated, StoreUnavailable."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    if (await schema.current(settings.sqlalchemy_url)).current is None:
        await schema.upgrade(settings.sqlalchemy_url)
        where = "PostgreSQL" if settings.database_url else str(settings.data_dir)
        click.echo(f"made a new database ({where}); if there should be one, check --data-dir and --config", err=True)
    await schema.require_current(settings.sqlalchemy_url)
    store = Store(settings.sqlalchemy_url)
    auth = make_auth(settings, store, SystemClock())
    try:
        yield Offline(settings, store, auth)
    finally:
        await auth.close()
        await store.close()
