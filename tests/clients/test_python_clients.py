"""Programs in Python that use kernels, unmodified, with kernels of a hub.

Those that start kernels by kernelspec (nbclient, papermill, nbconvert, ``jupyter console``) use one that
``kernelhub attach --install-kernelspec`` wrote; `jupyter_kernel_client` speaks to the hub itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_kernel_client import JupyterKernelClient
from nbformat.v4 import new_code_cell, new_notebook

from tests.harness.accounts import Account, add_account
from tests.harness.client import HubClient
from tests.harness.outside import CONSOLE, SECONDS, Laptop
from tests.harness.running import RunningHub, eventually, running_hub

SPEC = "on-the-hub"


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process") as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


@pytest.fixture(scope="module")
def laptop(hub: RunningHub, ada: Account, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """A machine with a kernelspec whose kernels run on the hub."""
    laptop = Laptop(tmp_path_factory.mktemp("laptop"), hub, ada)
    laptop.run(sys.executable, "-m", "hub.cli", "attach", "--install-kernelspec", SPEC)
    return laptop


def hub_kernels(hub: RunningHub, ada: Account) -> list[Any]:
    async def ask() -> list[Any]:
        async with HubClient(hub.address, ada.name, ada.token) as client:
            found: list[Any] = (await client.request("GET", "api/kernels"))[1]
            return found

    return asyncio.run(ask())


def notebook(laptop: Laptop, *cells: str) -> Path:
    """A notebook file whose first cell has the parameters."""
    made = new_notebook(cells=[new_code_cell("n = 2", metadata={"tags": ["parameters"]}), *map(new_code_cell, cells)])
    made.metadata["kernelspec"] = {"name": SPEC, "display_name": SPEC, "language": "python"}
    file = laptop.folder / "in.ipynb"
    nbformat.write(made, file)
    return file


def last_output(file: Path) -> Any:
    return nbformat.read(file, 4).cells[-1].outputs[0]


def test_the_kernelspec_names_the_hub_and_keeps_the_token_secret(laptop: Laptop, ada: Account) -> None:
    listed = json.loads(laptop.run(sys.executable, "-m", "jupyter", "kernelspec", "list", "--json").stdout)
    spec = listed["kernelspecs"][SPEC]["spec"]
    assert spec["display_name"].startswith("Python 3")
    assert spec["language"] == "python"
    assert ada.token not in json.dumps(spec)
    secret = laptop.folder / "config" / "kernelhub" / f"{SPEC}.token"
    assert secret.read_text().strip() == ada.token
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_an_unknown_kernelspec_of_the_hub_is_named(laptop: Laptop) -> None:
    done = laptop.attach("--new", "cobol", "--install-kernelspec", "cobol")
    assert (done.returncode, "no kernelspec 'cobol'. It has python3." in done.stderr) == (1, True)
    assert laptop.attach("--install-kernelspec", "../evil").returncode == 1


def test_nbclient_runs_a_notebook_on_the_hub(laptop: Laptop, hub: RunningHub, ada: Account) -> None:
    file = notebook(laptop, "import os; os.getcwd()")
    laptop.run(sys.executable, "-m", "jupyter", "execute", str(file), "--inplace")
    assert last_output(file)["data"]["text/plain"] == repr(str(ada.home))
    assert hub_kernels(hub, ada) == []


def test_papermill_passes_parameters(laptop: Laptop) -> None:
    out = laptop.folder / "papermill.ipynb"
    file = notebook(laptop, "n * 21")
    laptop.run(sys.executable, "-m", "papermill", str(file), str(out), "-p", "n", "3", "--no-progress-bar")
    assert last_output(out)["data"]["text/plain"] == "63"


def test_nbconvert_executes(laptop: Laptop) -> None:
    file = notebook(laptop, "print(n * 21)")
    command = (sys.executable, "-m", "jupyter", "nbconvert", "--execute", "--to", "notebook", str(file))
    laptop.run(*command, "--output", "converted.ipynb")
    assert last_output(laptop.folder / "converted.ipynb")["text"] == "42\n"


def test_a_kernel_that_dies_fails_the_cell_with_the_reason_in_nbclient(
    laptop: Laptop, hub: RunningHub, ada: Account
) -> None:
    file = notebook(laptop, "import os; os._exit(3)")
    done = laptop.run(sys.executable, "-m", "jupyter", "execute", str(file), check=False)
    assert done.returncode == 1
    assert "exited with status 3" in done.stderr
    assert hub_kernels(hub, ada) == []


def test_a_cell_that_takes_too_long_is_interrupted(laptop: Laptop, hub: RunningHub, ada: Account) -> None:
    file = notebook(laptop, "import time; time.sleep(600)")
    command = (sys.executable, "-m", "jupyter", "execute", str(file), "--timeout=1")
    done = laptop.run(*command, check=False)
    assert done.returncode == 1
    assert "CellTimeoutError" in done.stderr
    assert hub_kernels(hub, ada) == []


def test_a_console_of_its_own_starts_interrupts_and_ends(laptop: Laptop, hub: RunningHub, ada: Account) -> None:
    with laptop.terminal(*CONSOLE, "--kernel", SPEC) as console:
        console.wait_for_prompt(1)
        console.type("import time; print('beg' + 'un'); time.sleep(600)")
        console.see("begun")
        console.press_ctrl_c()
        console.see("KeyboardInterrupt")
        console.wait_for_prompt(2)
        console.run("'goes ' + 'on'", "goes on")
        console.type("exit")
        assert console.wait_for_end() == 0
    assert hub_kernels(hub, ada) == []


def test_a_kernel_ends_with_the_program_that_started_it(laptop: Laptop, hub: RunningHub, ada: Account) -> None:
    code = f"import jupyter_client.manager as m; k = m.start_new_kernel(kernel_name={SPEC!r}); input()"
    with subprocess.Popen([sys.executable, "-c", code], env=laptop.environment, stdin=subprocess.PIPE) as program:
        eventually(lambda: [k["execution_state"] for k in hub_kernels(hub, ada)] == ["idle"], SECONDS)
        os.kill(program.pid, signal.SIGKILL)
    eventually(lambda: hub_kernels(hub, ada) == [], SECONDS, "the kernel's end")


def test_jupyter_kernel_client_speaks_to_the_hub(hub: RunningHub, ada: Account) -> None:
    with JupyterKernelClient(server_url=f"{hub.address}/user/ada", token=ada.token) as kernel:
        reply = kernel.execute("x = 6\nprint(x * 7)\nx", timeout=SECONDS)
        assert (reply["status"], reply["execution_count"]) == ("ok", 1)
        assert [output.get("text") or output["data"]["text/plain"] for output in reply["outputs"]] == ["42\n", "6"]
        assert kernel.execute("1 / 0", timeout=SECONDS)["status"] == "error"
        assert kernel.kernel_info["language_info"]["name"] == "python"
        kernel.set_variable("y", {"answer": 42})
        assert kernel.get_variable("y") == {"answer": 42}
        kernel.restart()
        assert kernel.execute("'x' in dir()", timeout=SECONDS)["outputs"][0]["data"]["text/plain"] == "False"
        assert [k["id"] for k in hub_kernels(hub, ada)] == [kernel.id]
    assert hub_kernels(hub, ada) == []


def test_jupyter_kernel_client_joins_a_running_kernel(hub: RunningHub, ada: Account) -> None:
    address = f"{hub.address}/user/ada"
    with JupyterKernelClient(server_url=address, token=ada.token) as first:
        first.execute("shared = 'seen'", timeout=SECONDS)
        with JupyterKernelClient(server_url=address, token=ada.token, kernel_id=first.id) as second:
            outputs = second.execute("shared", timeout=SECONDS)["outputs"]
            assert outputs[0]["data"]["text/plain"] == "'seen'"
        assert [k["id"] for k in hub_kernels(hub, ada)] == [first.id]
