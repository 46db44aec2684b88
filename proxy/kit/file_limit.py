"""Room for open files: each ZeroMQ connection takes two descriptors, its socket's and its inode's."""

from __future__ import annotations

import resource

MAX_FILES = 262_144
"""File descriptors asked for."""


def raise_file_limit(wanted: int = MAX_FILES) -> int:
    """Raise the soft limit of open files to `wanted`, or to the hard limit; return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ceiling = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < ceiling:
        resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))
        return ceiling
    return soft
