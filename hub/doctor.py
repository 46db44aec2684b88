"""Is this machine fit to run kernelhub? Checks, each with what was found and what to do about it.

Functions that begin with ``check_`` decide from plain values; `run` gathers the values.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hub.audit_keeper import ANCHORS, read_anchors, verify
from hub.config import Settings
from hub.cull.rules import CANNOT_PAUSE, wants_pauses
from hub.errors import EngineSilent, HubError
from hub.image_names import IMAGES, tag_of
from hub.images import image_present
from hub.spawn.engine import Engine
from hub.spawn.folders import Folders, socket_path_too_long
from hub.spawn.memory import can_reclaim
from hub.spawn.remote import SpawnerAway
from hub.spawn.select import open_to_others, remote_spawner, spawner_folder
from hub.spawn.wire import SOCKET
from hub.spawner.confine import FOR_HUB, Plan, engine_sockets
from hub.store import schema
from hub.store.engine import Store

Level = Literal["ok", "warn", "fail"]

GIB = 1024**3
LEAST_FREE_BYTES = GIB
LITTLE_FREE_BYTES = 5 * GIB
LEAST_FILES = 4096
FILES_PER_KERNEL = 12
KERNEL_WITH_OPENAT2 = (5, 6)
OLDEST_ENGINE = (20, 10)
LONGEST_WORKSPACE_ID = "0" * 26


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `advice` says what to do; None where nothing has to be done."""

    level: Level
    name: str
    finding: str
    advice: str | None = None


async def run(settings: Settings) -> list[Check]:
    """All checks, the machine's first. Nothing is changed or made."""
    data_dir = settings.data_dir.absolute()
    checks = [
        check_kernel(os.uname().release),
        check_files(*resource.getrlimit(resource.RLIMIT_NOFILE)),
        check_account(os.geteuid(), settings.spawner),
        *await _engine_checks(settings),
        *await _spawner_checks(settings),
        await _database_check(settings),
        *await _audit_checks(settings),
        check_pause(settings.spawner != "process", can_reclaim(), wants_pauses(settings)),
        _disk_check("disk", data_dir),
        *(check_private(path, _mode(path)) for path in _secret_files(data_dir)),
        check_address(settings),
    ]
    if settings.spawner != "docker":
        folders = Folders(data_dir, None, None)
        checks.append(check_paths(folders.data_dir / "run" / LONGEST_WORKSPACE_ID))
    return checks


def check_kernel(release: str) -> Check:
    """Whether the Linux kernel can open files beneath a folder and nowhere else (openat2)."""
    needed = ".".join(map(str, KERNEL_WITH_OPENAT2))
    if sys.platform == "linux" and _version(release) >= KERNEL_WITH_OPENAT2:
        return Check("ok", "kernel", f"Linux {release}")
    return Check("fail", "kernel", f"{release}, but files need Linux {needed} (openat2)", "Use a newer kernel.")


def check_files(soft: int, hard: int) -> Check:
    """Whether a hub and a proxy may open enough files; both raise their soft limit to the hard one."""
    if hard == resource.RLIM_INFINITY:
        return Check("ok", "open files", "unlimited")
    kernels = max(0, hard - 512) // FILES_PER_KERNEL
    finding = f"{hard} per process (soft limit {soft}), enough for about {kernels} connected kernels"
    if hard >= LEAST_FILES:
        return Check("ok", "open files", finding)
    return Check("warn", "open files", finding, "Raise it: `LimitNOFILE=65536` in the systemd unit, or `ulimit -Hn`.")


def check_account(uid: int, spawner: str) -> Check:
    """Whether every user's files and containers can have a uid of their own."""
    if uid == 0:
        return Check("ok", "account", "root: every user's container has a uid of its own")
    level: Level = "ok" if spawner == "process" else "warn"
    advice = None if level == "ok" else "Run the hub as root to give every user's container a uid of its own."
    return Check(level, "account", f"uid {uid}: all users' files and containers belong to this one uid", advice)


def check_pause(can_pause: bool, gives_memory_back: bool, is_wanted: bool) -> Check:
    """Whether idle containers can be paused here, and whether their memory is the machine's again then."""
    if not can_pause:
        advice = 'Leave pause_after out of [culling], or use containers (spawner = "docker").'
        return Check("warn" if is_wanted else "ok", "pause", CANNOT_PAUSE, advice if is_wanted else None)
    if gives_memory_back:
        return Check("ok", "pause", "idle containers can be paused, and give back their files' cache (cgroup v2)")
    return Check("ok", "pause", "idle containers can be paused; they keep their memory (that needs cgroup v2)")


def check_spawner(problem: str | None, is_there: bool) -> Check:
    """Whether the spawner's process is there, and has an engine. `problem` is what it said, None for nothing."""
    if problem is None:
        return Check("ok", "spawner", "answers, and has an engine")
    if is_there:
        return Check("fail", "spawner", problem, "`journalctl -u kernelhub` (or -u kernelhub-spawner) says why.")
    return Check("warn", "spawner", "is not running", "`kernelhub serve`, or kernelhub-spawner.service, starts it.")


def check_engine_socket(uid: int, is_usable: bool, is_separate: bool) -> Check:
    """Whether who breaks into the hub has the engine, where the hub is not root and `uid` is its account."""
    name = "engine's socket"
    if not is_usable:
        return Check("ok", name, f"uid {uid} cannot use it; the spawner alone can")
    advice = (
        "Take the hub's account out of the group `docker`, and run the spawner as a service of its own "
        "(deploy/kernelhub-spawner.service)."
    )
    return Check(
        "fail" if is_separate else "warn", name, f"uid {uid}, the hub's account, can use it: that is root", advice
    )


def check_confinement(wanted: bool, problem: str | None) -> Check:
    """Whether a hub and a proxy of root are kept from the engine. `problem` is what the machine refused."""
    name = "confinement"
    if not wanted:
        return Check("warn", name, "is off: hub and proxy can use the engine", "Set spawning.confine = true.")
    if problem is None:
        return Check("ok", name, "hub and proxy run without access to the engine, and with few capabilities")
    advice = (
        "Use Linux 5.12 or later and let `serve` have CAP_SYS_ADMIN, or run hub and spawner as two services "
        "(deploy/kernelhub-spawner.service)."
    )
    return Check("warn", name, f"this machine refuses it ({problem}): hub and proxy can use the engine", advice)


def check_engine(info: Mapping[str, Any]) -> list[Check]:
    """What the engine says of itself (``GET /info``): its version, its walls, and whether containers outlive it."""
    return [_version_check(info), _live_restore_check(info), _walls_check(info), _limits_check(info)]


def check_image(image: str, present: bool, is_default: bool) -> Check:
    """Whether the engine has a profile's image."""
    if present:
        return Check("ok", f"image {image}", "is there")
    ours = {tag_of(name): f"Run `kernelhub image build {name}`." for name in IMAGES}
    advice = ours.get(image, f"Run `docker pull {image}`, or build it.")
    return Check("fail" if is_default else "warn", f"image {image}", "is missing", advice)


def check_disk(name: str, free_bytes: int, total_bytes: int) -> Check:
    """Whether there is room left."""
    finding = f"{free_bytes / GIB:.1f} of {total_bytes / GIB:.1f} GiB free"
    advice = "Free some space, or move it to a larger disk."
    if free_bytes < LEAST_FREE_BYTES:
        return Check("fail", name, finding, advice)
    if free_bytes < LITTLE_FREE_BYTES:
        return Check("warn", name, finding, advice)
    return Check("ok", name, finding)


def check_private(path: Path, mode: int) -> Check:
    """Whether a file with secrets is closed to other accounts."""
    if mode & 0o077 == 0:
        return Check("ok", path.name, f"is private (mode {mode:04o})")
    return Check("fail", path.name, f"other accounts can read {path} (mode {mode:04o})", f"Run `chmod go= {path}`.")


def check_paths(run_folder: Path) -> Check:
    """Whether sockets of local processes fit into an address."""
    if not socket_path_too_long(run_folder):
        return Check("ok", "paths", "sockets of local processes have an address that fits")
    return Check(
        "warn",
        "paths",
        f"{run_folder} is too long for the sockets of local processes (containers are not concerned)",
        "Choose a shorter data_dir.",
    )


def check_address(settings: Settings) -> Check:
    """Whether passwords and cookies cross a network in the open."""
    where = open_to_others(settings)
    if where is None or settings.secure_cookies:
        return Check("ok", "address", settings.public_url or f"http://{settings.host}:{settings.port}")
    return Check(
        "warn",
        "address",
        f"others reach the hub without https ({where}): passwords and cookies can be read on the way",
        "Put a gateway with https in front, and set public_url to its address.",
    )


def _version_check(info: Mapping[str, Any]) -> Check:
    version = str(info.get("ServerVersion", ""))
    if _version(version) >= OLDEST_ENGINE:
        return Check("ok", "engine", f"Docker Engine {version} answers")
    return Check("warn", "engine", f"version {version} is untested", "Use Docker Engine 20.10 or later.")


def _live_restore_check(info: Mapping[str, Any]) -> Check:
    if info.get("LiveRestoreEnabled"):
        return Check("ok", "live-restore", "containers outlive a restart of the engine")
    return Check(
        "fail",
        "live-restore",
        "is off: a restart of the engine ends everybody's kernels",
        'Put {"live-restore": true} into /etc/docker/daemon.json, then `systemctl reload docker`.',
    )


def _walls_check(info: Mapping[str, Any]) -> Check:
    if any("name=seccomp" in option for option in info.get("SecurityOptions") or ()):
        return Check("ok", "seccomp", "system calls of containers are filtered")
    return Check("fail", "seccomp", "the engine cannot filter system calls", "Use a kernel and an engine with seccomp.")


def _limits_check(info: Mapping[str, Any]) -> Check:
    limits = {"memory": "MemoryLimit", "swap": "SwapLimit", "processes": "PidsLimit", "CPU": "CpuCfsQuota"}
    lacking = [name for name, key in limits.items() if info.get(key) is False]
    if not lacking:
        return Check("ok", "limits", "memory, swap, processes and CPU of containers can be limited")
    return Check(
        "warn",
        "limits",
        f"the engine cannot limit {', '.join(lacking)}",
        "Enable the cgroup controllers (on Debian with cgroup v1: `cgroup_enable=memory swapaccount=1`).",
    )


async def _engine_checks(settings: Settings) -> list[Check]:
    if settings.spawner == "process":
        return [Check("warn", "spawner", "local processes: no isolation, for trying out alone")]
    engine = Engine(settings.docker_url)
    try:
        info = await engine.call(lambda client: client.info())
        default = settings.profiles[settings.default_profile].image
        images = sorted({profile.image for profile in settings.profiles.values()})
        present = [check_image(image, await image_present(settings, image), image == default) for image in images]
    except EngineSilent as error:
        level: Level = "fail" if settings.spawner == "docker" else "warn"
        return [Check(level, "engine", f"no container engine answers ({_cause(error)})", _NO_ENGINE)]
    finally:
        await engine.close()
    return [*check_engine(info), *present, *_engine_disk(Path(info.get("DockerRootDir", "")))]


async def _spawner_checks(settings: Settings) -> list[Check]:
    if settings.spawner == "process":
        return []
    spawner = remote_spawner(settings, Folders(settings.data_dir, None, None), patience_seconds=0.0)
    try:
        await spawner.ping()
    except EngineSilent as error:
        problem = f"{error.message} ({spawner_folder(settings) / SOCKET})"
        checks = [check_spawner(problem, not isinstance(error, SpawnerAway))]
    else:
        checks = [check_spawner(None, True)]
    engines = engine_sockets(settings.docker_url, os.environ.get("DOCKER_HOST"))
    if os.geteuid() != 0:
        usable = any(os.access(path, os.W_OK) for path in engines)
        return [*checks, check_engine_socket(os.geteuid(), usable, settings.spawning.separate)]
    if settings.spawning.confine:
        return [*checks, check_confinement(True, _confinement_problem(engines))]
    return [*checks, check_confinement(False, None)]


def _confinement_problem(engines: list[str]) -> str | None:
    """What the machine says when a process is confined as the hub would be; None for nothing."""
    plan = Plan([*FOR_HUB], [], [], engines)
    command = [sys.executable, "-m", "hub.spawner.confine", plan.text(), sys.executable, "-c", ""]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    return done.stderr.strip().rpartition("): ")[2][:200] or None


_NO_ENGINE = (
    "Install Docker Engine (`apt-get install docker.io`), start it (`systemctl start docker`), and let this "
    'account use it (group `docker`). Without one, spawner = "auto" runs local processes for yourself alone.'
)


async def _database_check(settings: Settings) -> Check:
    file = settings.data_dir.absolute() / "kernelhub.db"
    if settings.database_url is None and not file.exists():
        return Check("warn", "database", f"{file} is not there yet", "`kernelhub serve` makes it.")
    kind = "SQLite" if settings.database_url is None else "the database of database_url"
    try:
        version = await schema.current(settings.sqlalchemy_url)
        await schema.require_current(settings.sqlalchemy_url)
    except schema.SchemaOutdated as error:
        return Check("fail", "database", error.message, "Run `kernelhub db upgrade`.")
    except HubError as error:
        return Check("fail", "database", f"{kind} does not answer: {error.message}", "Check database_url.")
    return Check("ok", "database", f"{kind} answers and is at version {version.current}")


async def _audit_checks(settings: Settings) -> list[Check]:
    """Whether the audit log is whole; nothing where there is no database at this release's version."""
    try:
        if settings.database_url is None and not (settings.data_dir.absolute() / "kernelhub.db").exists():
            return []
        await schema.require_current(settings.sqlalchemy_url)
        store = Store(settings.sqlalchemy_url)
        try:
            result = await verify(store, read_anchors(settings.data_dir / ANCHORS))
        finally:
            await store.close()
    except HubError:
        return []  # the check of the database says it
    if result.broken is None:
        return [Check("ok", "audit log", f"is whole: {result.count} lines")]
    finding = f"is broken at line {result.broken.id}: {result.broken.why}"
    return [Check("fail", "audit log", finding, "See docs/how-to/audit.md; compare with backups and the anchors.")]


def _engine_disk(root: Path) -> list[Check]:
    """The disk of images and logs, where the engine is on this machine and its folder can be seen."""
    return [_disk_check("disk of the engine", root)] if root.is_absolute() and root.is_dir() else []


def _disk_check(name: str, folder: Path) -> Check:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    usage = shutil.disk_usage(existing)
    return check_disk(name, usage.free, usage.total)


def _secret_files(data_dir: Path) -> list[Path]:
    return [path for path in (data_dir / "internal-token", data_dir / "kernelhub.db") if path.exists()]


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _version(text: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _cause(error: BaseException) -> str:
    """The innermost cause, which names the socket or the refusal."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)[:200]
