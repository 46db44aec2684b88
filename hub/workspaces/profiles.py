"""Which profiles a user may use: the one place that says so. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from hub.config import Profile, Settings
from hub.domain.users import User
from hub.errors import NotFound
from hub.workspaces.image_kernelspecs import KernelspecList


@runtime_checkable
class ProfileSource(Protocol):
    """What says which profiles there are now and who may use them (`hub.running_settings.Running`)."""

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """The profiles that can be started."""

    @property
    def default_profile(self) -> str:
        """The one of people who chose none; it is for everybody."""

    def allows(self, name: str, profile: Profile, user: User) -> bool:
        """Whether a user may use a profile."""


def profiles_of(source: Settings | ProfileSource, user: User) -> dict[str, Profile]:
    """The profiles that the user may use, by name: the default one first, then in the order of the source.

    Settings alone know no groups: there a profile that is not for everybody is for administrators only. Never empty.
    """
    default, profiles = source.default_profile, source.profiles
    allows = source.allows if isinstance(source, ProfileSource) else _allows_without_groups
    allowed = {name: profile for name, profile in profiles.items() if allows(name, profile, user)}
    return {default: profiles[default], **allowed}


def profile_for(source: Settings | ProfileSource, user: User, name: str) -> Profile:
    """The profile of that name. Raises NotFound if the user may not use it, or not any more."""
    allowed = profiles_of(source, user)
    if name not in allowed:
        raise NotFound(f"There is no profile {name[:64]!r} for you; there are {', '.join(allowed)}.")
    return allowed[name]


def _allows_without_groups(name: str, profile: Profile, user: User) -> bool:
    del name
    return profile.is_for_everybody or user.is_admin or str(user.role) in profile.roles


def labels_of(profiles: Mapping[str, Profile]) -> dict[str, str]:
    """What people see of each profile: its display name, or its own name where that is not set or not unique."""
    shown = {name: profile.display_name.strip() for name, profile in profiles.items()}
    often = Counter(shown.values())
    return {
        name: text if text and often[text] == 1 and "display_name" in profiles[name].model_fields_set else name
        for name, text in shown.items()
    }


def offered(profile: Profile, listed: KernelspecList) -> KernelspecList:
    """The kernelspecs of an image that the profile offers, in the profile's order if it says one."""
    if not profile.kernels:
        return listed
    found = {spec.name: spec for spec in listed.specs}
    specs = [found[name] for name in dict.fromkeys(profile.kernels) if name in found]
    return KernelspecList(specs[0].name if specs else "", specs)


def within_home(profiles: Mapping[str, Profile], path: str) -> str | None:
    """A path inside a container as a path relative to the home, None if it is not in any profile's home.

    All of a user's containers mount the same home, at the places that their profiles say; ``~`` is the home, too.
    """
    for home in ("~", *(profile.home.rstrip("/") for profile in profiles.values())):
        if path == home:
            return ""
        if path.startswith(home + "/"):
            return path.removeprefix(home + "/")
    return None
