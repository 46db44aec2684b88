"""Small parts of the Jupyter Server API: version, status, identity, configuration, reports."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, ClassVar

import msgspec

from hub import metrics
from hub.config import Settings
from hub.errors import BadRequest
from hub.http.access_log import printable
from hub.http.handler import Access
from hub.jupyter.handler import JupyterHandler
from hub.jupyter.identity import UPDATABLE, chosen_colour, save_identity
from hub.jupyter.models import identity_model, status_model
from hub.jupyter.nbconfig import SECTIONS, merged

log = logging.getLogger(__name__)

MAX_REPORT_CHARS = 400
_started_at = datetime.now(UTC)
_api_version = version("jupyter_server")


class VersionHandler(JupyterHandler):
    """``api``: which version of the Jupyter Server API this is. Asked by clients before they sign in."""

    access: ClassVar[Access] = Access.PUBLIC

    def get(self, _name: str) -> None:
        """The version."""
        self.write_json({"version": _api_version})


class StatusHandler(JupyterHandler):
    """``api/status``."""

    async def get(self, _name: str) -> None:
        """How many kernels the user has, and when they were last used."""
        self.write_json(status_model(_started_at, await self.services.kernels.list(self.user)))


class IdentityHandler(JupyterHandler):
    """``api/me``."""

    async def get(self, _name: str) -> None:
        """Who is signed in; of the permissions asked about, all are granted: it is the user's own place."""
        asked = self.query("permissions")
        try:
            permissions = msgspec.json.decode(asked, type=dict[str, list[str]]) if asked else {}
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadRequest('permissions should be a JSON dict of {"resource": ["action",]}') from error
        granted: dict[str, Any] = {**permissions, "updatable_fields": UPDATABLE}
        colour = await self.frontends.run(chosen_colour, self.frontends.identity_of(self.user.id))
        self.write_json({"identity": identity_model(self.user, colour), "permissions": granted})

    async def patch(self, _name: str) -> None:
        """Change the colour by which others see the user. Names are the administrators'."""
        colour = await self.frontends.run(
            save_identity, self.frontends.identity_of(self.user.id), self.json_body() or {}
        )
        self.write_json({"status": "success", "identity": identity_model(self.user, colour)})


class ConfigHandler(JupyterHandler):
    """``api/config/<section>``: JSON that front ends keep for the user."""

    async def get(self, _name: str, section: str) -> None:
        """A section; one that does not exist is empty. The classic Notebook's begin with what is installed."""
        stored = await self.frontends.run(self._read, section)
        self.write_json(merged(await self._defaults(section), stored))

    async def put(self, _name: str, section: str) -> None:
        """Replace a section."""
        folder = self.frontends.config_of(self.user.id)
        await self.frontends.run(folder.save, section, self.json_body() or {})
        self.write_nothing()

    async def patch(self, _name: str, section: str) -> None:
        """Change what is given, at any depth; null removes."""
        changed = await self.frontends.run(self._change, section, self.json_body() or {})
        self.write_json(merged(await self._defaults(section), changed))

    def _read(self, section: str) -> dict[str, Any]:
        stored = self.frontends.config_of(self.user.id).find(section)
        return stored.value if stored is not None and isinstance(stored.value, dict) else {}

    async def _defaults(self, section: str) -> dict[str, Any]:
        return (await self.frontends.catalogue()).nbconfig.get(section, {}) if section in SECTIONS else {}

    def _change(self, section: str, changes: dict[str, Any]) -> dict[str, Any]:
        changed = merged(self._read(section), changes)
        self.frontends.config_of(self.user.id).save(section, changed)
        return changed


class LanguageServersHandler(JupyterHandler):
    """``lsp/status``: there are no language servers."""

    def get(self, _name: str) -> None:
        """An empty answer, which switches the feature off without a complaint."""
        self.write_json({"version": 2, "sessions": {}, "specs": {}})


class PolicyReportHandler(JupyterHandler):
    """``api/security/csp-report``: a browser says that a page of ours broke its own policy."""

    csrf_exempt: ClassVar[bool] = True

    @classmethod
    def body_limit(cls, settings: Settings) -> int:
        """Reports are short."""
        return 64 * 1024

    def post(self, _name: str) -> None:
        """Log it."""
        report = self.request.body.decode("utf-8", "replace")
        metrics.POLICY_REPORTS.inc()
        log.warning("content security report of user %s: %s", self.user.id, printable(report, MAX_REPORT_CHARS))
        self.set_status(200)
        self.finish()
