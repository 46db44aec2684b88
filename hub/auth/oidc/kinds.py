"""Ready-made settings: what each kind of provider is called, is asked for, and says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from hub.config.providers import PUBLIC_TENANTS, Provider

GITHUB = "https://github.com"
TENANT = "{tenantid}"
"""What Microsoft announces in place of a tenant in the issuer of several."""
_PERSONAL_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"
_CHOOSE = "select_account"
_OPENID = ("openid", "profile", "email")


@dataclass(frozen=True, slots=True)
class Kind:
    """A provider's place and ways. `parameters` are added to the address that people are sent to."""

    issuer: str
    discovery: str
    scopes: tuple[str, ...] = _OPENID
    name_claim: str = "preferred_username"
    groups_claim: str = "groups"
    role_claim: str = ""
    choose_prompt: str = "login"
    """What makes it ask which account (``prompt``); ``select_account`` is not known everywhere."""
    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def kind_of(provider: Provider) -> Kind:
    """The ready-made settings for a provider."""
    match provider.kind:
        case "google":
            return _google(provider)
        case "microsoft":
            return _microsoft(provider)
        case "github":
            return _github(provider)
        case "gitlab":
            return _standard((provider.url or "https://gitlab.com").rstrip("/"))
        case "keycloak":
            return _standard(provider.issuer or "", role_claim="realm_access.roles")
        case "oidc":
            return _standard(provider.issuer or "", groups_claim="")


def _standard(issuer: str, *, groups_claim: str = "groups", role_claim: str = "") -> Kind:
    return Kind(issuer, _announcement(issuer), groups_claim=groups_claim, role_claim=role_claim)


def _google(provider: Provider) -> Kind:
    issuer = provider.issuer or "https://accounts.google.com"
    # Only a hint for Google's page that chooses accounts; the claim `hd` is checked (CVE-2024-29033).
    hint = {"hd": provider.allowed_domains[0]} if len(provider.allowed_domains) == 1 else {}
    return Kind(
        issuer, _announcement(issuer), name_claim="email", groups_claim="", choose_prompt=_CHOOSE, parameters=hint
    )


def _microsoft(provider: Provider) -> Kind:
    base = (provider.url or "https://login.microsoftonline.com").rstrip("/")
    tenant = provider.tenant or ""
    named = _PERSONAL_TENANT if tenant == "consumers" else TENANT if tenant in PUBLIC_TENANTS else tenant
    return Kind(f"{base}/{named}/v2.0", _announcement(f"{base}/{tenant}/v2.0"), choose_prompt=_CHOOSE)


def _github(provider: Provider) -> Kind:
    wants_groups = provider.groups or provider.owner_groups or provider.admin_groups or provider.allowed_groups
    scopes = ("read:user", "user:email", *(("read:org",) if wants_groups or provider.roles else ()))
    return Kind((provider.url or GITHUB).rstrip("/"), "", scopes, name_claim="login", choose_prompt=_CHOOSE)


def _announcement(issuer: str) -> str:
    return issuer.rstrip("/") + "/.well-known/openid-configuration"
