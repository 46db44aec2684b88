"""What platforms fetch from the hub: its keys and its settings; and the page on which one registers itself."""

from __future__ import annotations

from urllib.parse import urlsplit

from hub.auth.lti.registration import check_configuration_url
from hub.web.lti.page import LtiPage


class _Document(LtiPage):
    page = False
    csrf_exempt = False

    def check_meant(self) -> None:
        """Nothing is changed here."""


class LtiKeys(_Document):
    """``/hub/lti/keys``: the hub's public keys (RFC 7517)."""

    async def get(self) -> None:
        """Answer with the key set."""
        self.write_json(await self.lti.keys.key_set())


class LtiConfiguration(_Document):
    """``/hub/lti/config``: the addresses to enter in a platform."""

    def get(self) -> None:
        """Answer with them."""
        self.write_json(self.tool.configuration())


class LtiCanvasConfiguration(_Document):
    """``/hub/lti/canvas``: what Canvas reads for a developer key."""

    def get(self) -> None:
        """Answer with it."""
        self.write_json(self.tool.canvas())


class LtiRegister(LtiPage):
    """``/hub/lti/register/<secret>``: dynamic registration, opened by a platform in a frame or a window."""

    async def get(self, secret: str) -> None:
        """Ask: nothing is done by opening the address."""
        address, invited = self.sent("openid_configuration"), await self.lti.registrations.invited(secret)
        host = check_configuration_url(address, str(invited["host"]))
        self.allow_frames(None, address)
        parts = urlsplit(address)
        self.show(
            "lti_register.html",
            host=host,
            origin=f"{parts.scheme}://{parts.netloc}",
            name=invited["name"],
            configuration=address,
            token=self.sent("registration_token", 8192),
            platform=None,
        )

    async def post(self, secret: str) -> None:
        """Register the platform."""
        self.require_own_form()
        address = self.sent("openid_configuration")
        self.allow_frames(None, address)
        token = self.sent("registration_token", 8192)
        platform = await self.lti.registrations.register(secret, address, token, self.tool, self.address)
        host = urlsplit(address).hostname or ""
        self.show("lti_register.html", host=host, name=platform.name, platform=platform)
