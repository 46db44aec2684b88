"""From a provider's claims to the hub's `Assertion`: who may enter, under what name, in which groups, in what role.

Pure. Nothing here finds an account: that is issuer and subject alone (hub.auth.arrivals).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hub.auth.arrivals import Assertion
from hub.auth.oidc.errors import NotAllowed
from hub.auth.oidc.kinds import Kind
from hub.config.providers import Provider

MAX_VALUES = 2000
MAX_TEXT_CHARS = 200


def assertion_of(
    name: str, provider: Provider, kind: Kind, issuer: str, claims: Mapping[str, Any], data: Mapping[str, Any]
) -> Assertion:
    """What the provider `name` says about the person whom `claims` describe. Raises NotAllowed.

    `claims` were checked before; `issuer` is the one that signed them.
    """
    groups = values_at(claims, provider.groups_claim or kind.groups_claim)
    _check_tenant(provider, claims)
    _check_domain(provider, claims)
    _check_groups(provider, claims, groups)
    return Assertion(
        provider=name,
        issuer=issuer,
        subject=str(claims["sub"]),
        suggested_name=_suggested_name(claims, provider.name_claim or kind.name_claim),
        display_name=_text(claims.get("name")),
        email=_text(claims.get("email")) if claims.get("email_verified") is True else "",
        groups=_hub_groups(provider, groups),
        hub_groups=True,
        role=_role(provider, kind, claims, groups),
        sid=_text(claims.get("sid")),
        data=data,
    )


def values_at(claims: Mapping[str, Any], path: str) -> frozenset[str]:
    """The texts at a claim: its own, or those of its list. A path ``a.b`` looks inside of the object ``a``.

    A claim whose very name holds dots, such as ``https://example.edu/groups``, comes first.
    """
    found: Any = claims.get(path)
    if found is None and path:
        found = claims
        for step in path.split("."):
            found = found.get(step) if isinstance(found, dict) else None
    listed = found if isinstance(found, list) else [found]
    return frozenset(value for value in listed[:MAX_VALUES] if isinstance(value, str) and value)


def _check_tenant(provider: Provider, claims: Mapping[str, Any]) -> None:
    if provider.allowed_tenants and claims.get("tid") not in provider.allowed_tenants:
        raise NotAllowed("Your organisation is not among those that may enter here.")


def _check_domain(provider: Provider, claims: Mapping[str, Any]) -> None:
    if not provider.allowed_domains:
        return
    shown = " or ".join(f"@{domain}" for domain in provider.allowed_domains)
    if claims.get("email_verified") is not True:
        raise NotAllowed(f"Only people with a verified e-mail address {shown} may enter; yours is not verified there.")
    if provider.kind == "google":  # the domain that runs the account, not what its address looks like
        domain = claims.get("hd")
    else:
        address = claims.get("email")
        local, at, domain = address.rpartition("@") if isinstance(address, str) else ("", "", "")
        domain = domain.lower() if local and at and domain.isascii() else None
    if domain not in provider.allowed_domains:
        raise NotAllowed(f"Only people with an account {shown} may enter. Sign in there with another account.")


def _check_groups(provider: Provider, claims: Mapping[str, Any], groups: frozenset[str]) -> None:
    if not provider.allowed_groups or groups.intersection(provider.allowed_groups):
        return
    names = claims.get("_claim_names")
    if isinstance(names, dict) and "groups" in names:
        raise NotAllowed("You are in too many groups for Microsoft to name them; ask your administrator.")
    raise NotAllowed("You are in none of the groups that may enter here; ask your administrator.")


def _suggested_name(claims: Mapping[str, Any], claim: str) -> str:
    """The claim's text, or what comes close to it; of an address the part before the @."""
    for name in (claim, "preferred_username", "email", "name"):
        texts = sorted(values_at(claims, name))
        if texts:
            return texts[0][:MAX_TEXT_CHARS].partition("@")[0] or "user"
    return "user"


def _hub_groups(provider: Provider, groups: frozenset[str]) -> dict[str, str] | None:
    if not provider.groups and not provider.owner_groups:
        return None
    found = {ours: "member" for theirs, ours in provider.groups.items() if theirs in groups}
    found |= {ours: "owner" for theirs, ours in provider.owner_groups.items() if theirs in groups}
    return found


def _role(provider: Provider, kind: Kind, claims: Mapping[str, Any], groups: frozenset[str]) -> str | None:
    """The role, the first that the settings list; ``user`` for people to whom none applies; None: not for us to say."""
    if not provider.admin_groups and not provider.roles:
        return None
    if groups.intersection(provider.admin_groups):
        return "admin"
    claim = provider.role_claim or kind.role_claim
    told = values_at(claims, claim) if claim else groups
    return next((ours for theirs, ours in provider.roles.items() if theirs in told), "user")


def _text(value: object) -> str:
    return "".join(char for char in value if char.isprintable())[:MAX_TEXT_CHARS] if isinstance(value, str) else ""
