"""Which profiles a user may use: the one place that says so. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from hub.config import Profile, Settings
from hub.domain.users import User
from hub.workspaces.image_kernelspecs import KernelspecList


def profiles_of(settings: Settings, user: User) -> dict[str, Profile]:
    """The profiles that the user may use, by name: the default one first, then in the configuration's order.

    At present everybody may use all of them; never empty.
    """
    del user
    default = settings.default_profile
    return {default: settings.profiles[default], **settings.profiles}


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
