"""The base of everything under ``/user/<name>/``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import quote, unquote

from hub.domain.scopes import Scope
from hub.domain.users import InvalidUsername, normalise_username
from hub.errors import Forbidden, HubError
from hub.http.handler import Access, HubHandler


class UserHandler(HubHandler):
    """Base of everything under ``/user/<name>/``: only that user may pass, an administrator neither."""

    access = Access.OWNER
    permission: ClassVar[Scope | Mapping[str, Scope] | None] = MappingProxyType(
        {"GET": Scope.READ_JUPYTER, **dict.fromkeys(("POST", "PUT", "PATCH", "DELETE"), Scope.JUPYTER)}
    )
    json_only = False  # JupyterLab declares some bodies as text; the form token protects them all the same

    @property
    def base_url(self) -> str:
        """``/user/<name>/`` of the signed-in user, as front ends need it."""
        return f"/user/{quote(self.identity.user.name, safe='@+')}/"

    async def check_permission(self) -> None:
        """See HubHandler; and for OWNER the name in the path, decoded once, must be the user's own."""
        await super().check_permission()
        if self.access is Access.OWNER and self._name_in_path() != self.identity.user.name:
            message = f"This belongs to another user; you are signed in as {self.identity.user.name}."
            await self.refuse(self.permission_for(self.request.method or ""), message=message)

    def _name_in_path(self) -> str | None:
        parts = self.request.path.split("/", 3)
        try:
            return normalise_username(unquote(parts[2], errors="strict")) if len(parts) > 2 else None
        except (InvalidUsername, UnicodeDecodeError):
            return None

    def error_body(self, error: HubError) -> dict[str, Any]:
        """As HubHandler's, in the words that Jupyter's clients know."""
        body = super().error_body(error)
        return {**body, "message": "Forbidden"} if type(error) is Forbidden else body

    async def prepare(self) -> None:
        """See HubHandler; pages also renew the cookie from which front ends take the form token."""
        await super().prepare()
        if self.found_identity is not None and self.shows_pages() and self.found_identity.xsrf:
            self.set_xsrf_cookie()

    def set_xsrf_cookie(self) -> None:
        """Set ``_xsrf`` for this user's path; the front ends' scripts send it back as a header."""
        if self.get_cookie("_xsrf") != self.identity.xsrf:
            secure = self.services.settings.secure_cookies
            self.set_cookie("_xsrf", self.identity.xsrf, path=self.base_url, secure=secure, samesite="Lax")
