"""``kernelhub proxy``: a proxy's process. It loads nothing of the hub but its settings."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace

import click

from hub.cli.options import Settings, with_settings
from hub.cli.parent import end_with_parent
from hub.config import DEFAULT_METRICS_PORT, bracketed
from hub.errors import REFUSED_TO_START
from hub.internal_token import read_or_make_internal_token
from proxy.cli import run
from proxy.config import ProxySettings
from proxy.io.listening import CannotListen
from proxy.kit.logs import configure_logs

"""The exit status that tells a supervisor that starting again would not help."""


@click.command("proxy")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on.")
@click.option(
    "--reuse-port",
    is_flag=True,
    help="Let another proxy of the same user listen on the same port: start it, then send this one SIGQUIT.",
)
@click.option("--listen-fds", default="", hidden=True)
@click.option("--ready-fd", type=int, hidden=True)
@click.option("--supervised", is_flag=True, hidden=True)
@with_settings
def command(settings: Settings, reuse_port: bool, listen_fds: str, ready_fd: int | None, supervised: bool) -> None:
    """Run a proxy: it serves the interface, bridges WebSockets to kernels, and forwards the rest to the hub."""
    if supervised:
        end_with_parent()
    configure_logs("proxy", settings.log_format)
    made = proxy_settings(settings)
    try:
        descriptors = tuple(int(number) for number in listen_fds.split(",") if number)
        asyncio.run(run(replace(made, reuse_port=reuse_port, listen_fds=descriptors, ready_fd=ready_fd)))
    except CannotListen as error:
        where, own = str(error.filename), f"{bracketed(settings.host)}:{settings.port}"
        setting = "" if where == own else " (metrics_port)"
        print(f"kernelhub does not start: it cannot listen on {where}{setting}: {error.strerror}.", file=sys.stderr)
        raise SystemExit(REFUSED_TO_START) from error


def proxy_settings(settings: Settings) -> ProxySettings:
    """What a proxy needs of the settings."""
    return ProxySettings(
        host=settings.host,
        port=settings.port,
        hub_url=settings.hub_url,
        internal_token=read_or_make_internal_token(settings.data_dir),
        cache_dir=settings.data_dir / "cache",
        state_dir=settings.data_dir / "proxy",
        trusted_proxies=tuple(settings.trusted_proxies),
        vouching_headers=(settings.header_sign_in.header, settings.header_sign_in.groups_header),
        vouching_addresses=tuple(settings.header_sign_in.addresses),
        public_url=settings.public_url,
        metrics_port=settings.metrics_port or DEFAULT_METRICS_PORT,
        max_body=settings.max_upload_bytes,
    )
