"""From a WorkspaceSpec to what the engine is asked for (Engine API 1.41, ``POST /containers/create``). Pure.

The container has no capability, cannot gain privileges, sees a read-only root and only its own home and run
folder, and is limited in memory, processes and CPU (SECURITY 2.6). Two things differ from the strictest form:
/tmp may execute, because builds need it, and there is no init process, because the agent is PID 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub.domain.ids import WorkspaceId
from hub.spawn.protocol import WorkspaceSpec

LABEL = "kernelhub"
"""The label whose value is the hub's id; all of the hub's containers and networks carry it."""
WORKSPACE_LABEL = "kernelhub.workspace"
USER_LABEL = "kernelhub.user"

NETWORK = "kernelhub-internet"
NETWORK_OPTIONS = {
    "com.docker.network.bridge.enable_icc": "false",
    "com.docker.network.bridge.name": "kernelhub0",
}
"""A bridge on which containers cannot reach each other, under a name that firewall rules can use."""
RUN_FOLDER = Path("/run/kernelhub")
AGENT_FOLDER = "/opt/kernelhub/agent"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

STOP_SECONDS = 10
CPU_SHARES = 256
OOM_SCORE_ADJ = 500
"""The machine's own services outlive containers; the agent raises its kernels' score above its own."""
RUN_BYTES = 16 * 1024**2
VAR_TMP_BYTES = 64 * 1024**2

_ACCOUNT_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}\Z")
_SYSTEM_ACCOUNTS = {
    "root": (0, 0, "/root", "/bin/bash"),
    "daemon": (1, 1, "/usr/sbin", "/usr/sbin/nologin"),
    "bin": (2, 2, "/bin", "/usr/sbin/nologin"),
    "mail": (8, 8, "/var/mail", "/usr/sbin/nologin"),
    "www-data": (33, 33, "/var/www", "/usr/sbin/nologin"),
    "nobody": (65534, 65534, "/nonexistent", "/usr/sbin/nologin"),
}
_SYSTEM_GROUPS = {
    "root": 0,
    "daemon": 1,
    "bin": 2,
    "tty": 5,
    "mail": 8,
    "www-data": 33,
    "users": 100,
    "nogroup": 65534,
}


def container_name(workspace_id: WorkspaceId) -> str:
    """The container's name, from the workspace's id alone."""
    return f"kernelhub-{workspace_id}"


def account_name(user_name: str) -> str:
    """The user's name inside the container: their own where Unix allows it, else ``jovyan``."""
    usable = _ACCOUNT_NAME.match(user_name) and user_name not in _SYSTEM_ACCOUNTS
    return user_name if usable else "jovyan"


def passwd_text(spec: WorkspaceSpec) -> str:
    """The container's /etc/passwd, so that its uid has a name and a home."""
    accounts = {
        **_SYSTEM_ACCOUNTS,
        account_name(spec.user_name): (spec.uid, spec.gid, spec.home, "/bin/bash"),
    }
    lines = (f"{name}:x:{uid}:{gid}:{name}:{home}:{shell}" for name, (uid, gid, home, shell) in accounts.items())
    return "\n".join(lines) + "\n"


def group_text(spec: WorkspaceSpec) -> str:
    """The container's /etc/group. A gid without a name there gets the user's."""
    groups = dict(_SYSTEM_GROUPS)
    if spec.gid not in groups.values():
        groups[account_name(spec.user_name)] = spec.gid
    return "".join(f"{name}:x:{gid}:\n" for name, gid in groups.items())


def environment(spec: WorkspaceSpec, image_environment: Mapping[str, str]) -> dict[str, str]:
    """The container's variables over those of the image.

    The image's PATH stays, behind the folder where `pip install` puts commands. BLAS libraries start a thread
    per core of the machine unless told otherwise: OMP_NUM_THREADS follows the CPU limit. The profile's own
    variables have the last word, except over where the home is.
    """
    name = account_name(spec.user_name)
    path = image_environment.get("PATH", DEFAULT_PATH)
    variables = {"PATH": f"{spec.home}/.local/bin:{path}"}
    if spec.limits.cpus is not None and "OMP_NUM_THREADS" not in image_environment:
        variables["OMP_NUM_THREADS"] = str(max(1, math.ceil(spec.limits.cpus)))
    return {**variables, **spec.environment, "HOME": spec.home, "USER": name, "LOGNAME": name}


def container_config(
    spec: WorkspaceSpec,
    *,
    hub_id: str,
    command: list[str],
    variables: Mapping[str, str],
    accounts_folder: Path,
    seccomp: str,
    log_driver: str = "local",
) -> dict[str, Any]:
    """The body of the engine's create request.

    `command` starts the agent, `variables` is its whole environment over the image's, `accounts_folder` holds
    passwd and group, `seccomp` is the profile's JSON text.
    """
    return {
        "Image": spec.image,
        "Hostname": "kernelhub",
        "User": f"{spec.uid}:{spec.gid}",
        "Entrypoint": command,
        "Cmd": [],
        "WorkingDir": spec.home,
        "Env": [f"{name}={value}" for name, value in sorted(variables.items())],
        "Labels": {LABEL: hub_id, WORKSPACE_LABEL: spec.workspace_id, USER_LABEL: spec.user_id},
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGTERM",
        "StopTimeout": STOP_SECONDS,
        "HostConfig": _host_config(spec, accounts_folder, seccomp, log_driver),
    }


def _host_config(spec: WorkspaceSpec, accounts_folder: Path, seccomp: str, log_driver: str) -> dict[str, Any]:
    memory = spec.limits.memory_bytes
    return {
        "Mounts": _mounts(spec, accounts_folder),
        "Tmpfs": {
            "/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={spec.tmp_bytes}",  # noqa: S108
            "/var/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={VAR_TMP_BYTES}",  # noqa: S108
            "/run": f"rw,noexec,nosuid,nodev,mode=755,size={RUN_BYTES}",
        },
        "ShmSize": spec.tmp_bytes,
        "NetworkMode": NETWORK if spec.network == "internet" else "none",
        "IpcMode": "private",
        "Privileged": False,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges", f"seccomp={seccomp}"],
        "ReadonlyRootfs": True,
        "Init": False,
        "RestartPolicy": {"Name": "no"},
        "PidsLimit": spec.limits.pids or 0,
        "Memory": memory or 0,
        "MemorySwap": memory or 0,
        "NanoCpus": round((spec.limits.cpus or 0) * 1e9),
        "CpuShares": CPU_SHARES,
        "OomScoreAdj": OOM_SCORE_ADJ,
        "Ulimits": [
            {"Name": "nofile", "Soft": 4096, "Hard": 16384},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
        "LogConfig": {"Type": log_driver, "Config": {"max-size": "1m", "max-file": "2"}},
        **({"DeviceRequests": [_gpus(spec.gpus)]} if spec.gpus else {}),
        **({"Runtime": spec.runtime} if spec.runtime else {}),
    }


def _gpus(gpus: int | tuple[str, ...]) -> dict[str, Any]:
    """GPUs as the engine is asked for them: a number of any (-1: all), or certain ones."""
    which = {"Count": gpus} if isinstance(gpus, int) else {"DeviceIDs": list(gpus)}
    return {"Driver": "", "Capabilities": [["gpu"]], "Options": {}, **which}


def _mounts(spec: WorkspaceSpec, accounts_folder: Path) -> list[dict[str, Any]]:
    return [
        _bind(spec.home_folder, spec.home) if spec.scratch_folder is None else _view(spec, spec.scratch_folder),
        _bind(spec.run_folder, str(RUN_FOLDER)),
        _bind(spec.agent_folder, AGENT_FOLDER, read_only=True),
        _bind(accounts_folder / "passwd", "/etc/passwd", read_only=True),
        _bind(accounts_folder / "group", "/etc/group", read_only=True),
    ]


def _view(spec: WorkspaceSpec, scratch: Path) -> dict[str, Any]:
    """The home under a layer that takes all writes: an anonymous volume, which goes with its container."""
    layers = f"lowerdir={spec.home_folder},upperdir={scratch / 'upper'},workdir={scratch / 'work'}"
    options = {"type": "overlay", "device": "overlay", "o": layers}
    return {
        "Type": "volume",
        "Target": spec.home,
        "VolumeOptions": {"NoCopy": True, "DriverConfig": {"Name": "local", "Options": options}},
    }


def _bind(source: Path, target: str, read_only: bool = False) -> dict[str, Any]:
    """A bind mount in the long form, whose source must exist: the short form would make it, owned by root."""
    return {
        "Type": "bind",
        "Source": str(source),
        "Target": target,
        "ReadOnly": read_only,
        "BindOptions": {"Propagation": "rprivate"},
    }


def agent_variables(spec: WorkspaceSpec, run_folder: Path) -> dict[str, str]:
    """What the agent is told (hub/agent/__init__.py). `run_folder` is where it finds its run folder."""
    return {
        "KERNELHUB_RUN": str(run_folder),
        "KERNELHUB_HOME": spec.home,
        "KERNELHUB_SPARE_KERNELS": str(spec.spare_kernels),
        "KERNELHUB_RESTARTS": str(spec.rules.restarts),
        "KERNELHUB_RESTARTS_WITHIN": str(spec.rules.restarts_within_seconds),
        "KERNELHUB_JOURNAL_BYTES": str(spec.rules.journal_bytes),
    }
