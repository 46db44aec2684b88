"""How a child process gives up what it does not need, before it reads what a stranger wrote."""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP_RUNNING = 0x1 | 0x40
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_libc = ctypes.CDLL(None, use_errno=True)


def leave_network() -> None:
    """Move this process into a network of its own, in which there is nobody but itself at 127.0.0.1.

    Without root, or where root is confined, that needs user namespaces. Raises OSError where the system does not allow
    it; PermissionError tells a confined root to `become` a user first.
    """
    is_root, uid, gid = os.geteuid() == 0, os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWNET if is_root else _CLONE_NEWNET | _CLONE_NEWUSER) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    if not is_root:
        _libc.prctl(_PR_SET_DUMPABLE, 1)  # a process that was root may not write its own files in /proc otherwise
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            Path("/proc/self", name).write_bytes(text.encode())
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP_RUNNING))


def become(uid: int, gid: int) -> None:
    """Be this user from now on, with no other group. Raises OSError unless this process is root."""
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def limit(*, cpu_seconds: int, data_bytes: int, file_bytes: int) -> None:
    """Bound this process and each of its children: processor time, memory, size of a file; no core dumps."""
    for kind, most in (
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_DATA, data_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def die_with_parent() -> None:
    """Be killed when the parent ends. For the time between fork and exec; a change of user forgets it."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
