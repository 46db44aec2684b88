"""The hub's navigation: which entries somebody sees."""

from __future__ import annotations

from dataclasses import dataclass

from hub.auth.identity import Identity
from hub.domain.scopes import Scope


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry; `key` is what a page names as `active`. `needs` None: for everybody who is signed in."""

    key: str
    label: str
    address: str
    needs: Scope | None = None


OWN = (
    Entry("home", "Home", "/hub/home"),
    Entry("tokens", "Tokens", "/hub/token"),
    Entry("security", "Signing in", "/hub/account/security"),
)
IN_CHARGE = (
    Entry("now", "Now", "/hub/admin", Scope.LIST_USERS),
    Entry("people", "People", "/hub/admin/people", Scope.LIST_USERS),
    Entry("groups", "Groups", "/hub/admin/groups", Scope.LIST_GROUPS),
    Entry("history", "History", "/hub/admin/history", Scope.LIST_USERS),
    Entry("audit", "Audit", "/hub/admin/audit", Scope.READ_AUDIT),
    Entry("profiles", "Profiles", "/hub/admin/profiles", Scope.ADMIN_PROFILES),
    Entry("settings", "Settings", "/hub/admin/settings", Scope.ADMIN_SETTINGS),
    Entry("platforms", "Learning platforms", "/hub/admin/platforms", Scope.ADMIN_SETTINGS),
)
"""For administrators, and for group owners as far as theirs go."""


def entries_for(identity: Identity | None, waiting: int | None = None) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """What somebody sees: their own pages, and those of people in charge.

    `waiting`: how many people have asked for an account; None where nobody does, and no entry is shown.
    """
    if identity is None:
        return (), ()
    entries = [entry for entry in IN_CHARGE if _sees(identity, entry)]
    if waiting is not None and identity.could(Scope.ADMIN_USERS):
        label = f"Requests ({waiting})" if waiting else "Requests"
        place = next((at for at, entry in enumerate(entries, 1) if entry.key == "people"), len(entries))
        entries.insert(place, Entry("registrations", label, "/hub/admin/registrations", Scope.ADMIN_USERS))
    return OWN, tuple(entries)


def _sees(identity: Identity, entry: Entry) -> bool:
    return entry.needs is None or identity.could(entry.needs)
