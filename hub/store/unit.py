"""A unit of work: all repositories over one transaction."""

from __future__ import annotations

from hub.store.audit import AuditEvents
from hub.store.counts import Counts
from hub.store.culling import Culling
from hub.store.directory import Directory
from hub.store.groups import Groups
from hub.store.history import Lives
from hub.store.hub_settings import HubSettings
from hub.store.identities import Identities
from hub.store.invitations import Invitations
from hub.store.kernels import Kernels
from hub.store.lti import Courses, Platforms
from hub.store.lti_scores import LtiScores
from hub.store.messages import Messages
from hub.store.passwords import Passwords
from hub.store.permissions import Permissions
from hub.store.registrations import Registrations
from hub.store.results import KernelResults, MissedResults
from hub.store.running import Running
from hub.store.runs import Runs
from hub.store.sealed import Sealed
from hub.store.second_factors import SecondFactors
from hub.store.sessions import Sessions
from hub.store.sign_in_attempts import SignInAttempts
from hub.store.sign_in_failures import SignInFailures
from hub.store.sign_ins import SignIns
from hub.store.tokens import Tokens
from hub.store.transaction import Transaction
from hub.store.used_once import UsedOnce
from hub.store.users import Users
from hub.store.views import Views
from hub.store.workspaces import Workspaces


class Unit:
    """What can be found and changed within one transaction, noun by noun."""

    __slots__ = (
        "audit",
        "counts",
        "culling",
        "directory",
        "groups",
        "hub_settings",
        "identities",
        "invitations",
        "kernel_results",
        "kernels",
        "lives",
        "lti_courses",
        "lti_platforms",
        "lti_scores",
        "messages",
        "missed_results",
        "passwords",
        "permissions",
        "registrations",
        "running",
        "runs",
        "sealed",
        "second_factors",
        "sessions",
        "sign_in_attempts",
        "sign_in_failures",
        "sign_ins",
        "tokens",
        "used_once",
        "users",
        "views",
        "workspaces",
    )

    def __init__(self, transaction: Transaction) -> None:
        self.users = Users(transaction)
        self.passwords = Passwords(transaction)
        self.permissions = Permissions(transaction)
        self.sign_ins = SignIns(transaction)
        self.tokens = Tokens(transaction)
        self.invitations = Invitations(transaction)
        self.identities = Identities(transaction)
        self.registrations = Registrations(transaction)
        self.sealed = Sealed(transaction)
        self.second_factors = SecondFactors(transaction)
        self.sign_in_attempts = SignInAttempts(transaction)
        self.sign_in_failures = SignInFailures(transaction)
        self.used_once = UsedOnce(transaction)
        self.groups = Groups(transaction)
        self.directory = Directory(transaction)
        self.workspaces = Workspaces(transaction)
        self.kernels = Kernels(transaction)
        self.sessions = Sessions(transaction)
        self.runs = Runs(transaction)
        self.running = Running(transaction)
        self.messages = Messages(transaction)
        self.kernel_results = KernelResults(transaction)
        self.missed_results = MissedResults(transaction)
        self.views = Views(transaction)
        self.lti_platforms = Platforms(transaction)
        self.lti_courses = Courses(transaction)
        self.lti_scores = LtiScores(transaction)
        self.lives = Lives(transaction)
        self.hub_settings = HubSettings(transaction)
        self.audit = AuditEvents(transaction)
        self.counts = Counts(transaction)
        self.culling = Culling(transaction)
