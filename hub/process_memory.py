"""Memory that the process has let go of goes back to the system.

glibc keeps what was freed: an arena for each thread, and blocks of up to 32 MB once one of that size was freed, as each
check of a password does (argon2id takes 19 MB). In a service that runs for months that is a third of its size.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # mallopt(3), malloc.h
_LARGE_BYTES = 1024 * 1024
_ARENAS = 2


def give_memory_back() -> None:
    """Tell the C library so; does nothing where it is not glibc. To be called before there are threads."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    for name, value in ((_M_TRIM_THRESHOLD, _LARGE_BYTES), (_M_MMAP_THRESHOLD, _LARGE_BYTES), (_M_ARENA_MAX, _ARENAS)):
        mallopt(name, value)
