"""What handlers work with: everything that `hub.app` has wired, in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hub.auth.guard import Guard
    from hub.auth.invitations import Invitations
    from hub.auth.passwords import Passwords
    from hub.auth.sign_ins import SignIns
    from hub.auth.tokens import Tokens
    from hub.auth.users import Users
    from hub.config import Settings
    from hub.contents.service import ContentsOfUsers
    from hub.cull.loop import Culler
    from hub.jupyter.frontends import FrontEnds
    from hub.runs.hidden_state import HiddenStates
    from hub.runs.service import Runs
    from hub.runs.verifications import Verifications
    from hub.store.engine import Store
    from hub.workspaces.connections import Connections
    from hub.workspaces.jobs import Jobs
    from hub.workspaces.kernels import Kernels
    from hub.workspaces.kernelspecs import Kernelspecs
    from hub.workspaces.service import Workspaces
    from hub.workspaces.sessions import Sessions
    from hub.workspaces.terminals import Terminals
    from proxy.kit.clock import Clock


@dataclass(frozen=True, slots=True)
class Services:
    """The hub's services. `warning` is a sentence shown on every page, None in normal operation."""

    settings: Settings
    clock: Clock
    store: Store
    guard: Guard
    users: Users
    passwords: Passwords
    sign_ins: SignIns
    tokens: Tokens
    invitations: Invitations
    workspaces: Workspaces
    kernels: Kernels
    kernelspecs: Kernelspecs
    sessions: Sessions
    terminals: Terminals
    jobs: Jobs
    runs: Runs
    verifications: Verifications
    hidden_states: HiddenStates
    connections: Connections
    culler: Culler
    contents: ContentsOfUsers
    frontends: FrontEnds
    internal_token: str
    warning: str | None = None
