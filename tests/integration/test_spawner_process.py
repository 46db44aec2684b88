"""The engine's socket belongs to the spawner alone: a whole hub of root, and somebody who has broken into it.

What the hub's process could do is tried by a program in its mount namespace, with its capabilities.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hub.spawner.confine import FOR_HUB, FOR_PROXY
from tests.conftest import missing
from tests.harness import hostile_hub as hostile
from tests.harness.client import HubClient, text_of
from tests.harness.running import RunningHub, eventually, running_hub
from tests.integration.images import datascience_image, require_engine

pytestmark = pytest.mark.docker
PASSWORD = "seven otters juggle lanterns"

LOOK = r"""
import ctypes, json, os, socket, subprocess, sys
hub, dockerd, spawner, data = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.setns(os.open(f"/proc/{hub}/ns/mnt", os.O_RDONLY), 0x20000) == 0
sys.path.insert(0, sys.argv[0])
from hub.spawner import confine
confine._keep_capabilities([*confine.FOR_HUB])
os.setuid(0)

def tried(work):
    try:
        return f"done: {work()}"
    except Exception as error:
        return f"{type(error).__name__} {getattr(error, 'errno', '')}"

def connected(path):
    socket.socket(socket.AF_UNIX).connect(path)

def written(path):
    with open(path, "a"):
        pass

def ran(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return "yes" if done.returncode == 0 else "no"

found = {
    "docker.sock": tried(lambda: connected("/run/docker.sock")),
    "var docker.sock": tried(lambda: connected("/var/run/docker.sock")),
    "containerd": tried(lambda: connected("/run/docker/containerd/containerd.sock")),
    "systemd": tried(lambda: connected("/run/systemd/private")),
    "root of dockerd": tried(lambda: connected(f"/proc/{dockerd}/root/run/docker.sock")),
    "root of the spawner": tried(lambda: connected(f"/proc/{spawner}/root/run/docker.sock")),
    "root of init": tried(lambda: os.listdir("/proc/1/root/run")),
    "cwd of dockerd": tried(lambda: os.listdir(f"/proc/{dockerd}/cwd")),
    "files of dockerd": tried(lambda: os.readlink(f"/proc/{dockerd}/fd/3")),
    "memory of the spawner": tried(lambda: open(f"/proc/{spawner}/mem", "rb")),
    "ptrace": "done" if libc.ptrace(16, int(spawner), 0, 0) == 0 else "refused",
    "pidfd_getfd": "done" if libc.syscall(438, os.pidfd_open(int(spawner)), 0, 0) >= 0 else "refused",
    "umount": "done" if libc.umount2(b"/run", 2) == 0 else "refused",
    "mount": "done" if libc.mount(b"none", b"/mnt", b"tmpfs", 0, None) == 0 else "refused",
    "setns": "done" if libc.setns(os.pidfd_open(1), 0x20000) == 0 else "refused",
    "disk": tried(lambda: os.mknod(data + "/disk", 0o60600, os.makedev(254, 0))),
    "disks": tried(lambda: [n for n in os.listdir("/dev") if n.startswith(("sd", "vd", "nvme", "mem", "kvm", "loop"))]),
    "core_pattern": tried(lambda: written("/proc/sys/kernel/core_pattern")),
    "cron": tried(lambda: written("/etc/kernelhub-test")),
    "the program itself": tried(lambda: written(confine.__file__)),
    "the record of users": tried(lambda: written(data + "/spawner/users.db")),
    "the spawner's socket": tried(lambda: os.unlink(data + "/spawner/spawner.sock")),
    "the spawner's folder": tried(lambda: os.rename(data + "/spawner", data + "/other")),
    "a new user namespace": ran("unshare", "--user", "--map-root-user", "--mount", "umount", "-l", "/run"),
    "the data folder": tried(lambda: os.unlink(data + "/written") if written(data + "/written") else "written"),
}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    if os.geteuid() != 0:
        missing("root", "the hub is confined by root alone")
    require_engine()
    datascience_image()
    with running_hub("docker") as made:
        made.cli("user", "add", "ada", "--password-stdin", input=PASSWORD)
        yield made


@pytest.fixture(scope="module")
def found(hub: RunningHub) -> dict[str, str]:
    """What a program in the hub's place can reach."""
    dockerd = next(process.pid for process in psutil.process_iter(["name"]) if process.info["name"] == "dockerd")
    pids = [str(hub.child("hub").pid), str(dockerd), str(hub.child("spawner").pid)]
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *pids, str(hub.data_dir)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, str] = json.loads(done.stdout)
    return answers


def capabilities(pid: int) -> list[set[int]]:
    status = Path(f"/proc/{pid}/status").read_text()
    masks = [
        int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("CapPrm", "CapEff", "CapBnd"))
    ]
    return [{number for number in range(64) if mask >> number & 1} for mask in masks]


def test_hub_and_proxy_have_few_capabilities_and_mounts_of_their_own(hub: RunningHub) -> None:
    own = Path("/proc/self/ns/mnt").stat().st_ino
    for name, kept in (("hub", FOR_HUB), ("proxy", FOR_PROXY)):
        pid = hub.child(name).pid
        assert capabilities(pid) == [set(kept)] * 3
        assert "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()
        assert Path(f"/proc/{pid}/ns/mnt").stat().st_ino != own
        assert not [each for each in Path(f"/proc/{pid}/fd").iterdir() if "docker" in str(each.readlink())]


def test_the_proxy_does_not_even_see_the_spawner(hub: RunningHub) -> None:
    for name, there in (("hub", True), ("proxy", False)):
        inside = Path(f"/proc/{hub.child(name).pid}/root{hub.data_dir}")
        assert (inside / "internal-token").exists()
        assert (inside / "spawner" / "spawner.sock").exists() is there


@pytest.mark.parametrize(
    "what",
    [
        "docker.sock",
        "var docker.sock",
        "containerd",
        "systemd",
        "root of dockerd",
        "root of the spawner",
        "root of init",
        "cwd of dockerd",
        "files of dockerd",
        "memory of the spawner",
        "ptrace",
        "pidfd_getfd",
        "umount",
        "mount",
        "setns",
        "disk",
        "core_pattern",
        "cron",
        "the program itself",
        "the record of users",
        "the spawner's socket",
        "the spawner's folder",
        "a new user namespace",
    ],
)
def test_who_has_broken_into_the_hub_does_not_reach(found: dict[str, str], what: str) -> None:
    assert "done" not in found[what] and found[what] != "yes", found[what]


def test_the_hub_sees_no_disks_and_can_work(found: dict[str, str]) -> None:
    assert found["disks"] == "done: []"
    assert found["the data folder"] == "done: written"


@pytest.mark.parametrize("what", [*hostile.HOSTILE, *hostile.GARBLED])
def test_the_spawner_refuses_a_hostile_hub(hub: RunningHub, what: str) -> None:
    socket_path, before = hub.data_dir / "spawner" / "spawner.sock", hub.log().count("refused ")
    if what in hostile.GARBLED:
        answer = hostile.say(socket_path, hostile.framed(hostile.GARBLED[what]))
    else:
        answer = hostile.ask(socket_path, hostile.HOSTILE[what])
    assert answer is not None and answer["code"] == "workspace.spawner_refused", answer
    eventually(lambda: hub.log().count("refused ") > before, what="the line in the spawner's log")


def test_another_hubs_container_is_left_alone(hub: RunningHub) -> None:
    """It has the name that one of ours would have, and another hub's label."""
    name = f"kernelhub-{hostile.WORKSPACE}"
    run = ["docker", "run", "-d", "--name", name, "--label", "kernelhub=0000000000000000", "--entrypoint", "sleep"]
    subprocess.run([*run, "kernelhub/datascience:latest", "60"], check=True, capture_output=True)
    try:
        socket_path = hub.data_dir / "spawner" / "spawner.sock"
        for kind, more in (("stop", {"grace_seconds": 0}), ("state", {})):
            answer = hostile.ask(socket_path, {"type": kind, "workspace_id": hostile.WORKSPACE, **more})
            assert answer is not None and "not one of this hub's" in answer["message"]
        running = subprocess.run(
            ["docker", "inspect", "-f", "{{.State.Running}}", name], capture_output=True, text=True
        )
        assert running.stdout.strip() == "true"
    finally:
        subprocess.run(["docker", "rm", "-f", name], capture_output=True)


def test_another_account_may_not_even_connect(hub: RunningHub) -> None:
    code = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    path = str(hub.data_dir / "spawner" / "spawner.sock")
    done = subprocess.run(
        ["python3", "-c", code, path], user=65534, group=65534, cwd="/", capture_output=True, text=True
    )
    assert "Permission" in done.stderr


async def test_a_spawner_that_is_killed_is_started_again_and_kernels_go_on(hub: RunningHub) -> None:
    async with HubClient(hub.address, "ada") as client:
        await client.sign_in(PASSWORD)
        session = await client.start_session()
        async with client.kernel(session["kernel"]["id"]) as kernel:
            await kernel.execute("x = 41")
            before = hub.child("spawner")
            before.send_signal(signal.SIGKILL)
            assert text_of(await kernel.execute("print(x + 1)")) == "42\n"
        eventually(lambda: hub.find_child("spawner", other_than=before.pid), what="another spawner")
        async with client.kernel(session["kernel"]["id"]) as kernel:
            assert text_of(await kernel.execute("print(x)")) == "41\n"
    hub.cli("user", "add", "eve", "--password-stdin", input=PASSWORD)
    async with HubClient(hub.address, "eve") as client:
        await client.sign_in(PASSWORD)
        session = await client.start_session()
        async with client.kernel(session["kernel"]["id"]) as kernel:
            assert text_of(await kernel.execute("print('new')")) == "new\n"


def test_the_spawner_is_small(hub: RunningHub) -> None:
    assert hub.child("spawner").memory_info().rss < 60 * 1024**2


@pytest.fixture
def separate(data_dir: Path) -> Iterator[Path]:
    """A spawner as a service of its own, for a hub of uid 65534; gives its socket."""
    if os.geteuid() != 0:
        missing("root", "another uid takes the hub's place")
    require_engine()
    datascience_image()
    folder = data_dir / "apart"
    for path in (data_dir, data_dir / "homes" / hostile.USER, data_dir / "run" / hostile.WORKSPACE):
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, 65534, 65534)
    settings = {"SEPARATE": "true", "FOLDER": str(folder), "HUB_UID": "65534"}
    environment = {f"KERNELHUB_SPAWNING__{name}": value for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "hub.cli", "spawner", "--data-dir", str(data_dir)], env={**os.environ, **environment}
    )
    eventually((folder / "spawner.sock").exists, what="the spawner's socket")
    yield folder / "spawner.sock"
    process.terminate()
    assert process.wait(10) == 0


def test_a_spawner_of_its_own_serves_the_hubs_account_and_nobody_else(separate: Path) -> None:
    as_hub = {"user": 65534, "group": 65534, "cwd": "/", "capture_output": True, "text": True}
    code = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); " + (
        "s.sendall(bytes.fromhex(sys.argv[2])); print(s.makefile('rb').read()[4:].decode())"
    )

    def say(**request: object) -> dict[str, str]:
        sent = hostile.framed(json.dumps(request).encode()).hex()
        done = subprocess.run(["python3", "-c", code, str(separate), sent], **as_hub)
        answer: dict[str, str] = json.loads(done.stdout)
        return answer

    refused = hostile.ask(separate, {"type": "ping"})
    assert refused is not None and "only the hub's account" in refused["message"]
    limits = {"memory_bytes": 2 * 1024**3, "cpus": 2.0, "pids": 512}
    start = {**hostile.START, "profile": "datascience", "limits": limits}
    assert "do not agree" in say(**start)["message"]
    try:
        container_id = say(**{**start, "number": None})["text"]
        inspected = subprocess.run(["docker", "inspect", container_id], capture_output=True, text=True, check=True)
        assert json.loads(inspected.stdout)[0]["Config"]["User"] == "65534:65534"
    finally:
        assert say(type="stop", workspace_id=hostile.WORKSPACE, grace_seconds=0) == {"type": "text"}
