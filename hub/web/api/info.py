"""``/hub/api`` itself: which hub this is, how it is, its services (none), its proxy, and its end."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from hub.domain.audit import AuditEvent
from hub.domain.scopes import Scope
from hub.errors import NotFound
from hub.http.handler import Access
from hub.web.api.base import ApiHandler
from hub.web.api.models import Shutdown

try:
    VERSION = version("kernelhub")
except PackageNotFoundError:  # run from a checkout that is not installed
    VERSION = "0"
SPOKEN = "6.0.0"
"""The version of JupyterHub's REST API that this one follows; its clients look at it to know what there is."""


class Root(ApiHandler):
    """``/hub/api``: which hub this is."""

    access = Access.PUBLIC

    def get(self) -> None:
        """The version of JupyterHub's API that is spoken, and the hub's own, for anyone."""
        self.write_json({"version": SPOKEN, "kernelhub": VERSION})


class Info(ApiHandler):
    """``/hub/api/info``."""

    permission = Scope.READ_HUB

    def get(self) -> None:
        """What the hub runs on."""
        self.write_json(
            {
                "version": SPOKEN,
                "kernelhub": VERSION,
                "python": platform.python_version(),
                "sys_executable": "",
                "spawner": {"class": self.services.settings.spawner, "version": VERSION},
                "authenticator": {"class": "kernelhub", "version": VERSION},
            }
        )


class Health(ApiHandler):
    """``/hub/api/health``: requests can be answered, which is to say that the database does."""

    access = Access.PUBLIC

    async def get(self) -> None:
        """200, or 503 with the reason."""
        await self.services.store.ping()
        self.write_json({"status": "ok"})


class ServicesList(ApiHandler):
    """``/hub/api/services``: JupyterHub's services are programs with a token here, so there are none to list."""

    permission = Scope.READ_HUB

    def get(self) -> None:
        """An empty object."""
        self.write_json({})


class Proxy(ApiHandler):
    """``/hub/api/proxy``: the proxy asks the hub for each route, so there is no table but what runs."""

    permission = Scope.READ_HUB

    def get(self) -> None:
        """One route for the hub, as JupyterHub's table has it; users' routes lead to the same proxy."""
        route = {"routespec": "/", "target": self.services.settings.hub_url, "data": {"hub": True}}
        self.write_json({"/": route})


class ShutdownHub(ApiHandler):
    """``/hub/api/shutdown``."""

    permission = Scope.SHUTDOWN

    async def post(self) -> None:
        """End the hub once this is answered (202). Containers go on, unless `servers` is true."""
        wanted = self.body(Shutdown)
        now, actor = self.services.clock.now(), self.identity.user.id
        details: dict[str, str | int | float | bool | None] = {"proxy": wanted.proxy, "servers": wanted.servers}
        async with self.services.store.unit() as unit:
            await unit.audit.add(AuditEvent(now, "hub.shut_down", actor, "hub", self.address, details))
        self.write_json({"message": "Shutting down."}, 202)
        self.services.ending.ask(for_good=wanted.proxy, stop_workspaces=wanted.servers)


class NoSuchApi(ApiHandler):
    """Anything else below ``/hub/api``."""

    access = Access.PUBLIC

    async def prepare(self) -> None:
        """404 as JSON, whatever the method and whoever asks."""
        self._begin()
        raise NotFound("There is nothing at this address.")
