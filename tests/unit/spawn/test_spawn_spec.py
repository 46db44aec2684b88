"""hub.spawn.spec: what the engine is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub.domain.ids import UserId, WorkspaceId
from hub.domain.workspace import Limits
from hub.spawn import spec as specs
from hub.spawn.protocol import WorkspaceSpec

SPEC = WorkspaceSpec(
    workspace_id=WorkspaceId("w" * 26),
    user_id=UserId("u" * 26),
    image="some/image:1",
    limits=Limits(memory_bytes=2**30, cpus=1.5, pids=100),
    uid=200_007,
    gid=100,
    home_folder=Path("/data/homes/u"),
    home="/home/jovyan",
    run_folder=Path("/data/run/w"),
    agent_folder=Path("/data/agent/1"),
    user_name="ada",
)


def config(spec: WorkspaceSpec) -> dict[str, Any]:
    variables = specs.environment(spec, {})
    return specs.container_config(
        spec,
        hub_id="hub",
        command=["python3", "/agent"],
        variables=variables,
        accounts_folder=Path("/data/accounts/w"),
        seccomp="{}",
    )


def test_the_container_has_no_privilege_and_a_read_only_root() -> None:
    host = config(SPEC)["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges", "seccomp={}"]
    assert (host["ReadonlyRootfs"], host["Privileged"], host["Init"]) == (True, False, False)
    assert host["RestartPolicy"] == {"Name": "no"}


def test_limits_hold_for_memory_with_swap_processes_and_cpu() -> None:
    host = config(SPEC)["HostConfig"]
    assert (host["Memory"], host["MemorySwap"]) == (2**30, 2**30)
    assert (host["PidsLimit"], host["NanoCpus"]) == (100, 1_500_000_000)


def test_no_limit_is_the_engines_zero() -> None:
    host = config(replace(SPEC, limits=Limits(None, None, None)))["HostConfig"]
    assert (host["Memory"], host["MemorySwap"], host["PidsLimit"], host["NanoCpus"]) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("gpus", "asked"), [(2, {"Count": 2}), (-1, {"Count": -1}), (("GPU-1", "GPU-2"), {"DeviceIDs": ["GPU-1", "GPU-2"]})]
)
def test_gpus_are_asked_for_by_number_or_by_id(gpus: int | tuple[str, ...], asked: dict[str, object]) -> None:
    (request,) = config(replace(SPEC, gpus=gpus))["HostConfig"]["DeviceRequests"]
    assert request == {"Driver": "", "Capabilities": [["gpu"]], "Options": {}, **asked}


def test_gpus_and_a_runtime_are_asked_for_by_those_alone_whose_profile_does() -> None:
    assert not {"DeviceRequests", "Runtime"} & config(SPEC)["HostConfig"].keys()
    assert config(replace(SPEC, runtime="runsc"))["HostConfig"]["Runtime"] == "runsc"


def test_tmp_may_execute_and_has_its_size() -> None:
    tmpfs = config(SPEC)["HostConfig"]["Tmpfs"]
    assert "exec" in tmpfs["/tmp"].split(",")
    assert f"size={SPEC.tmp_bytes}" in tmpfs["/tmp"].split(",")
    assert "noexec" in tmpfs["/run"].split(",")


def test_only_home_and_run_folder_are_writable_mounts() -> None:
    mounts = config(SPEC)["HostConfig"]["Mounts"]
    writable = {mount["Target"]: mount["Source"] for mount in mounts if not mount["ReadOnly"]}
    assert writable == {"/home/jovyan": "/data/homes/u", "/run/kernelhub": "/data/run/w"}
    assert {mount["Type"] for mount in mounts} == {"bind"}


def test_names_and_labels_derive_from_ids() -> None:
    made = config(replace(SPEC, user_name="../evil name"))
    assert specs.container_name(SPEC.workspace_id) == "kernelhub-" + "w" * 26
    assert made["Labels"] == {
        "kernelhub": "hub",
        "kernelhub.workspace": SPEC.workspace_id,
        "kernelhub.user": SPEC.user_id,
    }
    assert "evil" not in str(made)


@pytest.mark.parametrize(("network", "mode"), [("none", "none"), ("internet", "kernelhub-internet")])
def test_the_network_is_none_or_our_own_bridge(network: str, mode: str) -> None:
    assert config(replace(SPEC, network=network))["HostConfig"]["NetworkMode"] == mode


def test_the_images_path_stays_behind_the_users_commands() -> None:
    variables = specs.environment(SPEC, {"PATH": "/opt/conda/bin:/usr/bin", "HOME": "/root"})
    assert variables["PATH"] == "/home/jovyan/.local/bin:/opt/conda/bin:/usr/bin"
    assert variables["HOME"] == "/home/jovyan"


def test_a_profiles_variables_win_but_do_not_move_the_home() -> None:
    spec = replace(SPEC, environment={"OMP_NUM_THREADS": "7", "HOME": "/elsewhere", "X": "y"})
    variables = specs.environment(spec, {})
    assert (variables["OMP_NUM_THREADS"], variables["HOME"], variables["X"]) == ("7", "/home/jovyan", "y")


def test_numeric_libraries_start_as_many_threads_as_there_are_cpus() -> None:
    assert specs.environment(SPEC, {})["OMP_NUM_THREADS"] == "2"
    assert "OMP_NUM_THREADS" not in specs.environment(replace(SPEC, limits=Limits(None, None, None)), {})
    assert "OMP_NUM_THREADS" not in specs.environment(SPEC, {"OMP_NUM_THREADS": "3"})


@pytest.mark.parametrize(
    ("name", "account"),
    [
        ("ada", "ada"),
        ("ada.l@example.org", "jovyan"),
        ("root", "jovyan"),
        ("nobody", "jovyan"),
        ("9lives", "jovyan"),
        ("a" * 40, "jovyan"),
        ("a:0:0", "jovyan"),
    ],
)
def test_the_account_inside_is_the_users_name_where_unix_allows_it(name: str, account: str) -> None:
    assert specs.account_name(name) == account


def test_the_uid_and_gid_have_names() -> None:
    assert "ada:x:200007:100:ada:/home/jovyan:/bin/bash\n" in specs.passwd_text(SPEC)
    assert "users:x:100:\n" in specs.group_text(SPEC)
    assert "ada:x:4321:\n" in specs.group_text(replace(SPEC, gid=4321))
