"""Local kernelspecs whose kernels run on a hub: what ``jupyter kernelspec list`` shows, other programs may start."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyter_core.paths import jupyter_config_dir, jupyter_data_dir

from hub.errors import BadRequest, NotFound
from hub.remote.connection import RemoteHub

_NAME = re.compile(r"[a-z0-9._-]{1,100}\Z", re.IGNORECASE)


async def install_kernelspec(hub: RemoteHub, local_name: str, remote_name: str | None) -> Path:
    """Write a kernelspec `local_name` for the hub's kernelspec `remote_name` (None: its default).

    The token goes into a file of its own that only its owner may read. Gives the kernelspec's folder. Raises
    BadRequest for a poor name, NotFound when the hub has no such kernelspec.
    """
    if not _NAME.match(local_name):
        raise BadRequest("A kernelspec's name has only letters, digits, dots, dashes and underscores.")
    listed = await hub.get("api/kernelspecs")
    name = remote_name or listed["default"]
    if name not in listed["kernelspecs"]:
        known = ", ".join(sorted(listed["kernelspecs"]))
        raise NotFound(f"The hub has no kernelspec {name!r}. It has {known}.")
    secret = Path(jupyter_config_dir()) / "kernelhub" / f"{local_name}.token"
    _write_secret(secret, hub.token)
    folder = Path(jupyter_data_dir()) / "kernels" / local_name
    folder.mkdir(parents=True, exist_ok=True)
    spec = _spec(hub, name, secret, listed["kernelspecs"][name]["spec"])
    (folder / "kernel.json").write_text(json.dumps(spec, indent=1) + "\n")
    return folder


def _spec(hub: RemoteHub, name: str, secret: Path, remote: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "hub.cli", "attach", hub.user_url, "--token-file", str(secret)]
    return {
        "argv": [*command, "--new", name, "--as-kernel", "{connection_file}"],
        "display_name": f"{remote.get('display_name', name)} ({urlsplit(hub.root).netloc})",
        "language": remote.get("language", ""),
        "interrupt_mode": "signal",
        "metadata": remote.get("metadata", {}),
    }


def _write_secret(file: Path, token: str) -> None:
    file.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(token + "\n")
