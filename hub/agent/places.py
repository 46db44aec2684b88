"""Where kernels and terminals start: a folder of the home; and the environment they get."""

from __future__ import annotations

import os


def resolve_cwd(home: str, wanted: str) -> str:
    """The folder `wanted`, relative to `home`, or its nearest parent that exists, or the home.

    Links are followed, and what leads out of the home becomes the home.
    """
    root = os.path.realpath(home)
    path = os.path.normpath(os.path.join(root, wanted.lstrip("/")))
    while path != root and not os.path.isdir(path):
        parent = os.path.dirname(path)
        if parent == path:
            return root
        path = parent
    real = os.path.realpath(path)
    return real if real == root or real.startswith(root.rstrip("/") + "/") else root


def child_environment(environ: dict[str, str], home: str) -> dict[str, str]:
    """What kernels and terminals inherit: everything but the agent's own variables."""
    inherited = {name: value for name, value in environ.items() if not name.startswith("KERNELHUB_")}
    return {**inherited, "HOME": home}
