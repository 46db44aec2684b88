"""What the audit log's actions are in plain words."""

from __future__ import annotations

from collections.abc import Mapping

from hub.domain.audit import AuditEvent, Detail

_WORDS = {
    "access.refused": "was refused something",
    "culling.decided": "decided to end something idle",
    "culling.postponed": "put an end off",
    "culling.rules_changed": "changed when idle things end",
    "culling.warned": "warned of an end",
    "culling.withdrawn": "took a warning back",
    "group.added": "made a group",
    "group.changed": "changed a group",
    "group.deleted": "deleted a group",
    "group.member_added": "put somebody into a group",
    "group.member_removed": "took somebody out of a group",
    "group.owner_added": "made somebody an owner of a group",
    "group.owner_removed": "ended somebody's ownership of a group",
    "group.properties_changed": "changed what a group's members get",
    "group.roster_fetched": "fetched the members of a course",
    "hub.shut_down": "shut the hub down",
    "identity.linked": "linked an account with a sign-in elsewhere",
    "identity.unlinked": "unlinked an account from a sign-in elsewhere",
    "invitation.accepted": "accepted an invitation",
    "invitation.created": "made an invitation",
    "kernel.adopted": "adopted a kernel without a record",
    "kernel.culled": "ended an idle kernel",
    "kernel.died": "saw a kernel die",
    "kernel.ended": "ended a kernel",
    "kernel.interrupted": "interrupted a kernel",
    "kernel.restarted": "restarted a kernel",
    "message.sent": "sent a message",
    "password.set": "set a password",
    "presence.proven": "confirmed to be there",
    "profile.added": "added a profile",
    "profile.changed": "changed a profile",
    "profile.deleted": "deleted a profile",
    "profile.tried": "tried a profile out",
    "quota.refused": "was held back by a quota",
    "quota.warned": "warned somebody of a quota",
    "registration.approved": "let somebody in who had asked",
    "registration.asked": "asked for an account",
    "registration.refused": "refused an account",
    "score.queued": "sent a score",
    "second_factor.added": "added a second step",
    "second_factor.recovery_code_used": "used a recovery code",
    "second_factor.recovery_codes_made": "made recovery codes",
    "second_factor.removed": "removed a second step",
    "second_factor.reset": "reset somebody's second step",
    "settings.changed": "changed a setting",
    "sign_in.all_ended": "signed somebody out everywhere",
    "sign_in.created": "signed in",
    "sign_in.ended": "signed out",
    "sign_in.refused": "was not let in",
    "sign_in.throttled": "was made to wait after wrong passwords",
    "token.created": "made a token",
    "token.revoked": "revoked a token",
    "user.added": "added a user",
    "user.deleted": "deleted a user for good",
    "user.described": "changed what is said of a user",
    "user.disabled": "suspended a user",
    "user.enabled": "let a suspended user in again",
    "user.exported": "fetched what the hub knows about somebody",
    "user.first_administrator": "became the first administrator",
    "user.groups_changed": "was put into groups by a provider",
    "user.registered": "made an account of their own",
    "user.removed": "deleted a user, who can be restored",
    "user.renamed": "renamed a user",
    "user.restored": "restored a deleted user",
    "user.role_changed": "changed a user's role",
    "view.closed": "ended looking into somebody's files",
    "view.file_opened": "looked at somebody's file",
    "view.folder_listed": "looked into somebody's folder",
    "view.opened": "began to look into somebody's files",
    "workspace.paused": "paused a container",
    "workspace.running": "saw a container run",
    "workspace.spawner_refused": "was refused a container",
    "workspace.starting": "began to start a container",
    "workspace.stopped": "saw a container stop",
    "workspace.stopping": "began to stop a container",
    "workspace.thawed": "let a paused container go on",
    "workspace.unowned_ended": "ended a container of no workspace",
    "workspace.unknown": "lost sight of a container",
}
_NOUNS = {
    "access": "Refusals",
    "group": "Groups",
    "hub": "The hub",
    "identity": "Sign-ins elsewhere",
    "invitation": "Invitations",
    "kernel": "Kernels",
    "lti": "Learning platforms",
    "message": "Messages",
    "password": "Passwords",
    "presence": "Confirmations",
    "profile": "Profiles",
    "quota": "Quotas",
    "registration": "Registrations",
    "score": "Scores",
    "second_factor": "Second steps",
    "settings": "Settings",
    "sign_in": "Sign-ins",
    "token": "Tokens",
    "user": "Users",
    "view": "Looks into files",
    "workspace": "Containers",
}
_REFUSALS = ("refused", "throttled", "died")


def action_words(action: str) -> str:
    """What somebody did: ``signed in``. An action without words of its own is told by its name."""
    if action in _WORDS:
        return _WORDS[action]
    noun, _, verb = action.partition(".")
    return f"{noun.replace('_', ' ')}: {verb.replace('_', ' ')}" if verb else action


def noun_words(prefix: str) -> str:
    """What a family of actions is about: ``Sign-ins`` for ``sign_in.``."""
    noun = prefix.rstrip(".")
    return _NOUNS.get(noun, noun.replace("_", " ").capitalize())


def tone_of(action: str) -> str:
    """How a line is coloured: refusals and deaths stand out."""
    return "bad" if action.endswith(_REFUSALS) else ""


def details_of(event: AuditEvent, names: Mapping[str, str]) -> list[tuple[str, str]]:
    """The details as pairs of words; ids of people as their names. What changed comes as one pair: from and to."""
    shown: list[tuple[str, str]] = []
    for key, value in event.details.items():
        if key.endswith(" from") and f"{key.removesuffix(' from')} to" in event.details:
            continue
        if key.endswith(" to"):
            name = key.removesuffix(" to")
            before = event.details.get(f"{name} from")
            shown.append((_key(name), f"{_value(before, names)} → {_value(value, names)}"))
        elif value not in (None, ""):
            shown.append((_key(key), _value(value, names)))
    return shown


def _key(key: str) -> str:
    return key.replace("_", " ")


def _value(value: Detail, names: Mapping[str, str]) -> str:
    if value is None or value == "":
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return names.get(value, value) if isinstance(value, str) else str(value)
