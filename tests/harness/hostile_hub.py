"""A hub that somebody has broken into: it has the hub's uid, and says to the spawner whatever it likes."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from pathlib import Path
from typing import Any

USER = "0123456789abcdef0123456789"
WORKSPACE = "fedcba98765432100123456789"
LIMITS = {"memory_bytes": 256 * 1024**2, "cpus": 1.0, "pids": 64}
START: dict[str, Any] = {
    "type": "start",
    "workspace_id": WORKSPACE,
    "purpose": "workspace",
    "user_id": USER,
    "user_name": "eve",
    "number": 7,
    "profile": "only",
    "limits": LIMITS,
}
DEFINITION: dict[str, Any] = {
    "image": "allowed/image:1",
    "home": "/home/jovyan",
    "network": "none",
    "tmp_bytes": 64 * 1024**2,
}


def start(**changes: Any) -> dict[str, Any]:
    """A request that is well but for the changes."""
    return {**START, **changes}


def defined(**changes: Any) -> dict[str, Any]:
    """A request with a profile of an administrator's."""
    return {**START, "profile": "", "definition": {**DEFINITION, **changes}}


HOSTILE: dict[str, dict[str, Any]] = {
    "privileged": start(privileged=True),
    "binds": start(binds=["/:/host"]),
    "a bind in the definition": defined(mounts=[{"Source": "/", "Target": "/host"}]),
    "the host's processes": start(pid_mode="host"),
    "the host's network": defined(network="host"),
    "another container's network": defined(network="container:hub"),
    "devices": start(devices=["/dev/sda"]),
    "a capability": start(cap_add=["SYS_ADMIN"]),
    "no seccomp": start(security_opt=["seccomp=unconfined"]),
    "an image": start(image="evil:1"),
    "an image not in the list": defined(image="evil/image:1"),
    "an image with a line in it": defined(image="allowed/evil:1\n"),
    "an image by a pattern": defined(image="allowed/*"),
    "an image with a path in it": defined(image="allowed/../evil:1"),
    "a command": start(command=["sh"]),
    "an entrypoint": defined(entrypoint=["sh"]),
    "a uid": start(uid=0),
    "root's number": start(number=-200_000),
    "no number": start(number=None),
    "a number beyond all uids": start(number=2**32),
    "a workspace's id that is a path": start(workspace_id="../../../../etc"),
    "a user's id that is a path": start(user_id="../../../../../root"),
    "a workspace's id of no workspace": start(workspace_id="kernelhub-x"),
    "a user's home in a probe": start(purpose="probe", workspace_id="probe-00000000-00000000"),
    "a user's number in a probe": start(purpose="probe", workspace_id="probe-00000000-00000000", user_id="probe"),
    "a purpose that there is not": start(purpose="root"),
    "a home that is the root": defined(home="/"),
    "a home in a system folder": defined(home="/home/../etc"),
    "a profile that there is not": start(profile="root"),
    "a profile defined otherwise": {**defined(image="allowed/image:1"), "profile": "only"},
    "a runtime": defined(runtime="evil"),
    "all GPUs": defined(gpus=-1),
    "GPUs beyond the ceiling": defined(gpus=["0", "1", "2"]),
    "a huge /tmp": defined(tmp_bytes=2**50),
    "no memory limit": start(limits={**LIMITS, "memory_bytes": None}),
    "a huge memory limit": start(limits={**LIMITS, "memory_bytes": 2**50}),
    "a negative memory limit": start(limits={**LIMITS, "memory_bytes": -1}),
    "a memory limit of nothing": start(limits={**LIMITS, "memory_bytes": 1}),
    "negative cpus": start(limits={**LIMITS, "cpus": -0.5}),
    "no process limit": start(limits={**LIMITS, "pids": None}),
    "negative spare kernels": start(spare_kernels=-1),
    "many spare kernels": start(spare_kernels=10_000),
    "a variable of the agent's": defined(environment={"KERNELHUB_RUN": "/etc"}),
    "a preloaded library": defined(environment={"LD_PRELOAD": "/tmp/x.so"}),
    "a variable with a line in its name": defined(environment={"A\nB": "x"}),
    "a variable with a zero byte": defined(environment={"A": "x\0y"}),
    "very many variables": defined(environment={f"V{number}": "" for number in range(1000)}),
    "to run a command": {"type": "exec", "workspace_id": WORKSPACE, "command": ["id"]},
    "to copy files": {"type": "copy", "workspace_id": WORKSPACE, "path": "/etc/shadow"},
    "to build an image": {"type": "build", "dockerfile": "FROM scratch"},
    "to stop another container": {"type": "stop", "workspace_id": "postgres", "grace_seconds": 0},
    "to stop a path": {"type": "stop", "workspace_id": "../containers/x", "grace_seconds": 0},
    "an endless grace": {"type": "stop", "workspace_id": WORKSPACE, "grace_seconds": 1e308},
    "a negative grace": {"type": "stop", "workspace_id": WORKSPACE, "grace_seconds": -1},
    "to pause another container": {"type": "pause", "workspace_id": "postgres"},
    "to pause a path": {"type": "pause", "workspace_id": "../containers/x"},
    "to pause everything": {"type": "pause"},
    "to pause a list": {"type": "pause", "workspace_id": [WORKSPACE]},
    "to pause for a time": {"type": "pause", "workspace_id": WORKSPACE, "seconds": 1},
    "to thaw another container": {"type": "thaw", "workspace_id": "postgres"},
    "to thaw a line": {"type": "thaw", "workspace_id": f"{WORKSPACE}\n"},
    "to thaw an unnamed one": {"type": "thaw", "workspace_id": ""},
    "memory of another container": {"type": "reclaim", "workspace_id": "postgres"},
    "memory of a control group": {"type": "reclaim", "workspace_id": "../../system.slice"},
    "memory of a process": {"type": "reclaim", "workspace_id": WORKSPACE, "pid": 1},
    "much memory": {"type": "reclaim", "workspace_id": WORKSPACE, "size_bytes": 2**60},
    "the state of another container": {"type": "state", "workspace_id": "postgres"},
    "an image's id that is none of ours": {"type": "image_id", "image": "postgres:16"},
    "an image's id that is a path": {"type": "image_id", "image": "../containers/json"},
    "another label's inventory": {"type": "inventory", "label": "x"},
    "no type": {"workspace_id": WORKSPACE},
}
"""What a spawner must refuse, by what it asks for (SECURITY 2.5)."""

GARBLED: dict[str, bytes] = {
    "no JSON": b"GET / HTTP/1.1\r\n\r\n",
    "no UTF-8": b'{"type": "image_id", "image": "\xff\xfe"}',
    "a list": b"[]",
    "nothing but nesting": b"[" * 60_000,
    "nesting in a field": b'{"type": "state", "workspace_id": ' + b'{"a":' * 9000 + b"1" + b"}" * 9001,
    "a number without end": b'{"type": "state", "workspace_id": ' + b"9" * 60_000 + b"}",
    "two requests": b'{"type": "ping"}{"type": "ping"}',
    "an endless float": b'{"type": "stop", "workspace_id": "x", "grace_seconds": NaN}',
}
"""Frames that are no message."""


def framed(body: bytes) -> bytes:
    """A frame with this content."""
    return struct.pack("!I", len(body)) + body


def say(path: Path, sent: bytes, seconds: float = 20.0) -> dict[str, Any] | None:
    """Connect, send, and give the answer; None if the spawner closed without one."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        connection.connect(str(path))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(sent)  # it may be refused before all of it was sent; the answer is there then
        try:
            with connection.makefile("rb") as answer:
                head = answer.read(4)
                return json.loads(answer.read(struct.unpack("!I", head)[0])) if len(head) == 4 else None
        except ConnectionResetError:
            return None


def ask(path: Path, request: dict[str, Any]) -> dict[str, Any] | None:
    """Send one request as JSON."""
    return say(path, framed(json.dumps(request).encode()))
