"""Platforms: registered, changed, tried, deleted by administrators; each change with its line in the audit log."""

from __future__ import annotations

import builtins
from dataclasses import dataclass, replace

from hub.auth.lti.access_tokens import AccessTokens
from hub.auth.lti.key_sets import KeySets
from hub.auth.lti.launches import found_platform
from hub.auth.lti.rosters import SCOPE as ROSTER_SCOPE
from hub.auth.lti.scores import SCORE_SCOPE
from hub.auth.oidc.errors import ProviderSilent
from hub.config.lti import LtiPlatform, is_origin, is_platform_name
from hub.config.providers import is_safe_address
from hub.domain.audit import AuditEvent
from hub.domain.ids import new_id
from hub.domain.lti import Platform, PlatformId
from hub.errors import BadRequest, Conflict, Forbidden, HubError, PlatformSilent
from hub.store.engine import Store
from hub.store.unit import Unit
from proxy.kit.clock import Clock

CONFIGURATION = "configuration"
MAX_DEPLOYMENTS = 100
_FIXED = "This platform is set in the configuration file; change it there."


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing that was tried with a platform. `problem` is "" when it worked."""

    what: str
    problem: str


class Platforms:
    """The platforms that may send people."""

    def __init__(self, store: Store, clock: Clock, key_sets: KeySets, tokens: AccessTokens) -> None:
        self._store = store
        self._clock = clock
        self._key_sets = key_sets
        self._tokens = tokens

    async def list(self) -> list[Platform]:
        """All platforms."""
        async with self._store.reading() as unit:
            return await unit.lti_platforms.list()

    async def get(self, platform_id: str) -> Platform:
        """The platform. Raises NotFound."""
        return await found_platform(self._store, platform_id)

    async def add(self, name: str, given: LtiPlatform, source: str, actor: str, address: str = "") -> Platform:
        """Register a platform. Raises BadRequest and Conflict.

        An issuer's people are the same whichever client id they come by, so all of its registrations have one key set:
        a second one with keys of its own could be anybody whom the first one knows.
        """
        platform = made_platform(name, given, source, self._clock)
        async with self._store.unit() as unit:
            await _require_same_keys(unit, platform)
            await unit.lti_platforms.add(platform)
            details = {"name": name, "issuer": platform.issuer, "by": source}
            await unit.audit.add(
                AuditEvent(self._clock.now(), "platform.added", actor, platform.id, address, {**details})
            )
        return platform

    async def set_deployments(
        self, platform_id: str, deployments: tuple[str, ...], actor: str, address: str = ""
    ) -> Platform:
        """Accept exactly these deployments; those that waited and are not among them wait no more."""
        checked = check_deployments(deployments)
        async with self._store.unit() as unit:
            platform = await unit.lti_platforms.find(platform_id)
            if platform is None:
                raise BadRequest("There is no such learning platform.")
            if platform.source == CONFIGURATION:
                raise Forbidden(_FIXED)
            changed = replace(platform, deployments=checked, waiting=())
            await unit.lti_platforms.save(changed)
            event = AuditEvent(self._clock.now(), "platform.changed", actor, platform.id, address)
            await unit.audit.add(replace(event, details={"deployments": ", ".join(checked)[:500]}))
        return changed

    async def delete(self, platform_id: str, actor: str, address: str = "") -> None:
        """Delete a platform: its people and groups stay, but come in by it no more. Raises NotFound, Forbidden."""
        platform = await self.get(platform_id)
        if platform.source == CONFIGURATION and platform.disabled_at is None:
            raise Forbidden(_FIXED)
        async with self._store.unit() as unit:
            await unit.lti_platforms.delete(PlatformId(platform_id))
            event = AuditEvent(self._clock.now(), "platform.deleted", actor, platform_id, address)
            await unit.audit.add(replace(event, details={"name": platform.name}))
        self._tokens.forget(platform)

    async def test(self, platform: Platform) -> builtins.list[Trial]:
        """Try what can be tried without a person: keys, and an access token for each service."""
        trials = [Trial("public keys", await self._keys_problem(platform))]
        for what, scope in (("token for rosters", ROSTER_SCOPE), ("token for scores", SCORE_SCOPE)):
            self._tokens.forget(platform)
            try:
                await self._tokens.get(platform, scope)
                trials.append(Trial(what, ""))
            except HubError as error:
                trials.append(Trial(what, error.message))
        return trials

    async def _keys_problem(self, platform: Platform) -> str:
        try:
            usable = await self._key_sets.test(platform)
        except PlatformSilent as error:
            return error.message
        except ProviderSilent as error:
            return f"The learning platform's key set cannot be used: {error}."
        return "" if usable else "The platform's key set holds no key that can be used."

    async def sync_configuration(self, configured: dict[str, LtiPlatform]) -> None:
        """Make the platforms of the configuration file known; those that it no longer names may send nobody."""
        now = self._clock.now()
        async with self._store.unit() as unit:
            known = {platform.name: platform for platform in await unit.lti_platforms.list()}
            for name, given in configured.items():
                platform, old = made_platform(name, given, CONFIGURATION, self._clock), known.get(name)
                if old is None:
                    await _require_same_keys(unit, platform)
                    await unit.lti_platforms.add(platform)
                elif old.source != CONFIGURATION:
                    raise Conflict(f"The configuration names a platform {name!r} that administrators have added, too.")
                else:
                    keys = (old.keys, old.keys_at) if old.jwks_url == platform.jwks_url else (None, None)
                    kept = replace(platform, id=old.id, created_at=old.created_at, keys=keys[0], keys_at=keys[1])
                    await unit.lti_platforms.save(kept)
            for name, old in known.items():
                if old.source == CONFIGURATION and name not in configured and old.disabled_at is None:
                    await unit.lti_platforms.save(replace(old, disabled_at=now))


def made_platform(name: str, given: LtiPlatform, source: str, clock: Clock) -> Platform:
    """A platform of what was given. Raises BadRequest, naming what is wrong."""
    if not is_platform_name(name):
        raise BadRequest("A platform's name is 1 to 32 small letters, digits and hyphens, such as moodle.")
    for what in ("issuer", "authorize_url", "token_url", "jwks_url"):
        if not is_safe_address(getattr(given, what)):
            raise BadRequest(f"The {what.replace('_', ' ')} is no https address.")
    if not 0 < len(given.client_id) <= 500 or not given.client_id.isprintable():
        raise BadRequest("The client id is missing.")
    if not all(is_origin(origin) for origin in given.frame_origins):
        raise BadRequest("Origins for frames are https://host, without a path.")
    return Platform(
        id=PlatformId(new_id()),
        name=name,
        issuer=given.issuer,
        client_id=given.client_id,
        authorize_url=given.authorize_url,
        token_url=given.token_url,
        jwks_url=given.jwks_url,
        created_at=clock.now(),
        audience=given.audience,
        deployments=check_deployments(tuple(given.deployments)),
        makes_groups=given.groups,
        frame_origins=tuple(given.frame_origins),
        source=source,
    )


def check_deployments(deployments: tuple[str, ...]) -> tuple[str, ...]:
    """The ids without blanks and doubles. Raises BadRequest."""
    found = tuple(dict.fromkeys(text for text in (each.strip() for each in deployments) if text))
    if len(found) > MAX_DEPLOYMENTS or any(len(each) > 255 or not each.isprintable() for each in found):
        raise BadRequest("A deployment's id is a text of at most 255 characters, and there are at most 100.")
    return found


async def _require_same_keys(unit: Unit, platform: Platform) -> None:
    others = await unit.lti_platforms.list(platform.issuer)
    if any(other.jwks_url != platform.jwks_url for other in others):
        raise Conflict(
            f"{platform.issuer} is registered here with another key set already. If the platform has moved, delete the "
            "old registration first."
        )
