"""Starts a program where the container engine cannot be reached: ``python -m hub.spawner.confine PLAN PROGRAM …``.

For a supervisor that is root and starts processes that face the network. The program keeps its uid, but

- it has only the capabilities that the plan names, for good (the bounding set), and cannot gain any;
- it has mounts of its own: /run, with the sockets of the engine, of systemd and of D-Bus, is an empty folder with a few
  things put back; /dev has no disks; everything is read-only but the data folder and the folders for temporary files.

Without CAP_SYS_ADMIN it cannot undo any of that, and with fewer capabilities than the engine and the spawner it may not
look into their /proc/<pid>/root, nor trace them (ptrace(2), "Ptrace access mode checking").

Where the machine refuses, the program is started as it is, and that is said: `kernelhub doctor` says it, too. It is
small and needs the standard library only, because each start of a hub waits for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import stat
import struct
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE = 0, 1, 3, 4, 5, 6, 7, 10
FOR_HUB = (CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE)
"""Reading and giving away homes, and being their users. Not DAC_READ_SEARCH: it opens files by handle, past mounts."""
FOR_PROXY = (DAC_OVERRIDE, NET_BIND_SERVICE)
"""Kernels' sockets belong to their users."""
SYS_ADMIN = 21

_RUN_STAYS = ("postgresql", "mysqld", "systemd/resolve", "resolvconf", "nscd")
"""What processes of the network need of /run: databases' sockets and the names of hosts."""
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "pts", "shm", "mqueue")
_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
_COVERED = ("/var/lib/docker", "/var/lib/containerd", "/var/lib/kubelet")
_PROC_READ_ONLY = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi", "timer_list", "latency_stats")
_ENGINES = ("/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock", "/run/containerd/containerd.sock")
TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - the program's own temporary files go there

_CLONE_NEWNS = 0x20000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_SLAVE = 2, 4, 8, 0x1000, 0x4000, 0x80000
_MOUNT_SETATTR, _AT_RECURSIVE, _ATTR_READ_ONLY = 442, 0x8000, 1  # numbers are the same on every architecture
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a program keeps: capabilities, folders it may write to, folders of those that it may only read.

    `engines` are the paths at which an engine may listen; `hidden` are folders that are empty for the program.
    """

    capabilities: list[int]
    writable: list[str]
    read_only: list[str]
    engines: list[str]
    hidden: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The plan as an argument."""
        return json.dumps(asdict(self))


def engine_sockets(*addresses: str | None) -> list[str]:
    """The paths at which engines listen: those of the addresses that are paths, and the usual ones."""
    named = [urlsplit(address).path for address in addresses if address and address.startswith("unix:")]
    return [*dict.fromkeys([*named, *_ENGINES])]


def confine(plan: Plan) -> None:
    """Make this process what the plan says. Raises OSError where the machine refuses; then it is half done."""
    _check(_libc.unshare(_CLONE_NEWNS), "a mount namespace")
    _mount(None, "/", _MS_REC | _MS_SLAVE)  # what the host mounts later, such as a home, still appears
    writable = [path for path in (*plan.writable, *TEMPORARY) if Path(path).is_dir()]
    kept = {
        path: os.open(path, os.O_PATH) for path in dict.fromkeys([*writable, *plan.read_only]) if Path(path).exists()
    }
    _cover_run(kept)
    _cover_devices()
    for covered in filter(os.path.isdir, _COVERED):
        _empty(covered)
    for path in writable:
        _mount(path, path, _MS_BIND | _MS_REC)
    for name in _PROC_READ_ONLY:
        if Path("/proc", name).exists():
            _mount(f"/proc/{name}", f"/proc/{name}", _MS_BIND | _MS_REC)
    _read_only("/", True, recursive=True)
    _read_only("/proc", False)
    for path in writable:
        _read_only(path, False, recursive=True)
    for path in plan.read_only:
        if Path(path).is_dir():
            _mount(path, path, _MS_BIND)
            _read_only(path, True)
    for hidden in filter(os.path.isdir, plan.hidden):
        _empty(hidden)
    _cover_engines(plan)
    for descriptor in kept.values():
        os.close(descriptor)
    _keep_capabilities(plan.capabilities)


def reachable(engines: list[str]) -> list[str]:
    """The engines' sockets that this process finds; one with no mode at all is what systemd puts in their place."""
    found = []
    for path in engines:
        with contextlib.suppress(OSError):
            mode = Path(path).stat().st_mode
            if stat.S_ISSOCK(mode) and stat.S_IMODE(mode):
                found.append(path)
    return found


def has_capability(number: int) -> bool:
    """Whether this process could ever have the capability."""
    return bool(_bounding() >> number & 1)


def _cover_run(kept: dict[str, int]) -> None:
    """An empty /run, with what is needed of it put back: that, and of the kept folders those that are beneath."""
    stays = {f"/run/{name}": os.open(f"/run/{name}", os.O_PATH) for name in _RUN_STAYS if Path("/run", name).exists()}
    places = ["/run", *(["/var/run"] if Path("/var/run").is_dir() and not Path("/var/run").is_symlink() else [])]
    for place in places:
        _empty(place)
    for path, descriptor in (stays | kept).items():
        if not Path(path).exists():
            Path(path).mkdir(parents=True)
            _mount(f"/proc/self/fd/{descriptor}", path, _MS_BIND | _MS_REC)
    for descriptor in stays.values():
        os.close(descriptor)


def _cover_devices() -> None:
    """A /dev without disks, memory and the like."""
    devices = {name: os.open(f"/dev/{name}", os.O_PATH) for name in _DEVICES if Path("/dev", name).exists()}
    _empty("/dev")
    for name, descriptor in devices.items():
        path, source = Path("/dev", name), f"/proc/self/fd/{descriptor}"
        if Path(source).is_dir():
            path.mkdir()
        else:
            path.touch()
        _mount(source, str(path), _MS_BIND | _MS_REC)
        os.close(descriptor)
    for name, target in _LINKS.items():
        Path("/dev", name).symlink_to(target)


def _cover_engines(plan: Plan) -> None:
    """Sockets of engines that are elsewhere: their folder is covered, so that a new socket there is, too.

    A folder that the program needs cannot be; then the socket itself is.
    """
    needed = [Path(path) for path in (*plan.writable, *TEMPORARY)]
    for path in filter(os.path.exists, plan.engines):
        folder = Path(path).resolve().parent
        if folder == Path("/") or any(each == folder or folder in each.parents for each in needed):
            _mount("/dev/null", path, _MS_BIND)
        else:
            _empty(str(folder))


def _keep_capabilities(kept: list[int]) -> None:
    """Keep these of the capabilities that this process has, and give up the others for good."""
    mask = sum(1 << number for number in kept) & _bounding()
    for number in range(64):
        if not mask >> number & 1 and _bounding() >> number & 1:
            _check(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), "fewer capabilities")
    header, low, high = struct.pack("Ii", _CAPABILITY_VERSION_3, 0), mask & 0xFFFFFFFF, mask >> 32
    _check(_libc.capset(header, struct.pack("6I", low, low, 0, high, high, 0)), "fewer capabilities")
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")


def _bounding() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return int(line.split()[1], 16)
    raise OSError("/proc/self/status does not tell the capabilities")


def _empty(path: str) -> None:
    """Cover a folder with an empty one."""
    _mount("tmpfs", path, _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, "tmpfs", "mode=755,size=1m")


def _mount(source: str | None, target: str, flags: int, kind: str | None = None, data: str | None = None) -> None:
    arguments = (None if text is None else os.fsencode(text) for text in (source, target, kind))
    source_bytes, target_bytes, kind_bytes = arguments
    options = None if data is None else os.fsencode(data)
    _check(_libc.mount(source_bytes, target_bytes, kind_bytes, ctypes.c_ulong(flags), options), f"mounting {target}")


def _read_only(path: str, wanted: bool, recursive: bool = False) -> None:
    """Make a mount, with `recursive` all beneath it, read-only or writable (mount_setattr(2), Linux 5.12)."""
    attributes = struct.pack("QQQQ", _ATTR_READ_ONLY if wanted else 0, 0 if wanted else _ATTR_READ_ONLY, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    number, size = ctypes.c_long(_MOUNT_SETATTR), ctypes.c_size_t(len(attributes))
    status = _libc.syscall(number, ctypes.c_int(-100), os.fsencode(path), ctypes.c_uint(flags), attributes, size)
    _check(status, f"making {path} {'read-only' if wanted else 'writable'}")


def _check(status: int, what: str) -> None:
    if status != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def main() -> None:
    """Become the program of the command line, confined by its plan where the machine allows it."""
    plan, program = Plan(**json.loads(sys.argv[1])), sys.argv[2:]
    why = "it is still there"
    try:
        confine(plan)
    except OSError as error:
        why = str(error.strerror or error)
        with contextlib.suppress(OSError):
            _keep_capabilities(plan.capabilities)
    if found := reachable(plan.engines):  # nothing to say where somebody else, such as systemd, has seen to it
        what = " ".join(program[-2:])
        sys.stderr.write(f"kernelhub: {what} runs with access to the container engine ({', '.join(found)}): {why}\n")
    with contextlib.suppress(OSError):
        os.chdir(Path.cwd())  # the folder beneath the new mounts
    os.execv(program[0], program)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
