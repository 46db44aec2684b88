"""The kernelspecs of the image and of the user, read from Jupyter's paths."""

from __future__ import annotations

import binascii
import importlib.util
import json
import os
import re
import stat
import sys
from typing import Any, NamedTuple

from hub.agent import bounds
from hub.agent.wire import SPEC_NAME, Refusal

FALLBACK_NAME = "python3"
_FALLBACK = {
    "argv": ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
    "display_name": "Python 3 (ipykernel)",
    "language": "python",
    "metadata": {"debugger": True},
}


class Spec(NamedTuple):
    """One kernelspec: the content of its kernel.json, its folder, and the files in that folder that front ends show."""

    name: str
    content: dict[str, Any]
    folder: str
    resources: tuple[str, ...]

    @property
    def is_ipykernel(self) -> bool:
        """Whether its kernels are ipykernel's own: they may be spares, and answer their control channel while busy."""
        return any(part in ("ipykernel_launcher", "ipykernel") for part in self.content["argv"])

    @property
    def interrupts_by_message(self) -> bool:
        """Whether its kernels are interrupted by a message on the control channel, not by a signal."""
        return bool(self.content.get("interrupt_mode") == "message")

    def argv(self, connection_file: str) -> list[str]:
        """The command line of a kernel with this connection file."""
        known = {"connection_file": connection_file, "prefix": sys.prefix, "resource_dir": self.folder}
        argv = [re.sub(r"\{([A-Za-z0-9_]+)\}", lambda m: known.get(m[1], m[0]), a) for a in self.content["argv"]]
        if argv[0] in _PYTHONS:
            argv[0] = sys.executable
        if argv[-4:-1] == ["-m", "ipykernel_launcher", "-f"]:
            argv[-4:-2] = [_START_IPYKERNEL]
        return argv

    def env(self) -> dict[str, str]:
        """The environment variables that it asks for; ``${NAME}`` in them is taken from ours."""
        wanted = self.content.get("env")
        if not isinstance(wanted, dict):
            return {}
        found = {}
        for name, value in wanted.items():
            if isinstance(value, str) and "\0" not in name + value and name and "=" not in name:
                found[name] = re.sub(r"\$\{(\w+)\}", lambda m: os.environ.get(m[1], m[0]), value)
        return found


_START_IPYKERNEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ipykernel_start.py")
_PYTHONS = ("python", "python%d" % sys.version_info[0], "python%d.%d" % sys.version_info[:2])  # noqa: UP031


def jupyter_folders(environ: dict[str, str], home: str) -> list[str]:
    """The folders that may hold kernelspecs, those that win first. Source: jupyter_core's documentation."""
    folders = [path for path in environ.get("JUPYTER_PATH", "").split(os.pathsep) if path]
    folders.append(environ.get("JUPYTER_DATA_DIR") or f"{home}/.local/share/jupyter")
    own, system = f"{sys.prefix}/share/jupyter", ["/usr/local/share/jupyter", "/usr/share/jupyter"]
    folders += system if own in system else [own, *system]
    return [f"{folder}/kernels" for folder in dict.fromkeys(folders) if folder.startswith("/")]


def find_specs(folders: list[str]) -> dict[str, Spec]:
    """All kernelspecs by name, in Jupyter's order. Broken ones are left out; the first of a name wins.

    Names are in lower case, as Jupyter has them; ipykernel's own comes first where no folder has a ``python3``.
    """
    found: dict[str, Spec] = {}
    for folder in folders:
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for entry in names:
            name = entry.lower()
            if len(found) < bounds.MAX_KERNELSPECS and name not in found and SPEC_NAME.match(name):
                spec = _read_spec(name, f"{folder}/{entry}")
                if spec is not None:
                    found[name] = spec
    ipykernel = importlib.util.find_spec("ipykernel") if FALLBACK_NAME not in found else None
    if ipykernel is None:
        return found
    resources = f"{os.path.dirname(ipykernel.origin or '')}/resources"
    native = Spec(FALLBACK_NAME, _FALLBACK, resources, _shown_files(resources))
    return {FALLBACK_NAME: native, **found}


def default_name(specs: dict[str, Spec]) -> str | None:
    """The kernelspec for those who name none: python3, else the first by name."""
    return FALLBACK_NAME if FALLBACK_NAME in specs else min(specs, default=None)


def read_resource(spec: Spec, file: str) -> str:
    """A resource file of a kernelspec in base64. Raises Refusal ``not_found``."""
    if file not in spec.resources:
        raise Refusal("not_found", f"kernelspec {spec.name} has no file {file!r}")
    content = _read_file(f"{spec.folder}/{file}", bounds.MAX_RESOURCE_BYTES)
    if content is None:
        raise Refusal("not_found", f"{file} of kernelspec {spec.name} cannot be read")
    return binascii.b2a_base64(content, newline=False).decode()


def _read_spec(name: str, folder: str) -> Spec | None:
    raw = _read_file(f"{folder}/kernel.json", bounds.MAX_SPEC_BYTES)
    try:
        content = json.loads(raw) if raw is not None else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    argv = content.get("argv")
    if not isinstance(argv, list) or not argv or not all(isinstance(a, str) and "\0" not in a for a in argv):
        return None
    return Spec(name, content, folder, _shown_files(folder))


def _shown_files(folder: str) -> tuple[str, ...]:
    """The resource files of a kernelspec that front ends ask for."""
    try:
        files = sorted(os.listdir(folder))[:100]
    except OSError:
        files = []
    shown = [file for file in files if file.startswith("logo-") or file in ("kernel.js", "kernel.css")]
    return tuple(file for file in shown if SPEC_NAME.match(file))


def _read_file(path: str, most_bytes: int) -> bytes | None:
    """A regular file's content, or None. A FIFO in its place does not block."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most_bytes:
            return None
        return file.read(most_bytes)
