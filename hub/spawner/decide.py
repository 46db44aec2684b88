"""From a request to a container's specification, or a refusal. Pure: the hub that asks is not believed.

A profile of the configuration is taken from the rules. One that an administrator has defined in the running hub comes
with the request and is held against the rules: its image must match, its sizes stay below the ceilings, its network and
runtime must be among those allowed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from hub.domain.ids import UserId, WorkspaceId
from hub.domain.workspace import Limits
from hub.errors import SpawnerRefused
from hub.spawn.protocol import KernelRules, WorkspaceSpec
from hub.spawn.wire import Bounds, Definition, Purpose, Start
from hub.spawner.rules import Rules

MOST_NUMBER = 50_000_000
"""Users' numbers stay far below the uids that no process may have (2**32 - 2)."""
MOST_SPARE_KERNELS = 4
MOST_RESTARTS = 1000
MOST_RESTARTS_WITHIN = 24 * 60 * 60
MOST_JOURNAL_BYTES = 256 * 1024**2
MOST_VARIABLES = 64
MOST_GRACE_SECONDS = 60.0
LEAST_MEMORY_BYTES = 64 * 1024**2
LEAST_TMP_BYTES = 1024**2
PROBE_USER = "probe"

_IDS = {
    Purpose.WORKSPACE: re.compile(r"[0-9a-f]{26}\Z"),
    Purpose.PROBE: re.compile(r"probe-[0-9a-f]{8}-[0-9a-f]{8}\Z"),
    Purpose.VIEW: re.compile(r"verify-[0-9a-f]{16}\Z"),
    Purpose.COPY: re.compile(r"verify-[0-9a-f]{16}\Z"),
}
_USER_ID = _IDS[Purpose.WORKSPACE]
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}\Z")
_HOME = re.compile(r"/home/[a-z_][a-z0-9_-]{0,31}\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
_GPU = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/=-]{0,79}\Z")
_RESERVED = ("KERNELHUB_", "LD_PRELOAD", "LD_AUDIT")


def checked_id(text: str) -> WorkspaceId:
    """The id of a container that this spawner may have made. Raises SpawnerRefused."""
    if not any(pattern.match(text) for pattern in _IDS.values()):
        raise SpawnerRefused("that is not the id of a workspace")
    return WorkspaceId(text)


def checked_grace(seconds: float) -> float:
    """A grace that is none of eternity. Raises SpawnerRefused."""
    if not 0 <= seconds <= MOST_GRACE_SECONDS:
        raise SpawnerRefused(f"a grace is 0 to {MOST_GRACE_SECONDS:g} seconds")
    return seconds


def checked_image(image: str, rules: Rules) -> str:
    """An image of a profile, or one that profiles may have. Raises SpawnerRefused."""
    if is_known(image, rules):
        return image
    raise SpawnerRefused(
        f"the image {image[:80]!r} is that of no profile, and spawning.allowed_images does not have it"
    )


def is_known(image: str, rules: Rules) -> bool:
    """Whether the image is that of a profile, or one that profiles may have."""
    return any(profile.definition.image == image for profile in rules.profiles.values()) or _allowed(image, rules)


def decide(asked: Start, rules: Rules, agent_folder: Path) -> WorkspaceSpec:
    """The container that may be made for this request. Raises SpawnerRefused with the reason.

    Whether the number is the user's, and the folders are what they must be, is for others to see.
    """
    _check_who(asked, rules)
    known = rules.profiles.get(asked.profile)
    if known is not None and asked.definition is not None:
        raise SpawnerRefused(f"the profile {asked.profile!r} is the configuration's and cannot be defined otherwise")
    if known is not None:
        definition = known.definition
    elif asked.definition is not None:
        definition = _checked_definition(asked.definition, rules)
    else:
        raise SpawnerRefused(f"there is no profile {asked.profile[:40]!r} in the spawner's configuration")
    limits = _checked_limits(asked.limits, known.limits if known is not None else None, rules)
    if not 0 <= asked.spare_kernels <= MOST_SPARE_KERNELS:
        raise SpawnerRefused(f"spare kernels are 0 to {MOST_SPARE_KERNELS}")
    _check_rules(asked.rules)
    return _spec(asked, definition, limits, rules, agent_folder)


def _spec(asked: Start, definition: Definition, limits: Limits, rules: Rules, agent_folder: Path) -> WorkspaceSpec:
    is_probe = asked.purpose is Purpose.PROBE
    data, workspace_id = rules.data_dir, WorkspaceId(asked.workspace_id)
    run, scratch = data / "run" / workspace_id, data / "scratch" / workspace_id
    homes = {Purpose.PROBE: run / "home", Purpose.COPY: scratch / "home"}
    return WorkspaceSpec(
        workspace_id=workspace_id,
        user_id=UserId(asked.user_id),
        image=definition.image,
        limits=limits,
        uid=rules.uid_of(asked.number or 0),
        gid=rules.gid,
        home_folder=homes.get(asked.purpose, data / "homes" / asked.user_id),
        home=definition.home,
        run_folder=run,
        agent_folder=agent_folder,
        user_name=asked.user_name,
        network="none" if is_probe else definition.network,
        tmp_bytes=definition.tmp_bytes,
        spare_kernels=asked.spare_kernels,
        rules=asked.rules,
        environment=dict(definition.environment),
        scratch_folder=scratch if asked.purpose is Purpose.VIEW else None,
        gpus=0 if is_probe else _gpus(definition.gpus),
        runtime=definition.runtime,
    )


def _check_rules(asked: KernelRules) -> None:
    """What the agent is told of kernels stays within what profiles may say. Raises SpawnerRefused."""
    if not 0 <= asked.restarts <= MOST_RESTARTS or not 1 <= asked.restarts_within_seconds <= MOST_RESTARTS_WITHIN:
        raise SpawnerRefused(f"restarts are 0 to {MOST_RESTARTS} within 1 to {MOST_RESTARTS_WITHIN} seconds")
    if not 0 <= asked.journal_bytes <= MOST_JOURNAL_BYTES:
        raise SpawnerRefused(f"a journal has 0 to {MOST_JOURNAL_BYTES} bytes")


def _check_who(asked: Start, rules: Rules) -> None:
    if not _IDS[asked.purpose].match(asked.workspace_id):
        raise SpawnerRefused(f"that is not the id of a container for the purpose {asked.purpose}")
    if asked.purpose is Purpose.PROBE:
        if asked.user_id != PROBE_USER or asked.number != 0:
            raise SpawnerRefused("a probe is nobody's")
        return
    if not _USER_ID.match(asked.user_id):
        raise SpawnerRefused("that is not the id of a user")
    if (asked.number is None) != (rules.base_uid is None):
        raise SpawnerRefused("hub and spawner do not agree whether users have uids of their own")
    if asked.number is not None and not 0 < asked.number <= MOST_NUMBER:
        raise SpawnerRefused("that is not the number of a user")
    if not (0 < len(asked.user_name) <= 64 and asked.user_name.isprintable()):
        raise SpawnerRefused("that is not the name of a user")


def _allowed(image: str, rules: Rules) -> bool:
    return (
        bool(_IMAGE.match(image))
        and ".." not in image
        and any(fnmatchcase(image, pattern) for pattern in rules.allowed_images)
    )


def _checked_definition(asked: Definition, rules: Rules) -> Definition:
    """What an administrator has defined in the hub, if the configuration allows that."""
    if not _allowed(asked.image, rules):
        raise SpawnerRefused(f"spawning.allowed_images does not have the image {asked.image[:80]!r}")
    if not _HOME.match(asked.home):
        raise SpawnerRefused("a home is a folder beneath /home")
    if asked.network not in ("none", *rules.networks):
        raise SpawnerRefused(f"spawning.networks does not have {asked.network[:40]!r}")
    if not LEAST_TMP_BYTES <= asked.tmp_bytes <= rules.ceilings.tmp_bytes:
        raise SpawnerRefused(
            f"the folder for temporary files may have {LEAST_TMP_BYTES} to {rules.ceilings.tmp_bytes} bytes"
        )
    if asked.runtime is not None and asked.runtime not in rules.runtimes:
        raise SpawnerRefused(f"spawning.runtimes does not have {asked.runtime[:40]!r}")
    many = asked.gpus if isinstance(asked.gpus, int) else len(asked.gpus)
    if not 0 <= many <= rules.ceilings.gpus:
        raise SpawnerRefused(f"GPUs may be 0 to {rules.ceilings.gpus} (spawning.most_gpus)")
    if not isinstance(asked.gpus, int) and not all(map(_GPU.match, asked.gpus)):
        raise SpawnerRefused("that is not the id of a GPU")
    _check_environment(asked.environment)
    return asked


def _check_environment(environment: dict[str, str]) -> None:
    if len(environment) > MOST_VARIABLES:
        raise SpawnerRefused(f"a profile has at most {MOST_VARIABLES} variables")
    for name, value in environment.items():
        if not _VARIABLE.match(name) or name.startswith(_RESERVED):
            raise SpawnerRefused(f"{name[:40]!r} is not a name for a variable of a profile")
        if not all(character.isprintable() or character in "\t\n" for character in value):
            raise SpawnerRefused(f"the variable {name} holds what no text has")


def _checked_limits(asked: Bounds, own: Bounds | None, rules: Rules) -> Limits:
    """The limits asked for: at most the profile's own, or the ceilings where those are higher."""
    owns = [own] if own is not None else [profile.limits for profile in rules.profiles.values()]
    ceilings = rules.ceilings
    memory = _most("memory_bytes", asked.memory_bytes, (each.memory_bytes for each in owns), ceilings.memory_bytes)
    cpus = _most("cpus", asked.cpus, (each.cpus for each in owns), ceilings.cpus)
    pids = _most("pids", asked.pids, (each.pids for each in owns), ceilings.pids)
    if memory is not None and memory < LEAST_MEMORY_BYTES:
        raise SpawnerRefused(f"a container has at least {LEAST_MEMORY_BYTES} bytes of memory")
    return Limits(
        None if memory is None else int(memory),
        None if cpus is None else float(cpus),
        None if pids is None else int(pids),
    )


def _most(name: str, asked: float | None, owns: Iterable[float | None], ceiling: float | None) -> float | None:
    """`asked` if it is within what is allowed. None is without a limit, in the request as in the rules."""
    limits = list(owns)
    unlimited = None in limits
    most = max((limit for limit in (*limits, ceiling) if limit is not None), default=0.0)
    if asked is None:
        if not unlimited:
            raise SpawnerRefused(f"{name} must have a limit here, of at most {most}")
        return None
    if not math.isfinite(asked) or asked <= 0:
        raise SpawnerRefused(f"{name} cannot be limited to {asked}")
    if not unlimited and asked > most:
        raise SpawnerRefused(f"{name} may be limited to {most} at most, not {asked} (spawning.most_{name} raises it)")
    return asked


def _gpus(gpus: int | list[str]) -> int | tuple[str, ...]:
    return gpus if isinstance(gpus, int) else tuple(gpus)
