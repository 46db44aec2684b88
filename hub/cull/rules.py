"""From what is written in settings, profiles and the database to the policy that holds for one container. Pure."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from hub.config import Culling, Profile, Settings
from hub.config.culling import NEVER, CullingRules, GroupRules, OwnerRules
from hub.domain.culling_policy import SPANS, CullingPolicy, GroupLayers, Layer, read_quiet, resolve
from hub.domain.ids import GroupId
from hub.store.culling import StoredRules

log = logging.getLogger(__name__)
R = TypeVar("R", bound=OwnerRules)
CANNOT_PAUSE = "kernels that are processes of this machine cannot be paused"


def wants_pauses(settings: Settings) -> bool:
    """Whether the settings ask for idle containers to be paused, for everybody or in a profile."""
    of_profiles = [profile.culling.pause_after for profile in settings.profiles.values()]
    return settings.culling.pause_after is not None or any(span not in (None, NEVER) for span in of_profiles)


def policy_of(culling: Culling) -> CullingPolicy:
    """The policy that the settings describe."""
    return CullingPolicy(
        kernel_idle=culling.kernel_idle,
        workspace_empty=culling.workspace_empty,
        cull_connected=culling.cull_connected,
        max_age=culling.max_age,
        kernel_stuck=culling.kernel_stuck,
        pause_after=culling.pause_after,
        busy_cpu=culling.busy_cpu,
        quiet=culling.quiet,
        warning=culling.warning,
        postpone=culling.postpone,
        postpone_times=culling.postpone_times,
        postpone_total=culling.postpone_total,
    )


def layer_of(rules: OwnerRules, source: str) -> Layer:
    """What rules say; what they leave open is left out."""
    values: dict[str, Any] = {}
    for name in SPANS:
        said = getattr(rules, name, None)
        if said is not None:
            values[name] = None if said == NEVER else said
    if isinstance(rules, CullingRules):
        if rules.cull_connected is not None:
            values["cull_connected"] = rules.cull_connected
        if rules.busy_cpu is not None:
            values["busy_cpu"] = rules.busy_cpu or None
        if rules.quiet_hours is not None:
            values["quiet"] = tuple(read_quiet(text, rules.time_zone) for text in rules.quiet_hours)
    most = rules.owners_up_to if isinstance(rules, GroupRules) else None
    if most is None:
        return Layer(source, values)
    return Layer(source, values, allows_owners=True, owners_up_to=None if isinstance(most, str) else most)


def read_rules(shape: type[R], stored: StoredRules | None) -> R:
    """Rules as they are stored; none, where they cannot be read any more."""
    if stored is None:
        return shape()
    try:
        return shape.model_validate(stored.value)
    except ValidationError as error:
        log.error("rules of culling of %s are left out, since they are wrong: %s", stored.id, error.errors()[0]["msg"])
        return shape()


def policy_for(base: CullingPolicy, name: str, profile: Profile | None, stored: Iterable[StoredRules]) -> CullingPolicy:
    """What holds for one user's container of a profile; `stored` are the rules of the user and of their groups."""
    own: Layer | None = None
    administrators: dict[GroupId, Layer] = {}
    owners: dict[GroupId, Layer] = {}
    for one in stored:
        if one.group_id is None:
            own = layer_of(read_rules(CullingRules, one), "an administrator, for this user")
        elif one.by_owner:
            owners[one.group_id] = layer_of(read_rules(OwnerRules, one), f"an owner of the group {one.group_name}")
        else:
            administrators[one.group_id] = layer_of(read_rules(GroupRules, one), f"the group {one.group_name}")
    groups = _pairs(administrators, owners)
    of_profile = layer_of(profile.culling, f"the profile {name}") if profile is not None else None
    return resolve(base, of_profile, groups, own)


def _pairs(administrators: Mapping[GroupId, Layer], owners: Mapping[GroupId, Layer]) -> list[GroupLayers]:
    return [
        GroupLayers(administrators.get(group, Layer("", {})), owners.get(group))
        for group in dict.fromkeys([*administrators, *owners])
    ]
