"""``api/sessions``: which kernel belongs to which notebook."""

from __future__ import annotations

import textwrap
from typing import Any

from hub.domain.ids import SessionId
from hub.errors import BadRequest, HubError, NotFound, UnknownKernelspec
from hub.jupyter.handler import JupyterHandler
from hub.jupyter.kernels import kernel_id_of, optional_text
from hub.jupyter.models import session_model

DIALOG_CHARS = 90


class _SessionsHandler(JupyterHandler):
    def required_body(self) -> dict[str, Any]:
        """The body, in today's form: long ago path and name stood in ``notebook``. Raises BadRequest."""
        body = self.json_body()
        if body is None:
            raise BadRequest("No JSON data provided")
        notebook = body.get("notebook")
        if isinstance(notebook, dict):
            path = notebook.get("path", notebook.get("name"))
            body = {**body, "type": "notebook", **({"path": path} if path is not None else {})}
        return body

    def kernel_of(self, body: dict[str, Any]) -> dict[str, Any]:
        """What the body says of the kernel. Raises BadRequest."""
        kernel = body.get("kernel") or {}
        if not isinstance(kernel, dict):
            raise BadRequest("kernel must be an object with a name or an id.")
        return kernel

    def error_body(self, error: HubError) -> dict[str, Any]:
        """Front ends show `message` in the dialog that says that the kernel did not start, and break no lines."""
        body = super().error_body(error)
        body["message"] = textwrap.fill(str(body["message"]), DIALOG_CHARS)
        return {**body, "short_message": "Kernel not found"} if isinstance(error, UnknownKernelspec) else body


class SessionsHandler(_SessionsHandler):
    """The user's sessions."""

    async def get(self, _name: str) -> None:
        """List them; front ends ask every few seconds."""
        self.write_json([session_model(model) for model in await self.services.sessions.list(self.user)])

    async def post(self, _name: str) -> None:
        """The session of a path: the one there is, or a new one with a kernel."""
        body = self.required_body()
        path, kind = optional_text(body, "path"), optional_text(body, "type", 64)
        for field, value in (("path", path), ("type", kind)):
            if value is None:
                raise BadRequest(f"Missing field in JSON data: {field}")
        kernel = self.kernel_of(body)
        model = await self.services.sessions.create(
            self.user,
            path or "",
            optional_text(body, "name") or "",
            kind or "",
            kernel_name=optional_text(kernel, "name", 256) or None,
            kernel_id=kernel_id_of(kernel["id"]) if kernel.get("id") else None,
        )
        self.set_header("Location", self.url("api/sessions", model.session.id))
        self.write_json(session_model(model), 201)


class SessionHandler(_SessionsHandler):
    """One session."""

    async def get(self, _name: str, session_id: str) -> None:
        """Its model."""
        self.write_json(session_model(await self.services.sessions.get(self.user, SessionId(session_id))))

    async def patch(self, _name: str, session_id: str) -> None:
        """Another path, name or type; or another kernel, which ends the one there was."""
        body = self.required_body()
        kernel = self.kernel_of(body)
        kernel_id = kernel_id_of(kernel["id"]) if kernel.get("id") else None
        if kernel_id is not None:
            await self._check_kernel(SessionId(session_id), kernel_id)
        model = await self.services.sessions.update(
            self.user,
            SessionId(session_id),
            path=optional_text(body, "path"),
            name=optional_text(body, "name"),
            type=optional_text(body, "type", 64),
            kernel_name=None if kernel_id else optional_text(kernel, "name", 256),
            kernel_id=kernel_id,
        )
        self.write_json(session_model(model))

    async def delete(self, _name: str, session_id: str) -> None:
        """End it and its kernel."""
        await self.services.sessions.delete(self.user, SessionId(session_id))
        self.write_nothing()

    async def _check_kernel(self, session_id: SessionId, kernel_id: Any) -> None:
        """Jupyter answers 404 for a session and 400 for a kernel that does not exist."""
        await self.services.sessions.get(self.user, session_id)
        try:
            await self.services.kernels.get(self.user, kernel_id)
        except NotFound as error:
            raise BadRequest(f"No such kernel: {kernel_id}") from error
