"""A unit of work: all repositories over one transaction."""

from __future__ import annotations

from hub.store.audit import AuditEvents
from hub.store.groups import Groups
from hub.store.invitations import Invitations
from hub.store.kernels import Kernels
from hub.store.passwords import Passwords
from hub.store.runs import Runs
from hub.store.sessions import Sessions
from hub.store.sign_ins import SignIns
from hub.store.tokens import Tokens
from hub.store.transaction import Transaction
from hub.store.users import Users
from hub.store.workspaces import Workspaces


class Unit:
    """What can be found and changed within one transaction, noun by noun."""

    __slots__ = (
        "audit",
        "groups",
        "invitations",
        "kernels",
        "passwords",
        "runs",
        "sessions",
        "sign_ins",
        "tokens",
        "users",
        "workspaces",
    )

    def __init__(self, transaction: Transaction) -> None:
        self.users = Users(transaction)
        self.passwords = Passwords(transaction)
        self.sign_ins = SignIns(transaction)
        self.tokens = Tokens(transaction)
        self.invitations = Invitations(transaction)
        self.groups = Groups(transaction)
        self.workspaces = Workspaces(transaction)
        self.kernels = Kernels(transaction)
        self.sessions = Sessions(transaction)
        self.runs = Runs(transaction)
        self.audit = AuditEvents(transaction)
