"""HTTP through a real proxy to a fake hub: streaming, headers, refusals, files, health."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest
import websockets

from tests.harness.proxy_rig import TOKEN, Rig, eventually, run_rig

MIB = 1024 * 1024


@pytest.fixture
def files(tmp_path: Path) -> Path:
    root = tmp_path / "files"
    (root / "sub").mkdir(parents=True)
    (root / "main.0123456789abcdef.js").write_text("let a = 1;\n" * 1000)
    (root / "style.css").write_text("a { color: red }\n" * 1000)
    (root / "sub" / "font.woff2").write_bytes(b"\0" * 5000)
    (root / ".secret").write_text("no")
    (tmp_path / "outside.txt").write_text("no")
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    return root


@pytest.fixture
async def rig(files: Path, tmp_path: Path) -> AsyncIterator[Rig]:
    roots = {"/static/lab": (files,)}
    async with run_rig(static_roots=roots, cache_dir=tmp_path / "cache", metrics_port=0) as rig:
        yield rig


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


async def raw(rig: Rig, request: bytes, timeout: float = 5.0) -> bytes:
    """What comes back for these very bytes, until the proxy closes or `timeout` passes without more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.proxy.port)
    writer.write(request)
    answer = b""
    try:
        while True:
            piece = await asyncio.wait_for(reader.read(65536), 0.5 if answer else timeout)
            if not piece:
                break
            answer += piece
    except TimeoutError:
        pass
    writer.close()
    return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


class Memory:
    """The most memory this process (proxy, hub and client of the test) came to hold, sampled."""

    async def __aenter__(self) -> Memory:
        self._process = psutil.Process()
        self.start = self.most = self._process.memory_info().rss
        self._task = asyncio.create_task(self._sample())
        return self

    async def _sample(self) -> None:
        while True:
            self.most = max(self.most, self._process.memory_info().rss)
            await asyncio.sleep(0.01)

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()

    @property
    def growth(self) -> int:
        return self.most - self.start


# ---- forwarding


async def test_a_request_reaches_the_hub_with_its_path_undecoded(rig: Rig, http: aiohttp.ClientSession) -> None:
    target = "/user/alice/api/contents/a%20b%2Fc%C3%A9+%25.ipynb?x=1&y=%2F"
    answer = await raw(rig, f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
    assert status(answer) == 200
    assert rig.hub.requests[-1][1] == target


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_body_reaches_the_hub(rig: Rig, http: aiohttp.ClientSession, method: str) -> None:
    async with http.request(method, f"{rig.url}/echo", data=b"hello") as answer:
        assert await answer.json() == {"method": method, "uri": "/echo", "body": "hello"}


async def test_a_chunked_body_reaches_the_hub(rig: Rig, http: aiohttp.ClientSession) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"abc"

    async with http.post(f"{rig.url}/echo", data=pieces()) as answer:
        assert (await answer.json())["body"] == "abcabcabc"


async def test_what_only_a_proxy_may_say_is_replaced(rig: Rig, http: aiohttp.ClientSession) -> None:
    sent = {
        "X-Kernelhub-Internal": "guess",
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil",
        "X_Forwarded_For": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
        "X-Real-Ip": "6.6.6.6",
        "X-Remote-User": "admin",
        "X-Original-URL": "/hub/admin",
        "Connection": "X-Drop, Host",
        "X-Drop": "1",
        "TE": "trailers",
        "X-Kept": "1",
        "Host": "hub.example:8000",
    }
    async with http.get(f"{rig.url}/echo", headers=sent) as answer:
        assert answer.status == 200
    got = [(name.lower(), value) for name, value in rig.hub.requests[-1][2]]
    names = [name for name, _ in got]
    assert ("x-kernelhub-internal", TOKEN) in got
    assert ("x-forwarded-for", "127.0.0.1") in got
    assert ("x-forwarded-proto", "http") in got
    assert ("host", "hub.example:8000") in got
    assert ("x-kept", "1") in got
    assert len(names) == len(set(names))
    for gone in ("x-forwarded-host", "x_forwarded_for", "forwarded", "x-real-ip", "x-remote-user", "x-drop", "te"):
        assert gone not in names


async def test_a_trusted_gateway_is_believed() -> None:
    async with run_rig(trusted_proxies=("127.0.0.0/8",)) as rig, aiohttp.ClientSession() as http:
        headers = {"X-Forwarded-For": "9.9.9.9, 10.1.2.3, 127.0.0.5", "X-Forwarded-Proto": "https"}
        async with http.get(f"{rig.url}/echo", headers=headers):
            pass
        got = {name.lower(): value for name, value in rig.hub.requests[-1][2]}
    assert (got["x-forwarded-for"], got["x-forwarded-proto"]) == ("10.1.2.3", "https")


async def test_answers_come_back_with_their_status_and_headers(rig: Rig, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{rig.url}/cookies", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "/elsewhere")
        assert answer.headers.getall("Set-Cookie") == ["a=1; Path=/", "b=2; Path=/"]
        assert "X-Secret" not in answer.headers
        assert "Server" not in answer.headers
    async with http.get(f"{rig.url}/cached", headers={"If-None-Match": '"1"'}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
    async with http.get(f"{rig.url}/nothing") as answer:
        assert (answer.status, await answer.read()) == (204, b"")
    async with http.head(f"{rig.url}/download?size=1000") as answer:
        assert (answer.status, answer.headers["Content-Length"], await answer.read()) == (200, "1000", b"")


async def test_200_mb_go_down_with_flat_memory(rig: Rig, http: aiohttp.ClientSession) -> None:
    for length in ("yes", "no"):
        async with Memory() as memory, http.get(f"{rig.url}/download?size={200 * MIB}&length={length}") as answer:
            size = 0
            async for piece in answer.content.iter_chunked(MIB):
                size += len(piece)
                if size % (32 * MIB) < MIB:
                    await asyncio.sleep(0.05)  # a client that is slower than the hub
        assert size == 200 * MIB
        assert memory.growth < 40 * MIB


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
async def test_200_mb_go_up_with_flat_memory(rig: Rig, http: aiohttp.ClientSession, is_chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * MIB

    headers = {} if is_chunked else {"Content-Length": str(200 * MIB)}
    async with Memory() as memory, http.put(f"{rig.url}/upload", data=pieces(), headers=headers) as answer:
        assert int(await answer.text()) == 200 * MIB
    assert memory.growth < 40 * MIB


async def test_an_upload_that_the_hub_refuses_is_answered_with_the_hubs_reason(
    rig: Rig, http: aiohttp.ClientSession
) -> None:
    async with http.put(f"{rig.url}/upload?refuse", data=b"x" * (4 * MIB)) as answer:
        assert (answer.status, await answer.text()) == (413, "too large")


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
async def test_a_body_over_the_limit_is_413_and_no_more_of_it_is_sent_on(is_chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * (MIB // 8)

    async with run_rig(max_body=MIB) as rig, aiohttp.ClientSession() as http:
        headers = {} if is_chunked else {"Content-Length": str(5 * MIB)}
        async with http.put(f"{rig.url}/upload", data=pieces(), headers=headers) as answer:
            assert answer.status == 413
        assert rig.hub.uploaded <= MIB
        async with http.put(f"{rig.url}/upload", data=b"x" * MIB) as answer:
            assert int(await answer.text()) == MIB


async def test_a_client_that_leaves_in_an_upload_ends_the_hubs_request(rig: Rig) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", rig.proxy.port)
    writer.write(b"PUT /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 70000)
    await eventually(lambda: rig.hub.uploaded >= 70000)
    writer.close()
    async with aiohttp.ClientSession() as http, http.get(f"{rig.url}/echo") as answer:
        assert answer.status == 200


async def test_server_sent_events_are_not_held_back(rig: Rig, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{rig.url}/events") as answer:
        assert await asyncio.wait_for(answer.content.readline(), 10) == b"data: one\n"
        rig.hub.release.set()
        assert b"data: two" in await answer.content.read()


async def test_an_answer_that_is_cut_short_is_seen_as_cut_short(rig: Rig, http: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        async with http.get(f"{rig.url}/cut") as answer:
            await answer.read()


async def test_expect_100_continue_is_answered(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.proxy.port)
    writer.write(b"PUT /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert b"100" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    writer.write(b"hello")
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_a_hub_that_is_away_is_said_so(rig: Rig, http: aiohttp.ClientSession) -> None:
    await rig.hub.stop()
    async with http.get(f"{rig.url}/user/alice/api/contents") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
        assert (await answer.json())["code"] == "hub.away"
    async with http.get(f"{rig.url}/hub/home") as answer:
        assert answer.status == 503
        assert answer.content_type == "text/plain"
    async with http.put(f"{rig.url}/upload", data=b"x" * MIB) as answer:
        assert answer.status == 503
    async with http.get(f"{rig.url}/health/ready") as answer:
        assert answer.status == 503
    async with http.get(f"{rig.url}/health/live") as answer:
        assert answer.status == 200
    await rig.hub.start()
    async with http.get(f"{rig.url}/health/ready") as answer:
        assert answer.status == 200


# ---- the door


@pytest.mark.parametrize(
    "path",
    ["/internal/route", "/internal/", "/internal", "/%69nternal/route", "/INTERNAL/route", "/metrics", "/metrics/"],
)
async def test_what_is_internal_does_not_exist_outside(rig: Rig, path: str) -> None:
    answer = await raw(rig, f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n".encode())
    assert status(answer) == 404
    assert not rig.hub.requests


@pytest.mark.parametrize(
    "target",
    [
        "/user%2falice/lab",
        "/user/alice%2f..%2fbob/lab",
        "/user/alice%5Cbob/lab",
        "/user/alice\\bob/lab",
        "/user/../internal/route",
        "/user/%2e%2e/internal/route",
        "/user/alice/files/%2E%2e/x",
        "/./internal/route",
        "//internal/route",
        "/user/alice/files/a%00b",
        "http://h/internal/route",
        "*",
        "/a#b",
    ],
)
async def test_a_path_that_can_be_read_in_two_ways_is_refused(rig: Rig, target: str) -> None:
    answer = await raw(rig, f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert status(answer) == 400
    assert b"\r\nConnection: close\r\n" in answer  # or the client would ask again where nobody reads
    assert not rig.hub.requests


CANARY = b"GET /canary HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5 5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: \xb2\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"X: a\r\n Content-Length: 5\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 3\r\n",
        b"Content-Length\x00: 5\r\n",
        b"Host: other\r\n",
        b"X-A: b\x00c\r\n",
    ],
)
async def test_a_request_whose_end_is_ambiguous_is_refused_and_nothing_behind_it_is_read(rig: Rig, head: bytes) -> None:
    answer = await raw(rig, b"POST /echo HTTP/1.1\r\nHost: h\r\n" + head + b"\r\n0\r\n\r\n" + CANARY)
    assert status(answer) == 400
    assert answer.count(b"HTTP/1.1 ") == 1
    assert not [r for r in rig.hub.requests if r[1] == "/canary"]


async def test_a_malformed_chunk_ends_the_connection_and_the_hub_is_not_confused(rig: Rig) -> None:
    request = b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n"
    answer = await raw(rig, request + CANARY)
    assert not [r for r in rig.hub.requests if r[1] == "/canary"]
    assert answer.count(b"HTTP/1.1 ") <= 1


async def test_huge_headers_are_refused(rig: Rig) -> None:
    answer = await raw(rig, b"GET / HTTP/1.1\r\nHost: h\r\nCookie: " + b"a" * 100_000 + b"\r\n\r\n")
    assert not answer or status(answer) in (400, 431)
    assert not rig.hub.requests


async def test_a_body_for_a_file_is_not_taken_into_memory(rig: Rig) -> None:
    request = b"POST /static/lab/style.css HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n"
    assert status(await raw(rig, request)) in (400, 405)


async def test_other_websockets_are_not_found(rig: Rig) -> None:
    request = (
        b"GET /user/alice/api/other HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert status(await raw(rig, request)) == 404


async def test_the_hubs_own_websocket_is_relayed(rig: Rig) -> None:
    address = f"ws://{rig.address}/user/alice/api/events/subscribe?x=%2F"
    headers = {"Cookie": "good", "X-Forwarded-For": "6.6.6.6"}
    async with websockets.connect(address, additional_headers=headers, origin=rig.url) as socket:
        await socket.send("text")
        assert await socket.recv() == "text"
        await socket.send(b"\0bytes")
        assert await socket.recv() == b"\0bytes"
        _, uri, fields = rig.hub.requests[-1]
        got = {name.lower(): value for name, value in fields}
        assert uri == "/user/alice/api/events/subscribe?x=%2F"
        assert (got["origin"], got["host"], got["x-forwarded-for"]) == (rig.url, rig.address, "127.0.0.1")
        await socket.send("leave")
        await asyncio.wait_for(socket.wait_closed(), 5)
        assert socket.close_code == 4401
    assert not rig.hub.reports or not rig.hub.reports[-1]["connections"]


async def test_the_hubs_refusal_of_its_own_websocket_is_passed_on(rig: Rig) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"ws://{rig.address}/user/alice/api/events/subscribe")
    assert refused.value.response.status_code == 403
    await rig.hub.stop()
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"ws://{rig.address}/user/alice/api/events/subscribe")
    assert refused.value.response.status_code == 503


async def test_a_relayed_websocket_is_closed_with_1012_when_hub_or_proxy_restart(rig: Rig) -> None:
    address = f"ws://{rig.address}/user/alice/api/events/subscribe"
    for end in (rig.hub.stop, rig.proxy.close):
        async with websockets.connect(address, additional_headers={"Cookie": "good"}) as socket:
            await socket.send("x")
            await socket.recv()
            await end()
            await asyncio.wait_for(socket.wait_closed(), 5)
            assert socket.close_code == 1012
        if end == rig.hub.stop:
            await rig.hub.start()


# ---- files


async def test_hashed_names_are_kept_for_a_year_and_others_are_asked_for_again(
    rig: Rig, http: aiohttp.ClientSession
) -> None:
    async with http.get(f"{rig.url}/static/lab/main.0123456789abcdef.js") as answer:
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.content_type == "text/javascript"
    async with http.get(f"{rig.url}/static/lab/style.css") as answer:
        assert answer.headers["Cache-Control"] == "no-cache"
        etag = answer.headers["ETag"]
    async with http.get(f"{rig.url}/static/lab/style.css", headers={"If-None-Match": etag}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
    async with http.head(f"{rig.url}/static/lab/style.css", headers={"Accept-Encoding": "identity"}) as answer:
        assert (answer.status, answer.headers["Content-Length"], await answer.read()) == (200, "17000", b"")
    assert not rig.hub.requests


async def test_a_file_is_compressed_once_and_then_served_compressed(
    rig: Rig, http: aiohttp.ClientSession, files: Path, tmp_path: Path
) -> None:
    url, headers = f"{rig.url}/static/lab/style.css", {"Accept-Encoding": "gzip, br"}
    async with http.get(url, headers=headers) as answer:
        await answer.read()
    await eventually(lambda: list((tmp_path / "cache").glob("*.gz")))
    async with http.get(url, headers=headers) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(await answer.read()) == (files / "style.css").read_bytes()
    async with http.get(url, headers={"Accept-Encoding": "gzip;q=0"}) as answer:
        assert "Content-Encoding" not in answer.headers
        assert await answer.read() == (files / "style.css").read_bytes()
    async with http.get(f"{rig.url}/static/lab/sub/font.woff2", headers=headers) as answer:
        assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize(
    "name", ["link.txt", ".secret", "sub", "", "nothing.js", "sub//font.woff2", "..%2foutside.txt"]
)
async def test_only_files_within_the_root_are_served(rig: Rig, http: aiohttp.ClientSession, name: str) -> None:
    answer = await raw(rig, f"GET /static/lab/{name} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert status(answer) in (400, 404)


# ---- health and metrics


async def test_metrics_are_on_the_loopback_port_only(rig: Rig, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{rig.url}/echo"):
        pass
    async with http.get(f"http://127.0.0.1:{rig.proxy.metrics_port}/metrics") as answer:
        text = await answer.text()
    assert "kernelhub_proxy_forward_seconds_count 1.0" in text
    assert "kernelhub_proxy_connections" in text


async def test_a_proxy_that_ends_takes_no_new_connections(rig: Rig) -> None:
    await rig.proxy.close()
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", rig.proxy.port), 1):
        pass


async def test_errors_name_no_software_and_no_traceback(rig: Rig) -> None:
    answer = await raw(rig, b"BREW / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert status(answer) == 405
    assert b"ornado" not in answer
    assert b"Traceback" not in answer
