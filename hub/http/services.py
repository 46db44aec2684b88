"""What handlers work with: everything that `hub.app` has wired, in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from hub.ending import Ending

if TYPE_CHECKING:
    from hub.auth.arrivals import Arrivals
    from hub.auth.authority import Authority
    from hub.auth.groups import Groups
    from hub.auth.guard import Guard
    from hub.auth.invitations import Invitations
    from hub.auth.lti.assemble import Lti
    from hub.auth.oidc.service import Providers
    from hub.auth.passwords import Passwords
    from hub.auth.presence import Presence
    from hub.auth.registrations import Registrations
    from hub.auth.second_factors import SecondFactors
    from hub.auth.secrets import Secrets
    from hub.auth.sign_ins import SignIns
    from hub.auth.tokens import Tokens
    from hub.auth.users import Users
    from hub.config import Settings
    from hub.contents.service import ContentsOfUsers
    from hub.cull.loop import Culler
    from hub.cull.postponing import Postponing
    from hub.cull.ruling import Ruling
    from hub.domain.users import User
    from hub.history_counts import HistoryCounts
    from hub.jupyter.frontends import FrontEnds
    from hub.live.service import Live
    from hub.people.departures import Departures
    from hub.people.rosters import Rosters
    from hub.results.service import Results
    from hub.running_settings import Running
    from hub.runs.hidden_state import HiddenStates
    from hub.runs.service import Runs
    from hub.runs.verifications import Verifications
    from hub.store.engine import Store
    from hub.workspaces.connections import Connections
    from hub.workspaces.ends import Ends
    from hub.workspaces.freezer import Freezer
    from hub.workspaces.jobs import Jobs
    from hub.workspaces.kernels import Kernels
    from hub.workspaces.kernelspecs import Kernelspecs
    from hub.workspaces.quotas import Quotas
    from hub.workspaces.rounds import Rounds
    from hub.workspaces.service import Workspaces
    from hub.workspaces.sessions import Sessions
    from hub.workspaces.terminals import Terminals
    from proxy.kit.clock import Clock


class NotebookHtml(Protocol):
    """Turns a notebook into HTML without scripts."""

    async def __call__(self, reader: User, owner: User, title: str, notebook: bytes) -> str:
        """The notebook of `owner` for `reader`. Raises ExportFailed, TooManyRequests."""


@dataclass(frozen=True, slots=True)
class Services:
    """The hub's services. `warning` is a sentence shown on every page, None in normal operation."""

    settings: Settings
    running: Running
    history: HistoryCounts
    clock: Clock
    store: Store
    guard: Guard
    authority: Authority
    users: Users
    passwords: Passwords
    sign_ins: SignIns
    tokens: Tokens
    invitations: Invitations
    arrivals: Arrivals
    presence: Presence
    rosters: Rosters
    departures: Departures
    quotas: Quotas
    secrets: Secrets
    second_factors: SecondFactors
    registrations: Registrations
    groups: Groups
    providers: Providers
    lti: Lti
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
    freezer: Freezer
    ends: Ends
    culler: Culler
    postponing: Postponing
    ruling: Ruling
    contents: ContentsOfUsers
    results: Results
    frontends: FrontEnds
    live: Live
    notebook_html: NotebookHtml
    internal_token: str
    warning: str | None = None
    rounds: Rounds | None = None
    ending: Ending = field(default_factory=Ending)
