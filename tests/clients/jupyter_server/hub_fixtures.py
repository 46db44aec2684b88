"""A pytest plugin that runs jupyter_server's own tests against a hub at an address.

It takes the place of ``jupyter_server.pytest_plugin``: the fixtures that start a server in the test's process become
calls to the hub. What a test asks of the server object itself cannot be had over HTTP and fails; such tests are in
`expected.EXPECTED`, which is strict: a test that is named there and passes fails the run.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import sys
import types
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from expected import EXPECTED, LEFT_OUT
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.websocket import WebSocketClientConnection, websocket_connect

ADDRESS = os.environ["KERNELHUB_ADDRESS"]
TOKEN = os.environ["KERNELHUB_TOKEN"]
BASE = os.environ["KERNELHUB_BASE"]
HOME = Path(os.environ["KERNELHUB_HOME"])
REQUEST_SECONDS = 60.0
KEPT = {".local", ".ipython", ".cache", ".jupyter", ".config"}
"""What kernels put into the home stays, as it would in anybody's."""

_which = shutil.which
shutil.which = lambda name, *rest: _which(name, *rest) or ("/bin/true" if name == "pandoc" else None)  # type: ignore
"""The exports that are tried need no pandoc, and their tests shall not be skipped for the lack of it."""

# Upstream's conftest asks for this plugin by name; its fixtures are ours.
sys.modules["jupyter_server.pytest_plugin"] = types.ModuleType("jupyter_server.pytest_plugin")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Expect to fail what the table names, by the test or by one of its parameters, and nothing else.

    Raises UsageError when it names what does not exist.
    """
    known = set()
    left_out = []
    for item in items:
        whole = item.nodeid.removeprefix("tests/")
        for name in (whole, whole.partition("[")[0]):
            if name in EXPECTED:
                item.add_marker(pytest.mark.xfail(reason=EXPECTED[name], strict=True))
            elif name in LEFT_OUT:
                left_out.append(item)
            else:
                continue
            known.add(name)
            break
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)
    unknown = sorted({*EXPECTED, *LEFT_OUT} - known)
    if unknown and "KERNELHUB_WHOLE" in os.environ:
        raise pytest.UsageError(f"expected.py names tests that do not exist: {unknown}")


class ServerObject:
    """Stands for the ServerApp, of which little can be known from outside."""

    root_dir = str(HOME)
    kernel_manager = types.SimpleNamespace(default_kernel_name="python3")

    def __getattr__(self, name: str) -> Any:
        if name == "event_logger":
            return EventLogger()
        pytest.fail(f"the server object's {name} cannot be had over HTTP", pytrace=False)


class EventLogger:
    """Stands for the server's event logger, so that requests can be tried; what it logs cannot be seen."""

    def register_event_schema(self, schema: Any) -> None:
        """The hub passes events on without knowing their schemas."""

    def register_handler(self, handler: Any) -> None:
        """Nothing arrives at it."""


def _ask(method: str, path: str) -> Any:
    connection = http.client.HTTPConnection(urlsplit(ADDRESS).netloc, timeout=REQUEST_SECONDS)
    with contextlib.closing(connection):
        connection.request(method, BASE + path, headers={"Authorization": f"token {TOKEN}"})
        answer = connection.getresponse()
        data = answer.read()
        return json.loads(data) if data and answer.status == 200 else None


def _tidy() -> None:
    for kind, key in (("sessions", "id"), ("kernels", "id"), ("terminals", "name")):
        for found in _ask("GET", f"api/{kind}") or []:
            _ask("DELETE", f"api/{kind}/{found[key]}")
    for entry in HOME.iterdir():
        if entry.name in KEPT:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


@pytest.fixture(autouse=True)
def own_home() -> Iterator[None]:
    """Each test finds an empty home, and nothing that runs."""
    HOME.mkdir(exist_ok=True)
    yield
    _tidy()


@pytest.fixture
def jp_root_dir() -> Path:
    return HOME


@pytest.fixture
def jp_serverapp() -> ServerObject:
    return ServerObject()


@pytest.fixture
def jp_base_url() -> str:
    return BASE


@pytest.fixture
def jp_auth_header() -> dict[str, str]:
    return {"Authorization": f"token {TOKEN}"}


@pytest.fixture
def jp_http_port() -> int:
    return urlsplit(ADDRESS).port or 0


@pytest.fixture
def jp_data_dir() -> Path:
    return HOME / ".local" / "share" / "jupyter"


@pytest.fixture
def jp_kernelspecs(jp_data_dir: Path) -> Iterator[None]:
    """Kernelspecs in the user's home."""
    folders = [jp_data_dir / "kernels" / name for name in ("sample", "sample2", "bad")]
    for folder in folders:
        folder.mkdir(parents=True)
        program = "non_existent_path" if folder.name == "bad" else "cat"
        spec = {"argv": [program, "{connection_file}"], "display_name": "Test kernel", "language": ""}
        (folder / "kernel.json").write_text(json.dumps(spec))
        (folder / "resource.txt").write_text("The very model of a modern major general")
    yield
    shutil.rmtree(jp_data_dir / "kernels")


@pytest.fixture
def jp_configurable_serverapp() -> None:
    pytest.fail("the server cannot be started anew with another configuration", pytrace=False)


@pytest.fixture
def http_server_client() -> types.SimpleNamespace:
    def fetch(path: str, **kwargs: Any) -> Awaitable[HTTPResponse]:
        return AsyncHTTPClient().fetch(ADDRESS + path, **kwargs)

    return types.SimpleNamespace(fetch=fetch)


@pytest.fixture
def jp_fetch(jp_auth_header: dict[str, str]) -> Callable[..., Awaitable[HTTPResponse]]:
    def fetch(
        *parts: str, headers: dict[str, str] | None = None, params: dict[str, Any] | None = None, **kwargs: Any
    ) -> Awaitable[HTTPResponse]:
        sent = {**jp_auth_header, **(headers or {})}
        timeout = {"request_timeout": REQUEST_SECONDS}
        return AsyncHTTPClient().fetch(_address(parts, params), headers=sent, **{**timeout, **kwargs})

    return fetch


@pytest.fixture
def jp_ws_fetch(jp_auth_header: dict[str, str]) -> Callable[..., Awaitable[WebSocketClientConnection]]:
    def fetch(
        *parts: str, headers: dict[str, str] | None = None, params: dict[str, Any] | None = None, **kwargs: Any
    ) -> Awaitable[WebSocketClientConnection]:
        address = _address(parts, params).replace("http", "ws", 1)
        return websocket_connect(HTTPRequest(address, headers={**jp_auth_header, **(headers or {})}), **kwargs)

    return fetch


def _address(parts: tuple[str, ...], params: dict[str, Any] | None) -> str:
    path = "/".join(part.strip("/") for part in parts if part.strip("/"))
    trailing = "/" if parts and parts[-1].endswith("/") and path else ""
    return f"{ADDRESS}{BASE}{quote(path)}{trailing}?{urlencode(params or {})}"
