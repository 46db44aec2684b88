"""The Linux system calls that Python has no function for, by ctypes. No decisions here.

All of them act on the calling thread alone: the raw calls behind setfsuid, setgroups and capset never
concern other threads (the C library's `setgroups` would change all of them, so it is not used).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import NewType

from hub.errors import Unavailable

Capabilities = NewType("Capabilities", bytes)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

_OPENAT2 = 437  # the same on every architecture
_SETGROUPS = {"x86_64": 116, "aarch64": 159, "riscv64": 159, "s390x": 206, "ppc64le": 81, "loongarch64": 159}
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
_RENAME_NOREPLACE = 1
_CAPABILITY_VERSION_3 = 0x20080522
_AT_FDCWD = -100
_NOBODY = ctypes.c_long(-1)  # an invalid id: the call changes nothing and gives the present one
_ATTEMPTS = 64


class KernelTooOld(Unavailable):
    """Linux before 5.6: there is no openat2, so files cannot be opened beneath a folder for certain."""


class IdentityRefused(Unavailable):
    """The hub runs as root but without the right to act as its users; nothing was read or written."""


def _call(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def openat2_beneath(folder_fd: int, path: bytes, flags: int, mode: int = 0) -> int:
    """Open `path` below the folder; neither ``..``, an absolute path nor any link leads out of it.

    Links that stay beneath are followed. Returns a descriptor that the caller owns. Raises OSError: EXDEV
    when the path leads out; EAGAIN when folders were moved under the kernel's hands at every attempt.
    See openat2(2), RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS.
    """
    how = struct.pack("QQQ", flags, mode, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    for attempt in range(_ATTEMPTS):
        try:
            return _call(_OPENAT2, ctypes.c_long(folder_fd), path, how, ctypes.c_long(len(how)))
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EINTR) or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def require_openat2() -> None:
    """Raise KernelTooOld unless the kernel (and any seccomp filter around us) allows openat2."""
    try:
        os.close(openat2_beneath(_AT_FDCWD, b".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError as error:
        raise KernelTooOld(
            f"This kernel ({platform.release()}) does not let the hub call openat2, without which users' files "
            "cannot be served safely: Linux 5.6 or newer is needed, and a seccomp filter must allow the call."
        ) from error


def rename_new(old_folder_fd: int, old: bytes, new_folder_fd: int, new: bytes) -> None:
    """Rename, unless there is something of the new name already: then FileExistsError, atomically.

    Raises OSError as renameat2(2): EINVAL also where the file system cannot do it.
    """
    status = _libc.renameat2(old_folder_fd, old, new_folder_fd, new, ctypes.c_uint(_RENAME_NOREPLACE))
    if status < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def set_file_identity(uid: int, gid: int) -> None:
    """Make the calling thread's file access happen as `uid` and `gid`.

    Raises IdentityRefused when that did not take effect: the calls themselves never report an error.
    """
    _libc.setfsgid(ctypes.c_long(gid))
    _libc.setfsuid(ctypes.c_long(uid))
    if file_identity() != (uid, gid):
        raise IdentityRefused(f"The hub cannot access files as {uid}:{gid}: it lacks CAP_SETUID or CAP_SETGID.")


def file_identity() -> tuple[int, int]:
    """The uid and gid as which the calling thread accesses files."""
    return _libc.setfsuid(_NOBODY), _libc.setfsgid(_NOBODY)


def leave_groups() -> None:
    """Empty the calling thread's supplementary groups. Raises OSError without CAP_SETGID."""
    machine = platform.machine()
    if machine not in _SETGROUPS:
        raise OSError(errno.ENOSYS, f"the number of the setgroups call on {machine} is not known")
    _call(_SETGROUPS[machine], ctypes.c_long(0), None)


def capabilities() -> Capabilities:
    """The calling thread's capabilities, to be given back to `set_capabilities`."""
    data = ctypes.create_string_buffer(24)
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    if _libc.capget(header, data) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return Capabilities(data.raw)


def set_capabilities(saved: Capabilities) -> None:
    """Set the calling thread's capabilities to `saved`, or less."""
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    if _libc.capset(header, saved) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def without_effect(saved: Capabilities) -> Capabilities:
    """The same capabilities, permitted still, but none of them effective."""
    words = list(struct.unpack("6I", saved))
    words[0] = words[3] = 0
    return Capabilities(struct.pack("6I", *words))
