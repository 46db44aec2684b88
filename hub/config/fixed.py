"""Where a setting that is fixed comes from, in words for who wants to change it."""

from __future__ import annotations

import os

from hub.config import Settings


def source_of(settings: Settings, *path: str) -> str:
    """What sets ``path`` (a setting, or a key of a section): an environment variable, the file, or the command line."""
    prefix = "KERNELHUB_"
    wanted = [prefix + "__".join(path[: count + 1]).upper() for count in range(len(path))]
    for name in os.environ:
        upper = name.upper()
        if upper in wanted or upper.startswith(wanted[-1] + "__"):
            return f"the environment ({name})"
    if settings.config_file is not None:
        return f"the configuration file ({settings.config_file})"
    return "the command line"
