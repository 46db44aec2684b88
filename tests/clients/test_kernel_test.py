"""Jupyter's conformance suite for kernels, `jupyter_kernel_test`, through the hub: IPython, R and bash.

The suite starts kernels by their kernelspecs, as every program does; ``kernelhub attach --install-kernelspec``
made these, so each message goes through the hub's WebSocket.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import jupyter_kernel_test
import pytest
from jupyter_client.manager import start_new_kernel

from tests.harness.accounts import add_account
from tests.harness.outside import Laptop
from tests.harness.running import running_hub
from tests.integration.images import image_of

SECONDS = 120
IMAGES = {"minimal": "python3", "r": "ir", "bash": "bash"}


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """A machine with a kernelspec for each of the hub's kernels."""
    profiles = {
        image: {"display_name": image, "image": image_of(image), "kernels": [kernel], "spare_kernels": 0}
        for image, kernel in IMAGES.items()
    }
    environment = {"KERNELHUB_PROFILES": json.dumps(profiles), "KERNELHUB_DEFAULT_PROFILE": "minimal"}
    with running_hub("docker", environment) as hub, pytest.MonkeyPatch.context() as patch:
        laptop = Laptop(tmp_path_factory.mktemp("laptop"), hub, add_account(hub, "ada"))
        for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
            patch.setenv(name, laptop.environment[name])
        for kernel in IMAGES.values():
            done = laptop.attach("--new", kernel, "--install-kernelspec", f"hub-{kernel}")
            assert done.returncode == 0, done.stderr
        yield laptop


@pytest.fixture(scope="class")
def on_the_hub(request: pytest.FixtureRequest, laptop: Laptop) -> Iterator[None]:
    """The kernel of a class's tests."""
    manager, client = start_new_kernel(startup_timeout=SECONDS, kernel_name=request.cls.kernel_name)
    request.cls.km, request.cls.kc = manager, client
    yield
    client.stop_channels()
    manager.shutdown_kernel()


class OnTheHub(jupyter_kernel_test.KernelTests):
    """The suite; subclasses say which kernel, and give samples of its language."""

    __test__: ClassVar[bool] = False

    @classmethod
    def setUpClass(cls) -> None:
        """The fixture starts the kernel."""

    @classmethod
    def tearDownClass(cls) -> None:
        """The fixture ends it."""


@pytest.mark.usefixtures("on_the_hub")
class TestIPython(OnTheHub):
    __test__ = True
    kernel_name = "hub-python3"
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('oh', file=sys.stderr)"
    completion_samples: ClassVar[list[dict[str, Any]]] = [{"text": "prin", "matches": {"print"}}]
    complete_code_samples: ClassVar[list[str]] = ["1", "def f(x):\n    return x\n\n\n"]
    incomplete_code_samples: ClassVar[list[str]] = ["print('''hello", "def f(x):\n    x"]
    invalid_code_samples: ClassVar[list[str]] = ["import = 7q"]
    code_page_something = "zip?"
    code_generate_error = "raise ValueError"
    code_execute_result: ClassVar[list[dict[str, str]]] = [{"code": "1+2+3", "result": "6"}]
    code_display_data: ClassVar[list[dict[str, str]]] = [
        {"code": "from IPython.display import HTML, display; display(HTML('<b>x</b>'))", "mime": "text/html"}
    ]
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"


@pytest.mark.usefixtures("on_the_hub")
class TestR(OnTheHub):
    __test__ = True
    kernel_name = "hub-ir"
    language_name = "R"
    file_extension = ".r"
    code_hello_world = 'cat("hello, world\\n")'
    code_stderr = 'message("oh")'
    completion_samples: ClassVar[list[dict[str, Any]]] = [{"text": "data.fram", "matches": {"data.frame"}}]
    complete_code_samples: ClassVar[list[str]] = ["1", "f <- function(x) { x * 2 }"]
    incomplete_code_samples: ClassVar[list[str]] = ['cat("hello', "f <- function(x) {\n  x"]
    invalid_code_samples: ClassVar[list[str]] = ["a b"]
    code_generate_error = 'stop("boom")'
    code_display_data: ClassVar[list[dict[str, str]]] = [
        {"code": "1 + 2 + 3", "mime": "text/plain"},  # IRkernel displays its results
        {"code": "plot(1:3)", "mime": "image/png"},
    ]
    code_inspect_sample = "data.frame"


@pytest.mark.usefixtures("on_the_hub")
class TestBash(OnTheHub):
    __test__ = True
    kernel_name = "hub-bash"
    language_name = "bash"
    file_extension = ".sh"
    code_hello_world = "echo 'hello, world'"
    completion_samples: ClassVar[list[dict[str, Any]]] = [{"text": "ech", "matches": {"echo"}}]


def test_the_suite_leaves_no_kernel_behind(laptop: Laptop) -> None:
    done = laptop.attach()
    assert "No kernel of ada runs." in done.stderr
    assert list(Path(laptop.folder, "runtime").glob("kernel-hub-*")) == []
