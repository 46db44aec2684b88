"""Run inside a container: tries what must not work there and what must; prints what happened, as JSON."""

import ctypes
import errno
import json
import mmap
import os
import pwd
import resource
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
SYSCALLS = {"io_uring_setup": 425, "keyctl": 250, "bpf": 321, "unshare": 272, "mount": 165, "userfaultfd": 323}
ARM = {"io_uring_setup": 425, "keyctl": 219, "bpf": 280, "unshare": 97, "mount": 40, "userfaultfd": 282}
CLONE_NEWUSER = 0x10000000


def attempt(action):
    try:
        return action() or "ok"
    except OSError as error:
        return errno.errorcode[error.errno]


def system_call(number):
    if libc.syscall(number, CLONE_NEWUSER, 0, 0, 0, 0) < 0:
        return errno.errorcode[ctypes.get_errno()]
    return "ok"


def thread():
    done = []
    worker = threading.Thread(target=lambda: done.append(1))
    worker.start()
    worker.join()
    return f"{len(done)}"


def run_in_tmp():
    script = Path("/tmp/script")
    script.write_text("#!/bin/sh\necho ran\n")
    script.chmod(0o755)
    return subprocess.run([script], capture_output=True, text=True, check=True).stdout.strip()


def fork_until_refused():
    children = []
    try:
        while len(children) < 5000:
            pid = os.fork()
            if pid == 0:
                signal.pause()
            children.append(pid)
        return "no limit"
    finally:
        for pid in children:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def ptrace_pid_1():
    if libc.ptrace(16, 1, 0, 0) < 0:
        return errno.errorcode[ctypes.get_errno()]
    return "ok"


def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(field + ":"))


numbers = SYSCALLS if os.uname().machine == "x86_64" else ARM
PROBES = {
    **{name: lambda number=number: system_call(number) for name, number in numbers.items()},
    "vsock": lambda: socket.socket(40, socket.SOCK_STREAM).close(),
    "af_alg": lambda: socket.socket(38, socket.SOCK_SEQPACKET).close(),
    "packet_socket": lambda: socket.socket(17, socket.SOCK_RAW).close(),
    "unix_socket": lambda: socket.socketpair()[0].close(),
    "ptrace_pid_1": ptrace_pid_1,
    "thread": thread,
    "subprocess": lambda: subprocess.run(["echo", "ran"], capture_output=True, text=True).stdout.strip(),
    "shared_memory": lambda: mmap.mmap(-1, 4096).close(),
    "write_root": lambda: Path("/new").write_text("x"),
    "write_etc": lambda: Path("/etc/passwd").write_text("x"),
    "write_agent": lambda: Path("/opt/kernelhub/agent/__main__.py").write_text("x"),
    "write_run": lambda: Path("/run/x").write_text("x"),
    "write_home": lambda: str(Path.home().joinpath("x").write_text("x")),
    "run_in_tmp": run_in_tmp,
    "uid": lambda: str(os.getuid()),
    "gid": lambda: str(os.getgid()),
    "name": lambda: pwd.getpwuid(os.getuid()).pw_name,
    "home": lambda: str(Path.home()),
    "capabilities": lambda: status("CapEff"),
    "bounding_capabilities": lambda: status("CapBnd"),
    "no_new_privileges": lambda: status("NoNewPrivs"),
    "seccomp": lambda: status("Seccomp"),
    "interfaces": lambda: ",".join(name for _, name in socket.if_nameindex()),
    "open_files": lambda: str(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
    "core_bytes": lambda: str(resource.getrlimit(resource.RLIMIT_CORE)[1]),
    "path": lambda: os.environ["PATH"],
    "forks": fork_until_refused,
}
json.dump({name: attempt(PROBES[name]) for name in sys.argv[1:] or PROBES}, sys.stdout)
