"""What a user's home page shows of their containers: each with its kernels, and of each kernel what it is for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hub.domain.health import Health
from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.kernels import Session
from hub.domain.users import User
from hub.domain.workspace import Workspace, WorkspaceState
from hub.errors import HubError
from hub.http.services import Services
from hub.web.ends import ends_of
from hub.web.page import lab_path
from hub.workspaces.health import of_row
from hub.workspaces.image_kernelspecs import KernelspecList
from hub.workspaces.kernels import KernelModel
from hub.workspaces.profiles import labels_of, profiles_of
from hub.workspaces.progress import Step

MAX_NAME_CHARS = 100


@dataclass(frozen=True, slots=True)
class Use:
    """A notebook, console or script that a kernel serves; `url` is empty where there is nothing to open.

    `state_url` leads to what a notebook's kernel hides.
    """

    name: str
    url: str
    state_url: str = ""


@dataclass(frozen=True, slots=True)
class ShownKernel:
    """A kernel, the name of its kernelspec as the launcher shows it, what it is used for, and how it is."""

    model: KernelModel
    spec: str
    uses: list[Use]
    health: Health


@dataclass(frozen=True, slots=True)
class ShownContainer:
    """A container with its kernels; `workspace` None: the user never had one. `label` names its profile.

    `progress`: how far its start is, None where none is under way.
    """

    workspace: Workspace | None
    label: str
    kernels: list[ShownKernel]
    progress: Step | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether there is nothing to stop."""
        return self.workspace is None or self.workspace.state is WorkspaceState.STOPPED


async def my_containers(services: Services, user: User) -> dict[str, Any]:
    """The values of the template: containers that are not stopped, and the default one if all are.

    Where kernels cannot be known, `problem` is a sentence that says so.
    """
    profiles = profiles_of(services.running, user)
    labels = labels_of(profiles)
    workspaces = await services.workspaces.list_for(user)
    problem = ""
    kernels: list[ShownKernel] = []
    try:
        kernels = await _kernels(services, user, {workspace.id: workspace for workspace in workspaces})
    except HubError as error:
        problem = error.message
    shown = [workspace for workspace in workspaces if workspace.state is not WorkspaceState.STOPPED]
    containers = [
        ShownContainer(
            workspace,
            labels.get(workspace.profile, workspace.profile),
            [kernel for kernel in kernels if kernel.model.kernel.workspace_id == workspace.id],
            _progress(services, user, workspace.profile),
        )
        for workspace in shown
    ]
    if not containers:
        default = next(iter(profiles))
        of_default = [workspace for workspace in workspaces if workspace.profile == default]
        containers = [
            ShownContainer(next(iter(of_default), None), labels[default], [], _progress(services, user, default))
        ]
    going = {workspace.profile for workspace in shown}
    return {
        "containers": containers,
        "several": len(profiles) > 1 or len(containers) > 1,
        "startable": [
            (name, labels[name]) for name in profiles if name not in going and not _progress(services, user, name)
        ],
        "problem": problem,
        "ends": ends_of(
            services,
            [workspace.id for workspace in shown],
            {kernel.model.kernel.id: kernel.uses[0].name for kernel in kernels if kernel.uses},
            [each.model.kernel for each in kernels],
        ),
        "missing": await services.kernelspecs.problems(user),
    }


def _progress(services: Services, user: User, profile: str) -> Step | None:
    step = services.live.start_of(user.id, profile)
    return step if step is not None and not step.has_ended else None


async def _kernels(services: Services, user: User, workspaces: Mapping[WorkspaceId, Workspace]) -> list[ShownKernel]:
    models = await services.kernels.list(user)
    names = spec_names(await services.kernelspecs.known(user))
    async with services.store.reading() as unit:
        sessions = await unit.sessions.list_for(user.id)
    uses: dict[KernelId, list[Use]] = defaultdict(list)
    for session in sessions:
        uses[session.kernel_id].append(use_of(session, user))
    return [
        ShownKernel(
            model,
            names.get(model.kernel.spec_name, model.kernel.spec_name),
            uses[model.kernel.id],
            model.health or of_row(model.kernel, workspaces[model.kernel.workspace_id]),
        )
        for model in models
        if model.kernel.workspace_id in workspaces
    ]


def spec_names(listed: KernelspecList) -> dict[str, str]:
    """The display name of each kernelspec, cut short: images and users choose it freely."""
    return {spec.name: str(spec.spec.get("display_name") or spec.name)[:MAX_NAME_CHARS] for spec in listed.specs}


def use_of(session: Session, user: User) -> Use:
    """What a session is, in words, and where to open it."""
    if session.type != "notebook":
        return Use((session.name or session.path)[:MAX_NAME_CHARS], "")
    parts = session.path.split("/")
    url = "" if {"", ".", ".."} & set(parts) else f"{lab_path(user)}/tree/{quote(session.path)}"
    state_url = f"{lab_path(user).removesuffix('lab')}state?path={quote(session.path, safe='')}" if url else ""
    return Use(session.path[-MAX_NAME_CHARS:] or session.name, url, state_url)
