"""hub.agent.messages, specs, cgroup, procfs, files: what is read and written, byte by byte."""

from __future__ import annotations

import ast
import hashlib
import hmac
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hub.agent
from hub.agent import bounds, install, messages, procfs, specs
from hub.agent.cgroup import Cgroup
from hub.agent.files import KernelFiles
from hub.agent.main import remove_leftovers
from hub.agent.wire import Refusal

KERNEL = "0f8b0f0e-0000-4000-8000-000000000001"

# ---- messages


def test_requests_are_signed_as_jupyter_asks() -> None:
    key = messages.new_key()
    message_id, frames = messages.build(key, "session", "kernel_info_request", {"a": 1})
    assert frames[0] == b"<IDS|MSG>" and len(frames) == 6
    assert frames[1].decode() == hmac.new(key, b"".join(frames[2:]), hashlib.sha256).hexdigest()
    header = json.loads(frames[2])
    assert header["msg_id"] == message_id and header["msg_type"] == "kernel_info_request"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", header["date"])


def test_a_status_is_read_with_its_parent() -> None:
    frames = [
        b"kernel.x.status",
        b"<IDS|MSG>",
        b"sig",
        b'{"msg_type": "status"}',
        b'{"msg_id": "p", "msg_type": "execute_request", "session": "s"}',
        b"{}",
        b'{"execution_state": "busy"}',
    ]
    parts = messages.parts_of(frames)
    assert parts is not None
    assert messages.read(parts) == messages.Received("status", "p", "execute_request", "s", "busy")


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"<IDS|MSG>"],
        [b"<IDS|MSG>", b"", b"{}", b"{}", b"{}", b"{}"],
        [b"<IDS|MSG>", b"", b"[]", b"{}", b"{}", b"{}"],
        [b"<IDS|MSG>", b"", b'{"msg_type": "status"}', b"[]", b"{}", b'{"execution_state": "idle"}'],
        [b"<IDS|MSG>", b"", b'{"msg_type": "status"}', b"{}", b"{}", b"[]"],
        [b"<IDS|MSG>", b"", b"[" * 50_000, b"{}", b"{}", b"{}"],
        [b"<IDS|MSG>", b"", b" " * (bounds.MAX_HEADER_BYTES + 1), b"{}", b"{}", b"{}"],
    ],
)
def test_what_is_no_message_is_ignored(frames: list[bytes]) -> None:
    parts = messages.parts_of(frames)
    assert parts is None or messages.read(parts) is None


@given(
    st.sampled_from(["status", "execute_input", "stream", "display_data"]),
    st.text(),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")]),
)
def test_what_passes_for_an_output_at_a_glance_is_one(
    kind: str, name: str, escaped: bool, separators: tuple[str, str]
) -> None:
    header = json.dumps({"msg_type": kind, "username": name}, ensure_ascii=escaped, separators=separators)
    try:
        frame = header.encode()
    except UnicodeEncodeError:
        return
    if messages.is_output(frame):
        assert kind in ("stream", "display_data")
    assert not messages.is_output(b'{"msg_type": "\\u0073tatus"}'), "a type that hides behind an escape"
    assert messages.is_output(b'{"msg_id": "1", "msg_type": "stream", "username": "ada", "version": "5.3"}')


# ---- kernelspecs


def write_spec(folder: Path, name: str, content: object) -> Path:
    target = folder / name
    target.mkdir(parents=True)
    (target / "kernel.json").write_text(json.dumps(content))
    return target


def test_the_first_folder_with_a_name_wins_and_broken_ones_are_left_out(tmp_path: Path) -> None:
    write_spec(tmp_path / "user", "r", {"argv": ["mine"], "display_name": "Mine"})
    write_spec(tmp_path / "system", "r", {"argv": ["theirs"]})
    write_spec(tmp_path / "system", "broken", {"argv": []})
    write_spec(tmp_path / "system", "numbers", {"argv": [1]})
    (tmp_path / "system" / "fifo").mkdir()
    os.mkfifo(tmp_path / "system" / "fifo" / "kernel.json")
    found = specs.find_specs([str(tmp_path / "user"), str(tmp_path / "gone"), str(tmp_path / "system")])
    assert found["r"].content["argv"] == ["mine"]
    assert set(found) == {"r", "python3"}, "python3 comes from the ipykernel that is installed here"
    assert specs.default_name(found) == "python3"


def test_placeholders_and_python_are_filled_in(tmp_path: Path) -> None:
    write_spec(tmp_path, "p", {"argv": ["python", "-f", "{connection_file}", "{resource_dir}/x", "{other}"]})
    spec = specs.find_specs([str(tmp_path)])["p"]
    assert spec.argv("/run/c.json") == [sys.executable, "-f", "/run/c.json", f"{tmp_path}/p/x", "{other}"]


def test_the_environment_of_a_kernelspec_may_refer_to_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE", "/opt")
    write_spec(tmp_path, "p", {"argv": ["x"], "env": {"A": "${BASE}/r:${NONE_SUCH}", "B": 1, "C=D": "x"}})
    assert specs.find_specs([str(tmp_path)])["p"].env() == {"A": "/opt/r:${NONE_SUCH}"}


def test_only_listed_resources_are_handed_out(tmp_path: Path) -> None:
    folder = write_spec(tmp_path, "p", {"argv": ["x"]})
    (folder / "logo-64x64.png").write_bytes(b"png")
    (folder / "secret").write_text("no")
    (folder / "logo-big.svg").write_bytes(b" " * (bounds.MAX_RESOURCE_BYTES + 1))
    spec = specs.find_specs([str(tmp_path)])["p"]
    assert spec.resources == ("logo-64x64.png", "logo-big.svg")
    assert specs.read_resource(spec, "logo-64x64.png") == "cG5n"
    for file in ("secret", "kernel.json", "../p/secret", "logo-big.svg"):
        with pytest.raises(Refusal):
            specs.read_resource(spec, file)


def test_kernelspecs_are_listed_as_jupyter_lists_them(tmp_path: Path) -> None:
    write_spec(tmp_path / "a", "IR", {"argv": ["R"]})
    write_spec(tmp_path / "b", "ir", {"argv": ["other"]})
    write_spec(tmp_path / "b", "bash", {"argv": ["bash"]})
    found = specs.find_specs([str(tmp_path / "a"), str(tmp_path / "b")])
    assert list(found) == ["python3", "ir", "bash"], "ipykernel's own first, then by folder"
    assert found["ir"].folder == str(tmp_path / "a" / "IR")
    assert found["python3"].folder.endswith("/ipykernel/resources")
    assert "logo-64x64.png" in found["python3"].resources


def test_the_folder_of_this_python_is_no_other_one_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/usr")
    assert specs.jupyter_folders({}, "/h")[1:] == ["/usr/local/share/jupyter/kernels", "/usr/share/jupyter/kernels"]
    monkeypatch.setattr(sys, "prefix", "/opt/conda")
    assert specs.jupyter_folders({}, "/h")[1] == "/opt/conda/share/jupyter/kernels"


def test_folders_are_searched_in_jupyters_order() -> None:
    folders = specs.jupyter_folders({"JUPYTER_PATH": "/a:relative:/b"}, "/home/u")
    assert folders[:3] == ["/a/kernels", "/b/kernels", "/home/u/.local/share/jupyter/kernels"]
    assert folders[-1] == "/usr/share/jupyter/kernels"


# ---- cgroup and proc


def make_files(root: Path, files: dict[str, str]) -> str:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return str(root)


def test_cgroup_version_2_is_read_at_the_root_of_a_container(tmp_path: Path) -> None:
    root = make_files(
        tmp_path,
        {
            "cgroup.controllers": "memory cpu",
            "memory.current": "1000\n",
            "memory.max": "2147483648\n",
            "memory.stat": "anon 5\ninactive_file 300\n",
            "memory.events": "low 0\noom 2\noom_kill 1\n",
            "cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
            "self": "0::/\n",
        },
    )
    cgroup = Cgroup(root, str(tmp_path / "self"))
    assert (cgroup.memory_bytes(), cgroup.memory_limit_bytes(), cgroup.free_bytes()) == (700, 2**31, 2**31 - 700)
    assert (cgroup.oom_kills(), cgroup.cpu_seconds()) == (1, 2.5)


def test_cgroup_version_1_is_read_beneath_its_own_path(tmp_path: Path) -> None:
    root = make_files(
        tmp_path,
        {
            "memory/memory.usage_in_bytes": "9",
            "memory/docker/x/memory.usage_in_bytes": "1000",
            "memory/docker/x/memory.limit_in_bytes": "9223372036854771712",
            "memory/docker/x/memory.stat": "total_inactive_file 1\n",
            "memory/docker/x/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n",
            "cpuacct/cpuacct.usage": "1500000000",
            "self": "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n",
        },
    )
    cgroup = Cgroup(root, str(tmp_path / "self"))
    assert (cgroup.memory_bytes(), cgroup.memory_limit_bytes(), cgroup.oom_kills()) == (999, None, 4)
    assert cgroup.cpu_seconds() == 1.5


def test_a_cgroup_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    cgroup = Cgroup(str(tmp_path / "none"), str(tmp_path / "none"))
    assert (cgroup.memory_bytes(), cgroup.memory_limit_bytes(), cgroup.cpu_seconds()) == (None, None, None)
    assert cgroup.oom_kills() == 0


def test_a_process_name_cannot_forge_its_numbers() -> None:
    fields = ["S", "1", "1", "77", *["0"] * 7, "10", "20", "3", "4", *["0"] * 6, "500", "0"]
    assert procfs.parse_stat("12 (a) 1 2 (b)) " + " ".join(fields)) == procfs.Stat(77, 37, 500)
    assert procfs.parse_stat("nonsense") is None


def test_our_own_session_uses_memory_and_time() -> None:
    own = procfs.own_rss_bytes()
    assert own > 1024**2
    assert procfs.usage_by_session()[os.getsid(0)].rss_bytes > 0.9 * own  # this process is part of it, and breathes


# ---- files


def test_a_connection_file_is_private_and_names_ipc_sockets(tmp_path: Path) -> None:
    files = KernelFiles(str(tmp_path), KERNEL, b"k" * 64)
    files.write_connection_file()
    path = tmp_path / f"{KERNEL}.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = json.loads(path.read_text())
    assert content["transport"] == "ipc" and content["ip"] == str(tmp_path / KERNEL)
    assert [content[f"{name}_port"] for name in ("shell", "iopub", "stdin", "control", "hb")] == [1, 2, 3, 4, 5]
    files.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_connection_file_that_is_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("kept")
    (tmp_path / f"{KERNEL}.json").symlink_to("target")
    KernelFiles(str(tmp_path), KERNEL, b"k").write_connection_file()
    assert (tmp_path / "target").read_text() == "kept"


def test_a_folder_too_deep_for_sockets_is_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        KernelFiles("/x" * 40, KERNEL, b"k")


def test_leftovers_of_an_earlier_run_are_removed_and_nothing_else(tmp_path: Path) -> None:
    ours = ["agent.sock", f"{KERNEL}-1", f"{KERNEL}.json", "spare-0a1b2c3d-5", "spare-0a1b2c3d.json"]
    others = ["notes.txt", "agent.sock.bak", f"{KERNEL}-6", "spare-x-1"]
    for name in ours + others:
        (tmp_path / name).touch()
    remove_leftovers(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


# ---- the program


def test_the_program_is_self_contained() -> None:
    """Nothing of the hub but the agent, and nothing but the standard library and pyzmq."""
    allowed = set(sys.stdlib_module_names) | {"zmq", "_sha2"}  # _sha2: of Python 3.12
    for path, source in install.program().items():
        for node in ast.walk(ast.parse(source)):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.startswith("hub.agent") or name.split(".")[0] in allowed, (path, name)


def test_the_program_is_python_3_9() -> None:
    for path, source in install.program().items():
        ast.parse(source, filename=path, feature_version=(3, 9))


def test_an_installed_program_has_its_start_and_its_package(tmp_path: Path) -> None:
    install.install(tmp_path)
    assert (tmp_path / "__main__.py").is_file() and (tmp_path / "hub" / "agent" / "main.py").is_file()
    assert re.fullmatch(r"[0-9a-f]{16}", install.version())
    assert install.command("py", "/f") == ["py", "-I", "-B", "/f"]
    assert Path(hub.agent.__file__).parent.name == "agent"


def test_an_image_without_pyzmq_is_told_so_in_one_sentence(tmp_path: Path) -> None:
    install.install(tmp_path)
    command = [sys.executable, "-I", "-S", "-B", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 3
    assert ended.stderr.count("\n") == 1 and "install ipykernel" in ended.stderr
