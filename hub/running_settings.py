"""Settings that change while the hub runs: what administrators set on pages lies in the database, over the defaults.

What the configuration file, the environment or a flag says is fixed: it is shown as such and cannot be changed here
(Conflict). Every hub reads the database again every `REFRESH_SECONDS`, and at once after a change of its own.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from hub.config import Culling, Profile, Settings
from hub.config.announcement import Announcement
from hub.config.fixed import source_of
from hub.config.limits import DefaultLimits
from hub.config.sign_in import Registration
from hub.config.values import Section
from hub.domain.audit import AuditEvent, Detail
from hub.domain.ids import UserId
from hub.domain.users import User
from hub.errors import BadRequest, Conflict, HubError, NotFound
from hub.store.engine import Store
from hub.store.hub_settings import StoredSetting
from hub.store.unit import Unit
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

REFRESH_SECONDS = 5.0
PROFILE_PREFIX = "profile:"
MAX_PROFILES = 100
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}\Z", re.ASCII)
_SECRET = "(not shown)"  # noqa: S105 - stands in the place of one
S = TypeVar("S", bound=Section)


class RegistrationSetting(Section):
    """Who may make an account."""

    mode: Registration = "closed"


class DefaultProfile(Section):
    """The profile of people who chose none."""

    name: str = "datascience"


@dataclass(frozen=True, slots=True)
class RunningSettings:
    """What holds now. `profiles` are those that can be started; `disabled` those that administrators have closed.

    `fixed` says for names of settings (``culling.kernel_idle``, ``registration``, ``profile:NAME``) where they are
    fixed. `members` are the ids of the members of groups that a profile or the announcement names, `given` the
    profiles that a group's properties give to it.
    """

    profiles: Mapping[str, Profile]
    default_profile: str
    announcement: Announcement = field(default_factory=Announcement)
    registration: Registration = "closed"
    culling: Culling = field(default_factory=Culling)
    limits: DefaultLimits = field(default_factory=DefaultLimits)
    disabled: Mapping[str, Profile] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, frozenset[UserId]] = field(default_factory=dict)
    given: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def allows(self, name: str, profile: Profile, user: User) -> bool:
        """Whether a user may use a profile. Administrators may use all of them."""
        if profile.is_for_everybody or user.is_admin or str(user.role) in profile.roles:
            return True
        groups = {*profile.groups, *(group for group, names in self.given.items() if name in names)}
        return any(user.id in self.members.get(group, ()) for group in groups)

    def announcements_for(self, user: User | None, now: datetime) -> tuple[Announcement, ...]:
        """What somebody is to be told now; None: somebody who is not signed in."""
        told = self.announcement
        concerned = not told.group or (user is not None and user.id in self.members.get(told.group, ()))
        return (told,) if concerned and told.is_shown(now) else ()


class Running:
    """The settings that hold now (`current`), and how they are changed.

    `announced` is called after the announcement changed.
    """

    def __init__(self, settings: Settings, store: Store, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._fixed = _fixed_of(settings)
        self.announced: Callable[[], None] = lambda: None
        self.current = RunningSettings(
            profiles={settings.default_profile: settings.profiles[settings.default_profile], **settings.profiles},
            default_profile=settings.default_profile,
            registration=settings.registration,
            culling=settings.culling,
            limits=settings.limits,
            fixed=self._fixed,
        )

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """The profiles that can be started now."""
        return self.current.profiles

    @property
    def default_profile(self) -> str:
        """The profile of people who chose none."""
        return self.current.default_profile

    def allows(self, name: str, profile: Profile, user: User) -> bool:
        """Whether a user may use a profile."""
        return self.current.allows(name, profile, user)

    async def run(self) -> None:
        """Keep up with the database, until cancelled. A database that is away changes nothing."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self.refresh()
            except HubError as error:
                log.warning("settings were not read again: %s", error.message)

    async def refresh(self) -> None:
        """Read what the database says now."""
        async with self._store.reading() as unit:
            found = self._merged({setting.name: setting for setting in await unit.hub_settings.list()})
            wanted = {group for profile in found.profiles.values() for group in profile.groups}
            wanted |= {found.announcement.group} - {""}
            given = await _given(unit) if any(not p.is_for_everybody for p in found.profiles.values()) else {}
            members = await unit.hub_settings.members_of(wanted | given.keys())
        before, self.current = self.current, _with(found, members=members, given=given)
        if before.announcement != self.current.announcement:
            self.announced()

    async def set(self, name: str, value: Section, actor: str, address: str = "") -> None:
        """Set `announcement`, `registration`, `culling`, `limits` or `default_profile`.

        Raises Conflict for what is fixed, BadRequest for what cannot be, NotFound for another name.
        """
        before = self._present(name)
        if isinstance(value, DefaultProfile):
            self._require_default(value.name)
        changes = {key: new for key, new in value.model_dump(mode="json").items() if new != before.get(key)}
        for key in changes:
            self._require_free(f"{name}.{key}")
            self._require_free(name)
        if changes:
            await self._save(name, value.model_dump(mode="json"), before, "settings.changed", actor, address)

    async def save_profile(
        self, name: str, profile: Profile, actor: str, address: str = "", *, disabled: bool = False
    ) -> None:
        """Add a profile or change it. Raises Conflict for one that is fixed, BadRequest for what cannot be."""
        if not _NAME.match(name):
            raise BadRequest("A profile's name is 1 to 40 letters, digits, - and _, and begins with a letter or digit.")
        self._require_free(PROFILE_PREFIX + name)
        known = {**self.current.profiles, **self.current.disabled}
        if name not in known and len(known) >= MAX_PROFILES:
            raise Conflict(f"There are {MAX_PROFILES} profiles; delete one first.")
        if name == self.default_profile and (disabled or not profile.is_for_everybody):
            raise Conflict(
                f"{name} is the default profile: it stays on and for everybody. Choose another default first."
            )
        before = known.get(name)
        value = {"profile": profile.model_dump(mode="json"), "disabled": disabled}
        was = {"profile": before.model_dump(mode="json"), "disabled": name in self.current.disabled} if before else {}
        action = "profile.changed" if before else "profile.added"
        await self._save(PROFILE_PREFIX + name, value, was, action, actor, address)

    async def delete_profile(self, name: str, actor: str, address: str = "") -> None:
        """Delete a profile; containers of it that run go on until they are stopped. Raises NotFound, Conflict."""
        self._require_free(PROFILE_PREFIX + name)
        known = {**self.current.profiles, **self.current.disabled}
        if name not in known:
            raise NotFound(f"There is no profile {name[:64]!r}.")
        if name == self.default_profile:
            raise Conflict(f"{name} is the default profile. Choose another default first.")
        async with self._store.unit() as unit:
            await unit.hub_settings.delete(PROFILE_PREFIX + name)
            if name in self._settings.profiles:  # the one that is built in is only hidden
                value = {"deleted": True}
                await unit.hub_settings.save(StoredSetting(PROFILE_PREFIX + name, value, self._clock.now(), actor))
            await unit.audit.add(AuditEvent(self._clock.now(), "profile.deleted", actor, name, address))
        await self.refresh()

    def value_of(self, name: str) -> Section:
        """A setting as it holds now. Raises NotFound for another name than those of `set`."""
        current = self.current
        values: dict[str, Section] = {
            "announcement": current.announcement,
            "registration": RegistrationSetting(mode=current.registration),
            "culling": current.culling,
            "limits": current.limits,
            "default_profile": DefaultProfile(name=current.default_profile),
        }
        if name not in values:
            raise NotFound(f"There is no setting {name[:64]!r}; there are {', '.join(values)}.")
        return values[name]

    def _present(self, name: str) -> dict[str, Any]:
        return self.value_of(name).model_dump(mode="json")

    def _require_free(self, name: str) -> None:
        where = self._fixed.get(name)
        if where is not None:
            raise Conflict(f"{name.removeprefix(PROFILE_PREFIX)} is fixed by {where}; it is changed there.")

    def _require_default(self, name: str) -> None:
        profile = self.current.profiles.get(name)
        if profile is None:
            raise BadRequest(f"There is no profile {name[:64]!r} that can be started.")
        if not profile.is_for_everybody:
            raise BadRequest(f"{name} is not for everybody, so it cannot be the default.")

    async def _save(
        self, name: str, value: dict[str, Any], before: dict[str, Any], action: str, actor: str, address: str
    ) -> None:
        now = self._clock.now()
        async with self._store.unit() as unit:
            await unit.hub_settings.save(StoredSetting(name, value, now, actor))
            subject = name.removeprefix(PROFILE_PREFIX)
            await unit.audit.add(AuditEvent(now, action, actor, subject, address, changes_between(before, value)))
        await self.refresh()

    def _merged(self, stored: Mapping[str, StoredSetting]) -> RunningSettings:
        """The settings that follow from what is configured and what is stored. A stored value that is wrong is left."""
        settings = self._settings
        profiles = dict(settings.profiles)
        disabled: dict[str, Profile] = {}
        for name, setting in stored.items():
            if not name.startswith(PROFILE_PREFIX) or name in self._fixed:
                continue
            short = name.removeprefix(PROFILE_PREFIX)
            profiles.pop(short, None)
            profile = _read(Profile, setting.value.get("profile"), name) if not setting.value.get("deleted") else None
            if profile is not None:
                (disabled if setting.value.get("disabled") else profiles)[short] = profile
        chosen = self._stored(DefaultProfile, stored, "default_profile", DefaultProfile(name=settings.default_profile))
        default = chosen.name
        if default not in profiles or not profiles[default].is_for_everybody:
            default = settings.default_profile
        profiles.setdefault(default, settings.profiles[settings.default_profile])
        registration = RegistrationSetting(mode=settings.registration)
        return RunningSettings(
            profiles={default: profiles[default], **profiles},
            default_profile=default,
            announcement=self._stored(Announcement, stored, "announcement", Announcement()),
            registration=self._stored(RegistrationSetting, stored, "registration", registration).mode,
            culling=self._stored(Culling, stored, "culling", settings.culling),
            limits=self._stored(DefaultLimits, stored, "limits", settings.limits),
            disabled=disabled,
            fixed=self._fixed,
        )

    def _stored(self, shape: type[S], stored: Mapping[str, StoredSetting], name: str, configured: S) -> S:
        if name not in stored or name in self._fixed:
            return configured
        fixed = {key for key in shape.model_fields if f"{name}.{key}" in self._fixed}
        value = {key: stored[name].value[key] for key in shape.model_fields if key in stored[name].value}
        value |= {key: getattr(configured, key) for key in fixed}
        return _read(shape, value, name) or configured


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Detail]:
    """What changed, for the audit log: ``from`` and ``to`` of each value; those of environment variables are hidden."""
    old, new = _flat(before), _flat(after)
    changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    details: dict[str, Detail] = {}
    for key in changed:
        hidden = key.startswith("profile.environment.")
        for word, values in (("from", old), ("to", new)):
            value = values.get(key)
            shown = _SECRET if hidden and value is not None else value
            if shown is not None or word == "to":
                details[f"{key.removeprefix('profile.')} {word}"] = shown
    return details


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Detail]:
    flat: dict[str, Detail] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            flat |= _flat(inner, f"{prefix}{key}.")
        elif isinstance(inner, list):
            flat[prefix + key] = ", ".join(map(str, inner))
        else:
            flat[prefix + key] = inner
    return flat


def _read(shape: type[S], value: Any, name: str) -> S | None:
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        log.error("the stored setting %s is left out, because it is wrong: %s", name, error.errors()[0]["msg"])
        return None


def _with(found: RunningSettings, **changes: Any) -> RunningSettings:
    values = {name: getattr(found, name) for name in RunningSettings.__slots__}
    return RunningSettings(**{**values, **changes})


async def _given(unit: Unit) -> dict[str, frozenset[str]]:
    """The profiles that groups' properties give to their members."""
    given = {}
    for group in await unit.groups.list():
        names = group.properties.get("profiles")
        if isinstance(names, (list, tuple)) and names:
            given[group.name] = frozenset(map(str, names))
    return given


def _fixed_of(settings: Settings) -> dict[str, str]:
    """What the configuration sets, and where."""
    fixed: dict[str, str] = {}
    for name in ("registration", "default_profile"):
        if name in settings.model_fields_set:
            fixed[name] = source_of(settings, name)
    for name, section in (("culling", settings.culling), ("limits", settings.limits)):
        if name in settings.model_fields_set:
            fixed |= {f"{name}.{key}": source_of(settings, name, key) for key in section.model_fields_set}
    if "profiles" in settings.model_fields_set:
        fixed |= {PROFILE_PREFIX + key: source_of(settings, "profiles", key) for key in settings.profiles}
    return fixed
