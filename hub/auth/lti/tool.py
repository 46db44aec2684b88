"""What this hub is to platforms: its addresses and what it can do, in the documents that they read; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from hub.auth.lti.rosters import SCOPE as ROSTER_SCOPE
from hub.auth.lti.scores import SCOPES as SCORE_SCOPES

CLAIMS = ("iss", "sub", "name", "given_name", "family_name", "email")
_TOOL = "https://purl.imsglobal.org/spec/lti-tool-configuration"


@dataclass(frozen=True, slots=True)
class Tool:
    """The hub at `origin`, as browsers reach it."""

    origin: str
    name: str

    @property
    def login_url(self) -> str:
        """Where platforms announce somebody."""
        return f"{self.origin}/hub/lti/login"

    @property
    def launch_url(self) -> str:
        """Where platforms send their answer, and what links lead to."""
        return f"{self.origin}/hub/lti/launch"

    @property
    def keys_url(self) -> str:
        """The hub's public keys."""
        return f"{self.origin}/hub/lti/keys"

    @property
    def icon_url(self) -> str:
        """A picture."""
        return f"{self.origin}/hub/static/icon.svg"

    @property
    def scopes(self) -> list[str]:
        """The services that the hub uses."""
        return [ROSTER_SCOPE, *SCORE_SCOPES]

    def registration(self) -> dict[str, Any]:
        """For dynamic registration (OpenID Connect Dynamic Client Registration 1.0, with LTI's part)."""
        deep_link = {"type": "LtiDeepLinkingRequest", "target_link_uri": self.launch_url, "label": self.name}
        return {
            "application_type": "web",
            "response_types": ["id_token"],
            "grant_types": ["implicit", "client_credentials"],
            "initiate_login_uri": self.login_url,
            "redirect_uris": [self.launch_url],
            "client_name": self.name,
            "jwks_uri": self.keys_url,
            "logo_uri": self.icon_url,
            "token_endpoint_auth_method": "private_key_jwt",
            "id_token_signed_response_alg": "RS256",
            "scope": " ".join(self.scopes),
            _TOOL: {
                "domain": urlsplit(self.origin).netloc,
                "description": "Notebooks with kernels, for courses.",
                "target_link_uri": self.launch_url,
                "claims": list(CLAIMS),
                "messages": [{"type": "LtiResourceLinkRequest"}, deep_link],
            },
        }

    def canvas(self) -> dict[str, Any]:
        """For Canvas ("Enter URL" or "Paste JSON" of a developer key)."""
        placements = [
            {
                "placement": placement,
                "message_type": "LtiDeepLinkingRequest",
                "target_link_uri": self.launch_url,
                "text": self.name,
                "selection_width": 900,
                "selection_height": 700,
            }
            for placement in ("assignment_selection", "link_selection")
        ]
        return {
            "title": self.name,
            "description": "Notebooks with kernels, for courses.",
            "oidc_initiation_url": self.login_url,
            "target_link_uri": self.launch_url,
            "public_jwk_url": self.keys_url,
            "scopes": self.scopes,
            "extensions": [
                {
                    "domain": urlsplit(self.origin).netloc,
                    "platform": "canvas.instructure.com",
                    "privacy_level": "public",
                    "settings": {"text": self.name, "icon_url": self.icon_url, "placements": placements},
                }
            ],
        }

    def configuration(self) -> dict[str, Any]:
        """For people and for platforms that ask for a tool's addresses."""
        return {
            "title": self.name,
            "oidc_initiation_url": self.login_url,
            "target_link_uri": self.launch_url,
            "redirect_uris": [self.launch_url],
            "public_jwk_url": self.keys_url,
            "scopes": self.scopes,
        }
