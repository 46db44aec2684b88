"""Which WebSocket a raw path asks for."""

from __future__ import annotations

import pytest

from hub.domain.ids import KernelId
from hub.web.socket_paths import KernelSocket, TerminalSocket, parse_socket_path

KERNEL = "01234567-89ab-4cde-8f01-23456789abcd"


def test_the_channels_of_a_kernel() -> None:
    assert parse_socket_path(f"/user/alice/api/kernels/{KERNEL}/channels") == KernelSocket("alice", KernelId(KERNEL))


def test_a_terminal() -> None:
    assert parse_socket_path("/user/alice/terminals/websocket/1") == TerminalSocket("alice", "1")


def test_the_name_is_decoded_once_and_normalised() -> None:
    assert parse_socket_path("/user/Al%40ice/terminals/websocket/1") == TerminalSocket("al@ice", "1")


@pytest.mark.parametrize(
    "path",
    [
        "/user/alice/api/kernels/nonsense/channels",
        f"/user/alice/api/kernels/{KERNEL}/channels/more",
        f"/user/alice/api/kernels/{KERNEL}/channels\n",
        f"/user/a%2Fb/api/kernels/{KERNEL}/channels",
        f"/user/a%252Fb/api/kernels/{KERNEL}/channels",
        f"/user/%2e%2e/api/kernels/{KERNEL}/channels",
        f"/user/%ff/api/kernels/{KERNEL}/channels",
        f"//user/alice/api/kernels/{KERNEL}/channels",
        "/user/alice/terminals/websocket/../x",
        "/user/alice/terminals/websocket/%2e%2e",
        "/internal/route",
    ],
)
def test_anything_else_is_no_websocket(path: str) -> None:
    assert parse_socket_path(path) is None
