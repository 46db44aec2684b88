"""hub.agent.files: kernels find their sockets' names, and everybody finds their sockets."""

from __future__ import annotations

import json
import socket
import stat
from pathlib import Path

import pytest

from hub.agent.files import NUMBERS, KernelFiles

KERNEL = "6becba4c-70ea-4eda-93de-b1e7b6932fbc"


def connection(files: KernelFiles) -> dict[str, object]:
    content: dict[str, object] = json.loads(Path(files.connection_file).read_text())
    return content


def bind(path: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    return listening


def test_a_kernel_is_told_the_names_that_its_sockets_keep(tmp_path: Path) -> None:
    files = KernelFiles(str(tmp_path), KERNEL, b"key")
    files.write_connection_file()
    assert connection(files)["ip"] == f"{tmp_path}/{KERNEL}"
    assert stat.S_IMODE(Path(files.connection_file).stat().st_mode) == 0o600


def test_the_addresses_of_a_kernel_that_settles_have_at_most_31_characters_in_a_container() -> None:
    files = KernelFiles("/run/kernelhub", KERNEL, b"key", settles=True)
    assert max(len(f"ipc://{path}") for path in files._paths_as_told(5)) <= 31


@pytest.mark.parametrize("separator", ["-", ":"])
def test_sockets_get_their_names_however_the_kernel_writes_them(tmp_path: Path, separator: str) -> None:
    files = KernelFiles(str(tmp_path), KERNEL, b"key", settles=True)
    files.write_connection_file()
    told = connection(files)["ip"]
    bound = [bind(f"{told}{separator}{number}") for number in NUMBERS[:4]]
    assert not files.settle()
    bound.append(bind(f"{told}{separator}{NUMBERS[4]}"))
    assert files.settle()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"{KERNEL}.json", *(f"{KERNEL}-{number}" for number in NUMBERS)}
    # What is bound is reached by its name, also by clients that read the connection file.
    assert connection(files)["ip"] == f"{tmp_path}/{KERNEL}"
    for number in NUMBERS:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(files.path(number))
    for listening in bound:
        listening.close()


def test_nothing_stays_of_a_kernel_that_ended_before_it_settled(tmp_path: Path) -> None:
    files = KernelFiles(str(tmp_path), KERNEL, b"key", settles=True)
    files.write_connection_file()
    bind(f"{connection(files)['ip']}:1").close()
    files.remove()
    assert list(tmp_path.iterdir()) == []
