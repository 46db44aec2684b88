"""The base of the Jupyter handlers: who the user is, and how Jupyter's clients want their answers."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import quote

from hub.contents.service import Contents
from hub.domain.users import User
from hub.errors import BadRequest, NotFound
from hub.http.handler import JSON_TYPE, UserHandler
from hub.jupyter.frontends import FrontEnds

MAX_QUERY_CHARS = 4096


class JupyterHandler(UserHandler):
    """Base of the handlers under ``/user/<name>/``; that the user is ``<name>`` has been checked."""

    scope: ClassVar[str | None] = "jupyter"

    @property
    def user(self) -> User:
        """The signed-in user, whose name is in the path."""
        return self.identity.user

    @property
    def contents(self) -> Contents:
        """The user's files."""
        return self.services.contents.of(self.user)

    @property
    def frontends(self) -> FrontEnds:
        """The installed front ends."""
        return self.services.frontends

    def url(self, *parts: str) -> str:
        """The address of something under the user's base, each part percent-encoded except its slashes."""
        return self.base_url + "/".join(quote(part, safe="/@+") for part in parts)

    def query(self, name: str, default: str = "") -> str:
        """A parameter of the query. Raises BadRequest when it is not UTF-8 or very long."""
        value = self.get_query_argument(name, default)
        if len(value) > MAX_QUERY_CHARS:
            raise BadRequest(f"The parameter {name!r} is too long.")
        return value

    def flag(self, name: str, default: str) -> bool:
        """A parameter that is 0 or 1. Raises BadRequest for anything else."""
        value = self.query(name, default)
        if value not in {"0", "1"}:
            raise BadRequest(f"{name.capitalize()} {value[:40]!r} is invalid: it must be 0 or 1.")
        return value == "1"

    def json_body(self) -> dict[str, Any] | None:
        """The body as an object, None when there is none. Raises BadRequest."""
        return self.body(dict[str, Any]) if self.request.body.strip() not in {b"", b"null"} else None

    def write_encoded(self, data: bytes, status: int = 200) -> None:
        """Answer with JSON that is bytes already."""
        self.set_status(status)
        self.set_header("Content-Type", JSON_TYPE)
        self.finish(data)

    def write_nothing(self, status: int = 204) -> None:
        """Answer without a body."""
        self.set_status(status)
        self.clear_header("Content-Type")
        self.finish()


class NoSuchApi(JupyterHandler):
    """What this hub does not offer under a user's address: answered 404 as JSON, whatever the method."""

    page: ClassVar[bool | None] = False

    async def prepare(self) -> None:
        """Say so, once it is known that the asker is the user."""
        await super().prepare()
        raise NotFound("This hub does not offer this.")
