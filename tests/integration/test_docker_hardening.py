"""What a user's code meets inside a container, tried from inside one that the spawner made (SECURITY 2.1, 2.6)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hub.domain.workspace import Limits
from hub.errors import NoKernels, StartFailed
from hub.spawn.protocol import Presence, WorkspaceSpec
from hub.spawn.spec import container_name
from proxy.kit.agent_client import AgentClient
from tests.contract.spawner_worlds import World, docker_world, remote_world
from tests.integration.images import datascience_image, minimal_image, require_engine

pytestmark = pytest.mark.docker

PROBE = Path(__file__).with_name("probe_inside.py")
BARE = "kernelhub-test/bare:latest"
EMPTY_TAR = bytes(10240)
NO_BUILDKIT = {**os.environ, "DOCKER_BUILDKIT": "0"}


def inside(spec: WorkspaceSpec, *command: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in the workspace's container as its user's code would be run."""
    docker = ["docker", "exec", "-i", container_name(spec.workspace_id), *command]
    return subprocess.run(docker, input=stdin, capture_output=True, text=True, timeout=120)


def python_inside(spec: WorkspaceSpec, code: str, *arguments: str) -> str:
    done = inside(spec, "python3", "-", *arguments, stdin=code)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def probed() -> Iterator[dict[str, str]]:
    """What the probe found in one container without a network, which a spawner's process would make."""
    image = minimal_image()
    folder = Path(tempfile.mkdtemp(prefix="kh-", dir="/tmp"))

    async def probe() -> dict[str, str]:
        async with running(await remote_world(folder, image, stub=False)) as spec:
            found: dict[str, str] = json.loads(python_inside(spec, PROBE.read_text()))
            return found

    yield asyncio.run(probe())
    shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def running(world: World, **changes: object) -> AsyncIterator[WorkspaceSpec]:
    """A workspace with the real agent, stopped at the end."""
    spec = replace(world.spec(), agent_folder=world.folders.prepare_agent(), **changes)
    try:
        await world.spawner.start(spec)
        yield spec
    finally:
        await world.clean()


@pytest.mark.parametrize(
    "what",
    ["io_uring_setup", "keyctl", "bpf", "unshare", "mount", "userfaultfd", "vsock", "af_alg", "packet_socket"],
)
def test_what_reaches_deep_into_the_kernel_is_refused(probed: dict[str, str], what: str) -> None:
    assert probed[what] == "EPERM"


def test_the_agent_cannot_be_traced(probed: dict[str, str]) -> None:
    assert probed["ptrace_pid_1"] == "EPERM"


def test_the_root_is_read_only_and_so_are_the_accounts_and_the_agent(probed: dict[str, str]) -> None:
    assert (probed["write_root"], probed["write_etc"], probed["write_agent"]) == ("EROFS", "EROFS", "EROFS")
    assert probed["write_run"] == "EACCES"


def test_code_has_no_capability_and_cannot_gain_one(probed: dict[str, str]) -> None:
    assert int(probed["capabilities"], 16) == 0
    assert int(probed["bounding_capabilities"], 16) == 0
    assert (probed["no_new_privileges"], probed["seccomp"]) == ("1", "2")


def test_code_runs_as_the_users_own_uid_which_has_a_name(probed: dict[str, str]) -> None:
    own = ("200001", "100") if os.geteuid() == 0 else (str(os.geteuid()), str(os.getegid()))
    assert (probed["uid"], probed["gid"]) == own
    assert (probed["name"], probed["home"]) == ("ada", "/home/jovyan")


def test_the_network_none_has_no_interface_but_its_own_loopback(probed: dict[str, str]) -> None:
    assert probed["interfaces"] == "lo"


def test_processes_are_limited(probed: dict[str, str]) -> None:
    assert probed["forks"] == "EAGAIN"


def test_open_files_are_limited_and_nothing_dumps_core(probed: dict[str, str]) -> None:
    assert (probed["open_files"], probed["core_bytes"]) == ("4096", "0")


def test_what_people_need_works(probed: dict[str, str]) -> None:
    assert (probed["thread"], probed["subprocess"], probed["shared_memory"]) == ("1", "ran", "ok")
    assert (probed["unix_socket"], probed["run_in_tmp"], probed["write_home"]) == ("ok", "ran", "1")
    assert probed["path"].startswith("/home/jovyan/.local/bin:")


async def test_too_much_memory_ends_the_process_and_not_the_container(data_dir: Path) -> None:
    world = docker_world(data_dir, minimal_image())
    async with running(world, limits=Limits(128 * 1024**2, 1.0, 64), spare_kernels=0) as spec:
        greedy = inside(spec, "python3", "-c", "open('/proc/self/oom_score_adj','w').write('1000'); b'x' * 400_000_000")
        assert greedy.returncode == 137
        assert (await world.spawner.state(spec.workspace_id)).presence is Presence.RUNNING


async def test_numeric_libraries_work_and_use_as_many_threads_as_cpus(data_dir: Path) -> None:
    world = docker_world(data_dir, datascience_image())
    async with running(world, limits=Limits(1024**3, 1.5, 128), spare_kernels=0) as spec:
        code = (
            "import numpy, pandas, scipy.linalg, sklearn, matplotlib, os\n"
            "numpy.linalg.svd(numpy.random.rand(300, 300))\n"
            "print(os.environ['OMP_NUM_THREADS'])"
        )
        assert python_inside(spec, code).strip() == "2"


async def test_what_pip_installs_is_in_the_home_and_there_next_time(data_dir: Path) -> None:
    world = docker_world(data_dir, minimal_image())
    pip_settings = {name: value for name, value in os.environ.items() if name in ("PIP_INDEX_URL", "PIP_TRUSTED_HOST")}
    async with running(world, network="internet", environment=pip_settings, spare_kernels=0) as spec:
        installed = inside(spec, "pip", "install", "--quiet", "iniconfig")
        assert installed.returncode == 0, installed.stderr
        await world.spawner.stop(spec.workspace_id)
        await world.spawner.start(spec)
        where = python_inside(spec, "import iniconfig; print(iniconfig.__file__)")
        assert where.startswith("/home/jovyan/.local/lib/python3")
        assert next(spec.home_folder.glob(".local/lib/python3*/site-packages/iniconfig")).is_dir()


async def test_containers_on_the_network_internet_cannot_reach_each_other(data_dir: Path) -> None:
    world = docker_world(data_dir, minimal_image())
    one, other = (
        replace(world.spec(), agent_folder=world.folders.prepare_agent(), network="internet", spare_kernels=0)
        for _ in range(2)
    )
    try:
        await world.spawner.start(one)
        await world.spawner.start(other)
        listen = "import socket, sys; s = socket.create_server(('', 7777)); print('up', flush=True); s.accept()"
        server = subprocess.Popen(
            ["docker", "exec", container_name(one.workspace_id), "python3", "-c", listen], stdout=subprocess.PIPE
        )
        assert server.stdout is not None and server.stdout.readline() == b"up\n"
        address = python_inside(one, "import socket; print(socket.gethostbyname(socket.gethostname()))").strip()
        reach = (
            "import socket, sys\n"
            "try: socket.create_connection((sys.argv[1], 7777), 1); print('reached')\n"
            "except OSError: print('refused')"
        )
        assert python_inside(other, reach, address).strip() == "refused"
        assert python_inside(one, reach, address).strip() == "reached"
    finally:
        await world.clean()
        server.wait(30)


async def test_an_image_without_python_is_said_to_be_unable_to_run_kernels(data_dir: Path) -> None:
    require_engine()
    made = subprocess.run(["docker", "import", "-", BARE], input=EMPTY_TAR, capture_output=True, timeout=60)
    assert made.returncode == 0, made.stderr
    await assert_no_kernels(docker_world(data_dir, BARE), {})


async def test_an_image_without_pyzmq_is_said_to_be_unable_to_run_kernels(data_dir: Path) -> None:
    words = "ModuleNotFoundError: No module named 'zmq'"
    await assert_no_kernels(docker_world(data_dir, minimal_image()), {"STUB_FAILS": words})


async def assert_no_kernels(world: World, environment: dict[str, str]) -> None:
    spec = replace(world.spec(), environment=environment)
    with pytest.raises(NoKernels, match="pip install ipykernel"):
        await world.spawner.start(spec)
    assert (await world.spawner.state(spec.workspace_id)).presence is Presence.ABSENT
    await world.clean()


async def test_an_image_shaped_like_the_jupyter_stacks_runs_unchanged(data_dir: Path) -> None:
    """Python in /opt/conda at the head of PATH, user 1000 of group 100, an entry point that is not ours."""
    dockerfile = f"""
FROM {minimal_image()}
USER 0:0
RUN python3 -m venv --system-site-packages --without-pip /opt/conda
ENV PATH=/opt/conda/bin:$PATH CONDA_DIR=/opt/conda NB_USER=jovyan NB_UID=1000 NB_GID=100 HOME=/home/jovyan
ENTRYPOINT ["/bin/false"]
CMD ["start-notebook.py"]
USER 1000
"""
    tag = "kernelhub-test/stacks:latest"
    build = ["docker", "build", "--quiet", "--tag", tag, "-"]
    made = subprocess.run(build, input=dockerfile, capture_output=True, text=True, timeout=120, env=NO_BUILDKIT)
    assert made.returncode == 0, made.stderr
    world = docker_world(data_dir, tag)
    async with running(world, spare_kernels=0) as spec:
        agent = AgentClient(spec.run_folder, spec.uid)
        hello = await agent.hello()
        await agent.close()
        assert hello.default_kernel == "python3"
        command = inside(spec, "cat", "/proc/1/cmdline").stdout.split("\0")
        assert command[0] == "python3" and command[-2] == "/opt/kernelhub/agent"
        code = "import os, shutil, sys; print(shutil.which('python3'), sys.prefix, os.environ['NB_USER'])"
        assert python_inside(spec, code).split() == ["/opt/conda/bin/python3", "/opt/conda", "jovyan"]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"gpus": 1}, "none to give"), ({"gpus": ("GPU-0",)}, "none to give"), ({"runtime": "nope"}, "the runtime")],
)
async def test_an_engine_without_the_gpus_or_the_runtime_asked_for_says_so(
    data_dir: Path, change: dict[str, object], words: str
) -> None:
    world = docker_world(data_dir, minimal_image())
    with pytest.raises(StartFailed, match=words):
        async with running(world, **change):
            pass
    assert await docker_world(data_dir, minimal_image()).spawner.inventory() == []
