"""Providers by which people sign in: OpenID Connect, and what speaks nearly that.

Each is a table ``[providers.NAME]``; the name stands in the addresses that the provider must know
(``/hub/oauth/NAME/callback``). docs/how-to/openid-connect.md says what to set for which provider.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from hub.config.values import Section
from hub.domain.groups import InvalidGroup, normalise_group_name

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Signatures that are believed; all by a key whose private half only the provider has."""
PUBLIC_TENANTS = frozenset({"common", "organizations", "consumers"})
"""Names in place of a tenant's by which Microsoft lets people of every tenant in."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z")
_RESERVED = frozenset({"hub", "unlink"})  # the source of memberships that people made, and an address
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]+\Z")
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


def is_loopback(host: str | None) -> bool:
    """Whether a host's name or address leads to this machine and cannot lead elsewhere."""
    if host == "localhost":
        return True
    try:
        return host is not None and ip_address(host).is_loopback
    except ValueError:
        return False


def is_safe_address(address: str) -> bool:
    """Whether it is an https address, or http on this machine, without anything that parsers read differently."""
    if not address.isascii() or not address.isprintable() or any(char in address for char in " \\#@"):
        return False
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
    )


def _provider_address(address: str) -> str:
    if not is_safe_address(address) or "?" in address:
        raise ValueError("an address is https://host/path without query (http only on this machine's loopback)")
    return address


def _domain(domain: str) -> str:
    if not _DOMAIN.match(domain):
        raise ValueError(f"{domain!r} is not a domain in lower case, such as example.edu; parts and stars do not count")
    return domain


def _tenant_id(tenant: str) -> str:
    if not _GUID.match(tenant):
        raise ValueError(f"{tenant!r} is not a tenant's id in lower case: 8-4-4-4-12 digits and letters a to f")
    return tenant


Address = Annotated[str, AfterValidator(_provider_address)]
Domain = Annotated[str, AfterValidator(_domain)]
TenantId = Annotated[str, AfterValidator(_tenant_id)]


class Provider(Section):
    """Somebody who says who people are."""

    kind: Literal["oidc", "google", "microsoft", "github", "gitlab", "keycloak"] = Field(
        description="`oidc` for every provider of OpenID Connect; the others have ready-made settings."
    )
    display_name: str | None = Field(None, max_length=60, description="What the button says: Sign in with …")
    client_id: str = Field(min_length=1, max_length=300, description="What the provider calls this hub.")
    client_secret: SecretStr | None = Field(None, description="The secret that the provider gave for it.")
    client_secret_file: Path | None = Field(None, description="A file that holds the secret; others must not read it.")
    private_key_file: Path | None = Field(
        None, description="A PEM file with the private key by which the hub proves itself, in place of a secret."
    )
    client_auth: Literal["basic", "post"] | None = Field(
        None, description="How the secret is sent; without it as the provider announces."
    )
    issuer: Address | None = Field(
        None, description="`oidc`, `keycloak`: the provider's issuer, such as `https://idp.example.edu/realms/main`."
    )
    url: Address | None = Field(
        None, description="`github`, `gitlab`, `microsoft`: where it is, if not at its makers' own address."
    )
    tenant: str | None = Field(
        None, description="`microsoft`: the tenant's id; `organizations` for all, with `allowed_tenants`."
    )
    scopes: list[str] | None = Field(None, description="What is asked for; without it what the kind needs.")
    allowed_domains: list[Domain] = Field(
        [], description="Only people with a verified e-mail address in exactly these domains; empty: all."
    )
    allowed_tenants: list[TenantId] = Field([], description="`microsoft`: only people of these tenants; empty: all.")
    allowed_groups: list[str] = Field(
        [], description="Only people for whom the provider names one of these groups; empty: all."
    )
    allow_anyone: bool = Field(
        False, description="Whether everybody with an account at a public provider may enter; must be said."
    )
    create_users: bool = Field(True, description="Whether people who are not users yet become users.")
    name_claim: str = Field("", max_length=200, description="The claim that user names are made from.")
    groups_claim: str = Field("", max_length=200, description="The claim that lists groups; `a.b` looks inside of a.")
    groups: dict[str, str] = Field({}, description="Which of the provider's groups puts people in which of the hub's.")
    owner_groups: dict[str, str] = Field(
        {}, description="Which of the provider's groups makes people owners of which of the hub's."
    )
    admin_groups: list[str] = Field([], description="The provider's groups whose members are administrators.")
    role_claim: str = Field("", max_length=200, description="The claim that lists roles; without it that of groups.")
    roles: dict[str, str] = Field({}, description="Which value of the role's claim gives which role of the hub.")
    algorithms: list[str] = Field([], description="Signatures that are believed; empty: those the provider announces.")
    logout: Literal["hub", "provider"] = Field(
        "hub", description="Whether signing out of the hub signs out of the provider, too."
    )
    keep_id_token: bool = Field(
        False, description="Whether the id token is kept, encrypted, so that the provider need not ask at sign-out."
    )

    @property
    def shown_name(self) -> str:
        """What people see on buttons."""
        own = {"google": "Google", "microsoft": "Microsoft", "github": "GitHub", "gitlab": "GitLab"}
        return self.display_name or own.get(self.kind, "your organisation")

    @property
    def is_restricted(self) -> bool:
        """Whether not everybody who has an account there may enter."""
        return bool(self.allowed_domains or self.allowed_groups or self.allowed_tenants)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Provider:
        mistakes = [*_about_place(self), *_about_credentials(self), *_about_people(self)]
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self

    def read_secret(self) -> str | None:
        """The client's secret, from the settings or its file; None without one.

        Raises ValueError when the file cannot be read, is empty, or may be read by everybody.
        """
        if self.client_secret is not None:
            return self.client_secret.get_secret_value()
        return None if self.client_secret_file is None else read_private_file(self.client_secret_file)


def read_private_file(file: Path) -> str:
    """The text of a file that holds a secret, stripped. Raises ValueError, also if others may read the file."""
    try:
        if file.stat().st_mode & 0o007:
            raise ValueError(f"{file} can be read by every account of this machine; `chmod 600` it")
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
    if not text:
        raise ValueError(f"{file} is empty")
    return text


def check_providers(providers: dict[str, Provider], roles: Collection[str], public_url: str | None, host: str) -> None:
    """What holds for all providers together: names, roles that exist, and an address to come back to.

    `roles` are those of the configuration, `host` is where the hub listens. Raises ValueError with all mistakes.
    """
    mistakes = [
        f"providers.{name[:40]}: a name is 1 to 32 small letters, digits and -, and neither hub nor unlink"
        for name in providers
        if not _NAME.match(name) or name in _RESERVED
    ]
    known = {"admin", "user", "guest", *roles}
    for name, provider in providers.items():
        mistakes += [
            f"providers.{name}.roles: there is no role {role!r}"
            for role in provider.roles.values()
            if role not in known
        ]
    if providers and public_url is None and not is_loopback(host):
        mistakes.append("public_url is missing: providers send people back to it, and no request may say where that is")
    if mistakes:
        raise ValueError("; ".join(mistakes))


def _about_place(provider: Provider) -> list[str]:
    mistakes = []
    kind = provider.kind
    if kind in {"oidc", "keycloak"} and provider.issuer is None:
        mistakes.append("issuer is missing: the address that the provider calls itself")
    if kind not in {"oidc", "keycloak", "google"} and provider.issuer is not None:
        mistakes.append(f"issuer is not for kind {kind!r}; url says where it is, if not at its makers' own address")
    if kind not in {"github", "gitlab", "microsoft"} and provider.url is not None:
        mistakes.append(f"url is not for kind {kind!r}; issuer says where it is")
    if kind == "microsoft" and provider.tenant not in PUBLIC_TENANTS and not _GUID.match(provider.tenant or ""):
        mistakes.append("tenant must be its id (8-4-4-4-12 digits and letters a to f), or `organizations` for several")
    if kind != "microsoft" and (provider.tenant is not None or provider.allowed_tenants):
        mistakes.append("tenant and allowed_tenants are for kind 'microsoft' only")
    unknown = [name for name in provider.algorithms if name not in ALGORITHMS]
    if unknown:
        mistakes.append(f"algorithms: {unknown[0]!r} is none of {', '.join(ALGORITHMS)}")
    return mistakes


def _about_credentials(provider: Provider) -> list[str]:
    given = [provider.client_secret, provider.client_secret_file, provider.private_key_file]
    mistakes = []
    if sum(each is not None for each in given) > 1:
        mistakes.append("only one of client_secret, client_secret_file and private_key_file can count")
    if provider.kind == "github" and (provider.private_key_file or not any(given)):
        mistakes.append("GitHub needs client_secret or client_secret_file")
    for file in (provider.client_secret_file, provider.private_key_file):
        if file is not None:
            try:
                read_private_file(file)
            except ValueError as error:
                mistakes.append(str(error))
    return mistakes


def _about_people(provider: Provider) -> list[str]:
    mistakes = []
    public = provider.kind in {"google", "github"} or (provider.kind == "gitlab" and provider.url is None)
    public = public or (provider.kind == "microsoft" and provider.tenant in PUBLIC_TENANTS)
    if public and provider.create_users and not provider.is_restricted and not provider.allow_anyone:
        mistakes.append(
            "everybody in the world can have an account there: set allowed_domains, allowed_groups or allowed_tenants, "
            "or create_users = false, or allow_anyone = true"
        )
    if provider.kind == "microsoft" and provider.allowed_domains:
        mistakes.append(
            "allowed_domains: Microsoft does not say whether an e-mail address was verified; name the tenant, or "
            "allowed_tenants"
        )
    mentioned = provider.groups or provider.owner_groups or provider.admin_groups or provider.allowed_groups
    if provider.kind == "google" and (provider.groups_claim or mentioned):
        mistakes.append("Google names no groups: groups_claim, groups and allowed_groups cannot count")
    if mentioned and provider.kind == "oidc" and not provider.groups_claim:
        mistakes.append("groups_claim is missing: without it groups, admin_groups and allowed_groups cannot count")
    for ours in {*provider.groups.values(), *provider.owner_groups.values()}:
        try:
            normalise_group_name(ours)
        except InvalidGroup as error:
            mistakes.append(f"{ours[:60]!r} cannot be a group of the hub: {error}")
    if provider.role_claim and not provider.roles:
        mistakes.append("roles is missing: which value of role_claim gives which role")
    return mistakes
