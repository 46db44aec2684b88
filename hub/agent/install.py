"""For spawners, on the host: which files the agent's program consists of, and how it is started.

The installed folder holds ``__main__.py`` and the package ``hub/agent`` beneath it. Python puts a folder that
it runs at the head of its path; with ``-I`` it adds neither the current folder nor the user's packages
nor PYTHONPATH, so nothing in the user's home can stand in for a module of the agent.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

_SOURCE = Path(__file__).parent


def program() -> dict[str, bytes]:
    """The files of the program: path inside the installed folder → content."""
    modules = {
        f"hub/agent/{path.relative_to(_SOURCE)}": path.read_bytes()
        for folder in (_SOURCE, _SOURCE / "programs")
        for path in sorted(folder.glob("*.py"))
    }
    return {"__main__.py": modules["hub/agent/__main__.py"], "hub/__init__.py": b"", **modules}


def version() -> str:
    """A name for exactly this program: 16 hexadecimal characters of its digest."""
    digest = hashlib.sha256()
    for path, content in sorted(program().items()):
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def command(python: str = "python3", folder: str = "/opt/kernelhub/agent") -> list[str]:
    """The command line that starts the program installed in `folder`, with the image's `python`."""
    return [python, "-I", "-B", folder]


def install(folder: Path) -> None:
    """Write the program to `folder`, which is made; files that are there already are replaced."""
    for path, content in program().items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
