"""Learning platforms (LTI 1.3): Canvas, Moodle, Brightspace, Blackboard and others."""

from __future__ import annotations

import re
from datetime import timedelta

from pydantic import Field, field_validator

from hub.config.providers import is_safe_address
from hub.config.values import Section, Span

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(?::[1-9][0-9]{0,4})?\Z", re.ASCII)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z")


def is_platform_name(name: str) -> bool:
    """Whether a platform may be called so: it begins the names of its courses' groups."""
    return _NAME.match(name) is not None


def is_origin(text: str) -> bool:
    """Whether a text is an origin that may stand in a content security policy: no path, no star."""
    return _ORIGIN.match(text) is not None and is_safe_address(text)


class LtiPlatform(Section):
    """A learning platform, as it says itself where the tool was registered; docs/how-to/lti.md says where."""

    issuer: str = Field(description="The platform's issuer (platform id), exactly as it writes it.")
    client_id: str = Field(min_length=1, max_length=500, description="The client id that it gave to this hub.")
    authorize_url: str = Field(description="Its authentication (login) address.")
    token_url: str = Field(description="Its address for access tokens.")
    jwks_url: str = Field(description="Its public key set.")
    audience: str = Field("", max_length=500, description="Audience of requests for tokens; empty: the token address.")
    deployments: list[str] = Field([], description="Ids of deployments that may send people.")
    groups: bool = Field(True, description="Whether its courses become groups.")
    frame_origins: list[str] = Field(
        [], description="Further origins whose pages may show the hub's launch page in a frame."
    )

    @field_validator("issuer", "authorize_url", "token_url", "jwks_url")
    @classmethod
    def _addresses(cls, address: str) -> str:
        if not is_safe_address(address):
            raise ValueError("an address is https://host/path (http only on this machine's loopback)")
        return address

    @field_validator("frame_origins")
    @classmethod
    def _origins(cls, origins: list[str]) -> list[str]:
        wrong = [origin for origin in origins if not is_origin(origin)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is not an origin: scheme://host[:port], without a path")
        return origins


class Lti(Section):
    """Learning platforms that may send people."""

    enabled: bool = Field(False, description="Whether people may come from learning platforms.")
    tool_name: str = Field("Notebooks", min_length=1, max_length=100, description="What platforms call this hub.")
    new_people: bool = Field(True, description="Whether people whom the hub does not know get an account.")
    roster_every: Span = Field(
        timedelta(days=1), description="How often the members of courses are fetched; 0: only when asked."
    )
    platforms: dict[str, LtiPlatform] = Field({}, description="Platforms; administrators may add more in the hub.")

    @field_validator("platforms")
    @classmethod
    def _names(cls, platforms: dict[str, LtiPlatform]) -> dict[str, LtiPlatform]:
        wrong = [name for name in platforms if not is_platform_name(name)]
        if wrong:
            raise ValueError(f"names of platforms are 1 to 32 small letters, digits and hyphens, not {wrong[0]!r}")
        return platforms
