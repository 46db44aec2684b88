"""``api/kernels``, ``api/kernelspecs`` and ``kernelspecs/``. The channels' WebSocket is the proxy's."""

from __future__ import annotations

import asyncio
import logging
import mimetypes
import re
from typing import Any

from hub.domain.health import Health, HealthState
from hub.domain.ids import KernelId
from hub.errors import BadRequest, HubError, NotFound
from hub.jupyter.files import SANDBOX_POLICY
from hub.jupyter.handler import JupyterHandler
from hub.jupyter.models import judged_kernel_model, kernel_model, kernelspec_model, kernelspecs_model, no_kernelspecs
from hub.workspaces.kernels import KernelModel

log = logging.getLogger(__name__)

KERNELSPECS_SECONDS = 8.0
"""How long a launcher may wait for an image that never ran here; then it says that it is being prepared."""
MAX_PATH_CHARS = 4096
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")


def kernel_id_of(value: object) -> KernelId:
    """A kernel's id as a client gave it. Raises BadRequest when it is not a UUID."""
    if not isinstance(value, str) or not _UUID.match(value):
        raise BadRequest("A kernel's id must be a UUID.")
    return KernelId(value.lower())


def kernel_in_path(value: str) -> KernelId:
    """A kernel's id as it stands in an address. Raises NotFound when no kernel can have it."""
    if not _UUID.match(value):
        raise NotFound(f"Kernel does not exist: {value[:64]}")
    return KernelId(value.lower())


def optional_text(body: dict[str, Any], field: str, most: int = MAX_PATH_CHARS) -> str | None:
    """A field that is text, null or absent. Raises BadRequest otherwise, and beyond `most` characters."""
    value = body.get(field)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > most or "\0" in value:
        raise BadRequest(f"{field} must be text of at most {most} characters.")
    return value


class KernelsHandler(JupyterHandler):
    """The user's kernels."""

    async def get(self, _name: str) -> None:
        """List them; front ends ask every few seconds."""
        self.write_json([kernel_model(model) for model in await self.services.kernels.list(self.user)])

    async def post(self, _name: str) -> None:
        """Start one."""
        body = self.json_body() or {}
        wanted = body.get("kernel_id")
        model = await self.services.kernels.start(
            self.user,
            optional_text(body, "name", 256),
            optional_text(body, "path") or "",
            kernel_id_of(wanted) if wanted is not None else None,
        )
        self.set_header("Location", self.url("api/kernels", model.kernel.id))
        self.write_json(kernel_model(model), 201)


class KernelHandler(JupyterHandler):
    """One kernel."""

    async def get(self, _name: str, kernel_id: str) -> None:
        """What it is doing. One that ended otherwise than by its user's wish is shown dead, with the reason.

        Front ends ask here when their connection ended, and show the reason of a kernel that is told to be dead; where
        there is none (404) they go on trying to connect.
        """
        wanted = kernel_in_path(kernel_id)
        try:
            model = await self.services.kernels.get(self.user, wanted)
        except NotFound:
            end = await self.services.ends.find(self.user, wanted)
            if end is None or (end.by_user and not end.with_container):
                raise
            model = KernelModel(end.kernel, 0, Health(HealthState.GONE, f"It ended: {end.reason}.", since=end.at))
        self.write_json(judged_kernel_model(model))

    async def delete(self, _name: str, kernel_id: str) -> None:
        """Shut it down."""
        await self.services.kernels.shutdown(self.user, kernel_in_path(kernel_id))
        self.write_nothing()


class KernelActionHandler(JupyterHandler):
    """Interrupt or restart a kernel."""

    async def post(self, _name: str, kernel_id: str, action: str) -> None:
        """Answer once the signal is sent, or the new process started."""
        if action == "interrupt":
            await self.services.kernels.interrupt(self.user, kernel_in_path(kernel_id))
            self.write_nothing()
        else:
            self.write_json(kernel_model(await self.services.kernels.restart(self.user, kernel_in_path(kernel_id))))


class KernelspecsHandler(JupyterHandler):
    """Which kernels the user may start."""

    async def get(self, _name: str) -> None:
        """List them, quickly in any case: where there is none, an entry says why."""
        try:
            async with asyncio.timeout(KERNELSPECS_SECONDS):
                listed = await self.services.kernelspecs.list(self.user)
        except TimeoutError:
            self.services.workspaces.ensure_soon(self.user)
            self.write_json(no_kernelspecs("Kernels are being prepared for the first time; reload in a minute"))
        except HubError as error:
            log.warning("no kernelspecs for user %s: %s", self.user.id, error.message)
            self.write_json(no_kernelspecs(error.message))
        else:
            if listed.specs:
                self.write_json(kernelspecs_model(listed, self.base_url))
            else:
                self.write_json(no_kernelspecs("The image has no kernels; tell the administrators of this hub"))


class KernelspecHandler(JupyterHandler):
    """One kernelspec."""

    async def get(self, _name: str, kernel_name: str) -> None:
        """Its model."""
        listed = await self.services.kernelspecs.list(self.user)
        for spec in listed.specs:
            if spec.name == kernel_name:
                self.write_json(kernelspec_model(spec, self.base_url))
                return
        raise NotFound(f"Kernel spec {kernel_name[:200]} not found")


class KernelspecResourceHandler(JupyterHandler):
    """A file of a kernelspec, such as its logo. It comes from the image, so it is not trusted."""

    def content_security_policy(self) -> str:
        """No origin of ours for what an image contains."""
        return SANDBOX_POLICY

    async def get(self, _name: str, kernel_name: str, file: str) -> None:
        """Its bytes."""
        self.refuse_cross_site()
        data = await self.services.kernelspecs.resource(self.user, kernel_name, file)
        self.set_header("Content-Type", mimetypes.guess_type(file)[0] or "application/octet-stream")
        self.set_header("Cache-Control", "private, max-age=86400")
        self.finish(data)
