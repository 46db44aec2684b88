"""Jupyter connection files: where a kernel's five sockets are, and the key that signs what goes through them."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec
from jupyter_core.paths import jupyter_runtime_dir

from hub.errors import BadRequest

SOCKETS = ("shell", "iopub", "stdin", "control", "hb")


class _File(msgspec.Struct):
    shell_port: int
    iopub_port: int
    stdin_port: int
    control_port: int
    hb_port: int
    ip: str
    key: str
    transport: str = "tcp"
    signature_scheme: str = "hmac-sha256"
    curve_secretkey: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalEnds:
    """The sockets of a connection file: `ports` by the names in `SOCKETS`; with ipc, `ip` is how their paths begin."""

    transport: str
    ip: str
    ports: dict[str, int]
    key: bytes
    scheme: str = "hmac-sha256"

    def address(self, name: str) -> str:
        """What to bind the socket `name` to."""
        separator = ":" if self.transport == "tcp" else "-"
        return f"{self.transport}://{self.ip}{separator}{self.ports[name]}"

    def socket_files(self) -> list[Path]:
        """The files of the sockets, none with TCP."""
        return [Path(f"{self.ip}-{port}") for port in self.ports.values()] if self.transport == "ipc" else []


def new_ends(transport: str, stem: str) -> LocalEnds:
    """Ends with a fresh key. With TCP the ports are 0: to be chosen by binding, on this machine only."""
    key = secrets.token_hex(32).encode()
    if transport == "ipc":
        ports = {name: number for number, name in enumerate(SOCKETS, 1)}
        return LocalEnds(transport=transport, ip=str(runtime_folder() / f"{stem}-ipc"), ports=ports, key=key)
    return LocalEnds(transport="tcp", ip="127.0.0.1", ports=dict.fromkeys(SOCKETS, 0), key=key)


def runtime_folder() -> Path:
    """Jupyter's folder for connection files, which only its owner may read; made where it is missing."""
    folder = Path(jupyter_runtime_dir())
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    return folder


def read_ends(file: Path) -> LocalEnds:
    """The ends that a connection file of another program names. Raises BadRequest when it cannot be used."""
    try:
        found = msgspec.json.decode(file.read_bytes(), type=_File)
    except (OSError, ValueError) as error:
        raise BadRequest(f"The connection file {file} cannot be used: {error}.") from error
    if found.curve_secretkey:
        raise BadRequest(f"{file} asks for CurveZMQ, which this command does not speak.")
    if found.transport not in ("tcp", "ipc"):
        raise BadRequest(f"{file} names the transport {found.transport!r}; tcp and ipc are known.")
    ports = {name: getattr(found, f"{name}_port") for name in SOCKETS}
    return LocalEnds(
        transport=found.transport, ip=found.ip, ports=ports, key=found.key.encode(), scheme=found.signature_scheme
    )


def write_ends(file: Path, ends: LocalEnds, kernel_name: str) -> None:
    """Write the file, for its owner only. Raises BadRequest where there is one already, or it cannot be."""
    found: dict[str, str | int] = {f"{name}_port": port for name, port in ends.ports.items()}
    found |= {"ip": ends.ip, "transport": ends.transport, "key": ends.key.decode(), "kernel_name": kernel_name}
    found |= {"signature_scheme": ends.scheme}
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise BadRequest(f"The connection file {file} cannot be written: {error.strerror}.") from error
    with os.fdopen(descriptor, "w") as opened:
        json.dump(found, opened, indent=1)
