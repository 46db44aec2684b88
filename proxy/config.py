"""What a proxy needs to be told. `kernelhub proxy` makes this from the hub's settings file."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jupyter_core.paths import jupyter_path

from proxy.core.limits import DEFAULT_LIMITS, Limits


def default_static_roots() -> dict[str, tuple[Path, ...]]:
    """Public prefixes of the front ends' files, each with its folders, this Python environment's first."""
    here = Path(sys.prefix)
    # The environment's own folder before the user's and the system's.
    folders = sorted(map(Path, jupyter_path()), key=lambda folder: not folder.is_relative_to(here))
    wanted = {
        "/static/lab": "lab/static",
        "/static/themes": "lab/themes",
        "/static/labextensions": "labextensions",
        "/static/nbextensions": "nbextensions",
    }
    roots = {}
    for prefix, name in wanted.items():
        if found := tuple(folder / name for folder in folders if (folder / name).is_dir()):
            roots[prefix] = found
    inside = {
        "/static/notebook": ("notebook", "static"),
        "/static/nbclassic": ("nbclassic", "static"),
        "/static/favicons": ("jupyter_server", "static/favicons"),
    }
    for prefix, (package, name) in inside.items():
        if found := tuple(folder / name for folder in _package_folders(package) if (folder / name).is_dir()):
            roots[prefix] = found
    return roots


def _package_folders(name: str) -> list[Path]:
    """Where an installed package is, which is not imported for it; none where it is not installed."""
    spec = importlib.util.find_spec(name)
    return [Path(folder) for folder in spec.submodule_search_locations or ()] if spec is not None else []


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """Settings of one proxy process."""

    internal_token: str = field(repr=False)
    """What the hub knows its proxies by."""
    host: str = "127.0.0.1"
    port: int = 8000
    """0: any free port; `Proxy.port` says which."""
    reuse_port: bool = False
    """Whether another proxy of the same user may listen on the same address, to take over (SO_REUSEPORT)."""
    listen_fds: tuple[int, ...] = ()
    """Descriptors of sockets that listen already, inherited from the supervisor; with any, `host` and `port` only name
    where they listen."""
    ready_fd: int | None = None
    """A descriptor on which a line is written once the proxy listens; None: nobody waits for that."""
    hub_url: str = "http://127.0.0.1:8081"
    static_roots: Mapping[str, tuple[Path, ...]] = field(default_factory=default_static_roots)
    """Public prefix to the folders beneath it, of which the first that has a file serves it."""
    cache_dir: Path | None = None
    """Where compressed copies of static files are kept; None: nothing is compressed."""
    state_dir: Path | None = None
    """Where it is kept how far each client has come, shared by all proxies of a machine; None: while this one runs."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of gateways whose ``X-Forwarded-For`` and ``-Proto`` are believed."""
    vouching_headers: tuple[str, ...] = ()
    """Headers in which gateways say who somebody is; dropped from everybody but `vouching_addresses`."""
    vouching_addresses: tuple[str, ...] = ()
    """Addresses or networks of those gateways."""
    public_url: str | None = None
    """The address that browsers use, where it differs from `host` and `port`."""
    max_body: int | None = None
    """Largest request body in bytes; None: the hub decides."""
    metrics_port: int | None = None
    """Loopback port of ``/metrics``; None: none; 0: any free one."""
    ping_seconds: float = 15.0
    silence_seconds: float = 40.0
    """A WebSocket without a sign of life for so long is dropped."""
    report_seconds: float = 2.0
    close_seconds: float = 3.0
    """Longest time for writing out what waits when the proxy ends."""
    finish_seconds: float = 30.0
    """Longest time for requests that are under way when another proxy takes over."""
    limits: Limits = DEFAULT_LIMITS
