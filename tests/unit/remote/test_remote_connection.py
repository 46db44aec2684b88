"""Connections to something that answers, well or badly, and to nothing."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from hub.errors import BadRequest, Forbidden, HubError, NotFound, NotSignedIn, TooManyRequests, Unavailable
from hub.remote.connection import connect

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def server(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def answering(status: int, body: object = None, text: str | None = None) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        headers = {"Location": "/elsewhere"} if 300 <= status < 400 else None
        if text is not None:
            return web.Response(status=status, text=text, headers=headers)
        return web.json_response(body, status=status, headers=headers)

    return answer


async def test_the_token_goes_with_every_request_and_paths_are_quoted() -> None:
    seen: list[tuple[str, str, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append((request.method, request.raw_path, request.headers["Authorization"]))
        return web.json_response({"fine": True}, status=201)

    async with server(answer) as address, connect(f"{address}/user/ada/lab?token=in-address", "beats") as hub:
        assert await hub.post("api/contents/a b#ü.ipynb", {}) == {"fine": True}
        assert await hub.get("/api/kernels", {"x": "1"}) == {"fine": True}
    assert seen == [
        ("POST", "/user/ada/api/contents/a%20b%23%C3%BC.ipynb", "token beats"),
        ("GET", "/user/ada/api/kernels?x=1", "token beats"),
    ]


async def test_without_a_name_in_the_address_the_hub_is_asked_whose_token_it_is() -> None:
    async with server(answering(200, {"name": "ada"})) as address, connect(address, "t") as hub:
        assert (hub.name, hub.user_url) == ("ada", f"{address}/user/ada/")
    async with server(answering(200, text="<html>")) as address:
        with pytest.raises(BadRequest, match="does not answer as a hub does"):
            async with connect(address, "t"):
                pass


@pytest.mark.parametrize(
    ("status", "body", "error", "sentence"),
    [
        (302, None, BadRequest, "sends elsewhere"),
        (401, None, NotSignedIn, "does not accept the token"),
        (403, {"message": "Forbidden", "reason": None}, NotSignedIn, "does not accept the token"),
        (403, {"message": "Only administrators may do this."}, Forbidden, "Only administrators"),
        (404, {"message": "Kernel does not exist"}, NotFound, "Kernel does not exist"),
        (404, None, NotFound, "check the address"),
        (400, {"message": "Poor."}, BadRequest, "Poor."),
        (429, None, TooManyRequests, "slow down"),
        (503, {"message": "The engine is silent."}, Unavailable, "The engine is silent."),
        (501, {"message": "There is no kernel 'x'."}, HubError, "There is no kernel 'x'."),
        (500, None, HubError, "administrators' log"),
    ],
)
async def test_refusals_are_errors_with_a_sentence(
    status: int, body: object, error: type[HubError], sentence: str
) -> None:
    async with server(answering(status, body)) as address, connect(f"{address}/user/ada/", "t") as hub:
        with pytest.raises(error, match=sentence) as raised:
            await hub.get("api/kernels")
        assert type(raised.value) is error


async def test_nobody_at_the_address_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with connect(f"http://127.0.0.1:{port}/user/ada/", "t") as hub:
        with pytest.raises(Unavailable, match="cannot be reached"):
            await hub.get("api/kernels")


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=127.0.0.1"]
    subprocess.run([*command, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with server(answering(200, []), tls) as address, connect(f"{address}/user/ada/", "t") as hub:
        with pytest.raises(Unavailable, match=r"not trusted.*SSL_CERT_FILE"):
            await hub.get("api/kernels")


@pytest.mark.parametrize("token", ["", " ", "two words", "ünicode", "line\nbreak"])
async def test_what_cannot_be_a_token_is_not_sent(token: str) -> None:
    with pytest.raises(NotSignedIn):
        async with connect("http://127.0.0.1:1/user/ada/", token):
            pass
