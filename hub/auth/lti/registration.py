"""Dynamic registration: a platform and the hub exchange their settings by themselves (LTI Dynamic Registration 1.0).

An administrator of the hub makes a link that works once and gives it to the platform's administrator, who pastes it
there. The platform opens it with the address of its own configuration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec

from hub.auth.digests import MAX_SECRET_CHARS, digest_of, new_secret
from hub.auth.lti.fetching import Fetcher
from hub.auth.lti.platforms import Platforms
from hub.auth.lti.tool import Tool
from hub.config.lti import LtiPlatform, is_platform_name
from hub.config.providers import is_safe_address
from hub.domain.audit import AuditEvent
from hub.domain.lti import Platform
from hub.errors import BadRequest, Conflict, LinkExpired, PlatformSilent
from hub.store.engine import Store
from hub.store.sign_in_attempts import SignInAttempt
from proxy.kit.clock import Clock

PURPOSE = "lti.registration"
LASTING = timedelta(days=2)
_HOSTED = ("instructure.com", "canvaslms.com", "blackboard.com", "brightspace.com", "desire2learn.com")
"""Services of which schools have a host each, with an issuer that is another host of the same domain."""
_PLATFORM = "https://purl.imsglobal.org/spec/lti-platform-configuration"
_TOOL = "https://purl.imsglobal.org/spec/lti-tool-configuration"


class Registrations:
    """Links for registration, and what comes by them."""

    def __init__(self, store: Store, clock: Clock, fetcher: Fetcher, platforms: Platforms) -> None:
        self._store = store
        self._clock = clock
        self._fetcher = fetcher
        self._platforms = platforms

    async def invite(self, name: str, host: str, actor: str, address: str = "") -> str:
        """The secret of a link with which one platform registers itself under `name`, from `host` if that is given.

        `host` may then be anywhere, also in the hub's own network. Raises BadRequest, Conflict.
        """
        if not is_platform_name(name):
            raise BadRequest("A platform's name is 1 to 32 small letters, digits and hyphens, such as moodle.")
        if host and not is_safe_address(f"https://{host}/"):
            raise BadRequest("The host is a name such as moodle.example.edu, without https:// and path.")
        if name in {platform.name for platform in await self._platforms.list()}:
            raise Conflict(f"There is a platform called {name} already.")
        secret, now = new_secret(), self._clock.now()
        data = {"name": name, "host": host.lower(), "actor": actor}
        async with self._store.unit() as unit:
            await unit.sign_in_attempts.put(digest_of(secret), SignInAttempt(PURPOSE, data, now, now + LASTING))
            event = AuditEvent(now, "platform.invited", actor, name, address, {"host": host})
            await unit.audit.add(event)
        return secret

    async def invited(self, secret: str) -> Mapping[str, Any]:
        """What the link is for: ``name``, ``host``, ``actor``. Raises LinkExpired."""
        if 0 < len(secret) <= MAX_SECRET_CHARS:
            async with self._store.reading() as unit:
                attempt = await unit.sign_in_attempts.find(digest_of(secret), PURPOSE, self._clock.now())
            if attempt is not None:
                return attempt.data
        raise LinkExpired(
            "This registration link was used already or has expired. Ask the hub's administrator for one."
        )

    async def register(self, secret: str, configuration_url: str, token: str, tool: Tool, address: str) -> Platform:
        """Register the platform whose configuration is at this address. Raises LinkExpired, BadRequest, Conflict.

        The link is used up first, so that two who have it cannot both register.
        """
        invited = await self.invited(secret)
        host = check_configuration_url(configuration_url, str(invited["host"]))
        known = frozenset({host}) if invited["host"] else frozenset()
        answer = await self._fetcher.get(configuration_url, known, {"Accept": "application/json"})
        if answer.status != 200:
            raise PlatformSilent(f"The platform answered {answer.status} when it was asked for its configuration.")
        found = read_configuration(answer.json_object(), host)
        async with self._store.unit() as unit:
            if await unit.sign_in_attempts.take(digest_of(secret), PURPOSE, self._clock.now()) is None:
                raise LinkExpired("This registration link was used already.")
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token and len(token) <= 8192 and token.isascii() and token.isprintable():
            headers["Authorization"] = f"Bearer {token}"
        body = msgspec.json.encode(tool.registration())
        registered = await self._fetcher.post(str(found["registration_endpoint"]), known, body, headers)
        if registered.status not in (200, 201):
            raise PlatformSilent(f"The platform answered {registered.status} to the registration.")
        given = read_registration(found, registered.json_object())
        actor = f"{invited['actor']}"
        return await self._platforms.add(str(invited["name"]), given, "registration", actor, address)


def check_configuration_url(address: str, host: str) -> str:
    """The host of a platform's configuration. Raises BadRequest if it is none, or another than `host` ("" for any)."""
    found = urlsplit(address).hostname if is_safe_address(address) and len(address) <= 2000 else None
    if not found or (host and found != host):
        raise BadRequest("This is not the address of the platform's configuration that this link was made for.")
    return found


def read_configuration(document: Mapping[str, Any], host: str) -> dict[str, str]:
    """A platform's addresses. Raises BadRequest unless its issuer is of the host that was asked; pure.

    A platform could otherwise call itself like another one, whose people it would then vouch for.
    """
    names = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "registration_endpoint")
    found = {name: document.get(name) for name in names}
    if not all(isinstance(value, str) and is_safe_address(value) for value in found.values()):
        raise BadRequest("The platform's configuration lacks an address, or has one that is not https.")
    addresses = {name: str(value) for name, value in found.items()}
    issuer = urlsplit(addresses["issuer"]).hostname or ""
    same_service = any(_is_of(host, domain) and _is_of(issuer, domain) for domain in _HOSTED)
    if issuer != host and not same_service:
        raise BadRequest(f"The platform at {host} calls itself {issuer}; register it by hand if that is right.")
    lti = document.get(_PLATFORM)
    messages = lti.get("messages_supported") if isinstance(lti, dict) else None
    if messages is not None and not isinstance(messages, list):
        raise BadRequest("The platform's configuration does not say which messages it sends.")
    audience = document.get("authorization_server")
    return {**addresses, "audience": audience[:500] if isinstance(audience, str) else ""}


def read_registration(configuration: Mapping[str, str], answer: Mapping[str, Any]) -> LtiPlatform:
    """What a platform made of the registration. Raises BadRequest; pure."""
    client_id, tool = answer.get("client_id"), answer.get(_TOOL)
    deployment = tool.get("deployment_id") if isinstance(tool, dict) else None
    if not isinstance(client_id, str) or not 0 < len(client_id) <= 500 or not client_id.isprintable():
        raise BadRequest("The platform gave no client id.")
    return LtiPlatform(
        issuer=configuration["issuer"],
        client_id=client_id,
        authorize_url=configuration["authorization_endpoint"],
        token_url=configuration["token_endpoint"],
        jwks_url=configuration["jwks_uri"],
        audience=configuration["audience"],
        deployments=[deployment] if isinstance(deployment, str) and 0 < len(deployment) <= 255 else [],
    )


def _is_of(host: str, domain: str) -> bool:
    return re.search(rf"(?:^|\.){re.escape(domain)}\Z", host) is not None
