"""Which of the user's kernels is meant, and new ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hub.errors import BadRequest, NotFound
from hub.remote.connection import RemoteHub


@dataclass(frozen=True, slots=True)
class RunningKernel:
    """A kernel of the user: its id, its kernelspec's name, what it is doing, and the notebook it belongs to, if any."""

    id: str
    name: str
    state: str
    path: str = ""

    def __str__(self) -> str:
        place = f"  {self.path}" if self.path else ""
        return f"{self.id}  {self.name} ({self.state}){place}"


async def list_kernels(hub: RemoteHub) -> list[RunningKernel]:
    """The user's running kernels, in the hub's order."""
    paths = {
        str(_of(session, "kernel").get("id")): str(session.get("path", ""))
        for session in await hub.get("api/sessions")
        if session.get("type") != "terminal"
    }
    return [_kernel(model, paths.get(str(model.get("id")), "")) for model in await hub.get("api/kernels")]


def find_kernel(kernels: list[RunningKernel], wanted: str) -> RunningKernel:
    """The kernel with this id, or whose id begins so, or whose notebook it is. Raises NotFound, BadRequest."""
    found = [kernel for kernel in kernels if wanted and kernel.id.startswith(wanted.lower())]
    found = found or [kernel for kernel in kernels if kernel.path == wanted.strip("/")]
    if len(found) == 1:
        return found[0]
    shown = "".join(f"\n  {kernel}" for kernel in found or kernels)
    if found:
        raise BadRequest(f"{wanted!r} may be any of{shown}")
    raise NotFound(f"No running kernel is {wanted!r}." + (f" These run:{shown}" if shown else " None runs."))


async def start_kernel(hub: RemoteHub, name: str | None) -> RunningKernel:
    """Start a kernel of the kernelspec `name`, None: the hub's default."""
    return _kernel(await hub.post("api/kernels", {"name": name} if name else {}), "")


def _kernel(model: Any, path: str) -> RunningKernel:
    if not isinstance(model, dict) or not isinstance(model.get("id"), str):
        raise BadRequest("The hub's answer names no kernel; check the address.")
    return RunningKernel(model["id"], str(model.get("name")), str(model.get("execution_state")), path)


def _of(model: Any, field: str) -> dict[str, Any]:
    found = model.get(field) if isinstance(model, dict) else None
    return found if isinstance(found, dict) else {}
