"""The shapes of Jupyter's REST API, made from the hub's values. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from hub.domain.health import Health
from hub.domain.users import User
from hub.workspaces.image_kernelspecs import KernelspecList
from hub.workspaces.kernels import KernelModel
from hub.workspaces.sessions import SessionModel
from proxy.contract.agent import Kernelspec, TerminalInfo

UNAVAILABLE_KERNEL = "unavailable"
"""Name of the kernelspec that stands in the launcher when there is none, and says why."""

_WARNING_SIGN = "data:image/svg+xml," + quote(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path d="M8 1L15.5 15H.5z" fill="#c62828"/>'
    '<path d="M8 6v4M8 12v1.5" stroke="#fff" stroke-width="1.6"/></svg>'
)


def kernel_model(model: KernelModel) -> dict[str, Any]:
    """A kernel. `reason` is there only when something ended it."""
    kernel = model.kernel
    shown: dict[str, Any] = {
        "id": kernel.id,
        "name": kernel.spec_name,
        "last_activity": kernel.last_activity_at,
        "execution_state": kernel.state.value,
        "connections": model.connections,
    }
    return {**shown, "reason": kernel.reason} if kernel.reason else shown


def judged_kernel_model(model: KernelModel) -> dict[str, Any]:
    """A kernel that is asked for by itself: with ``kernelhub``, an addition (docs/how-to/kernel-states.md)."""
    shown = kernel_model(model)
    return shown if model.health is None else {**shown, "kernelhub": health_model(model.health)}


def health_model(health: Health) -> dict[str, Any]:
    """How a kernel is, in a state and a sentence; `advised` is what would help, None when nothing is wrong."""
    return {"state": health.state, "since": health.since, "words": health.words, "advised": health.advised}


def session_model(model: SessionModel) -> dict[str, Any]:
    """A session with its kernel."""
    session = model.session
    shown: dict[str, Any] = {
        "id": session.id,
        "path": session.path,
        "name": session.name,
        "type": session.type,
        "kernel": kernel_model(model.kernel),
    }
    if session.type == "notebook":
        shown["notebook"] = {"path": session.path, "name": session.name}
    return shown


def terminal_model(terminal: TerminalInfo, now: datetime) -> dict[str, Any]:
    """A terminal. The time comes from the container, so it is believed only if it can be a time."""
    try:
        at = min(datetime.fromtimestamp(terminal.last_activity_at, UTC), now)
    except (ValueError, OverflowError, OSError):
        at = now
    return {"name": terminal.name, "last_activity": at}


def kernelspec_model(spec: Kernelspec, base_url: str) -> dict[str, Any]:
    """A kernelspec; its resources are addresses under `base_url`."""
    folder = f"{base_url}kernelspecs/{quote(spec.name, safe='')}"
    resources = {
        (PurePosixPath(file).stem if file.startswith("logo-") else file): f"{folder}/{quote(file, safe='')}"
        for file in spec.resources
        if file.startswith("logo-") or file in {"kernel.js", "kernel.css"}
    }
    return {"name": spec.name, "spec": spec.spec, "resources": resources}


def kernelspecs_model(listed: KernelspecList, base_url: str) -> dict[str, Any]:
    """All kernelspecs and the default one's name."""
    return {
        "default": listed.default,
        "kernelspecs": {spec.name: kernelspec_model(spec, base_url) for spec in listed.specs},
    }


def no_kernelspecs(reason: str) -> dict[str, Any]:
    """A list whose only entry says why there is none: front ends show it where they show kernels."""
    spec = {"argv": [], "display_name": reason, "language": "", "metadata": {}, "env": {}}
    only = {"name": UNAVAILABLE_KERNEL, "spec": spec, "resources": {"logo-svg": _WARNING_SIGN}}
    return {"default": UNAVAILABLE_KERNEL, "kernelspecs": {UNAVAILABLE_KERNEL: only}}


def identity_model(user: User, colour: str | None = None) -> dict[str, Any]:
    """Who the user is. `username` identifies, the rest is shown; `colour` None: the front end chooses one."""
    return {
        "username": user.name,
        "name": user.name,
        "display_name": user.name,
        "initials": user.name[:2].upper(),
        "avatar_url": None,
        "color": colour,
    }


def status_model(started: datetime, kernels: Iterable[KernelModel]) -> dict[str, Any]:
    """The state of the user's "server": this hub, and the user's kernels."""
    listed = list(kernels)
    return {
        "started": started,
        "last_activity": max((model.kernel.last_activity_at for model in listed), default=started),
        "kernels": len(listed),
        "connections": sum(model.connections for model in listed),
    }
