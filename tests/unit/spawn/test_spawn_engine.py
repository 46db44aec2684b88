"""hub.spawn.engine: what is silence, and what is an answer."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
import requests
from docker.errors import APIError, NotFound

from hub.errors import EngineSilent
from hub.spawn.engine import THREADS, Engine, said_as_silence


def response(status: int) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    return made


@pytest.mark.parametrize("status", [500, 502, 503])
def test_an_engine_that_fails_is_silent(status: int) -> None:
    with pytest.raises(EngineSilent, match="disk on fire"), said_as_silence():
        raise APIError("failed", response(status), "disk on fire")


@pytest.mark.parametrize("error", [APIError("bad", response(400)), APIError("taken", response(409))])
def test_a_refusal_is_an_answer(error: APIError) -> None:
    with pytest.raises(APIError), said_as_silence():
        raise error


def test_not_found_is_an_answer() -> None:
    with pytest.raises(NotFound), said_as_silence():
        raise NotFound("nothing", response(404))


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionRefusedError(), requests.ReadTimeout()])
def test_no_answer_is_silence(error: Exception) -> None:
    with pytest.raises(EngineSilent), said_as_silence():
        raise error


async def test_an_engine_that_accepts_and_never_answers_is_silent_after_the_deadline(data_dir: Path) -> None:
    async def hold(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        writer.close()

    held = asyncio.Event()
    server = await asyncio.start_unix_server(hold, str(data_dir / "engine.sock"))
    engine = Engine(f"unix://{data_dir}/engine.sock", call_seconds=1)
    try:
        with pytest.raises(EngineSilent):
            await engine.call(lambda client: client.ping())
    finally:
        held.set()
        await engine.close()
        server.close()


async def test_an_engine_that_comes_back_is_found_again(data_dir: Path) -> None:
    engine = Engine(f"unix://{data_dir}/engine.sock", call_seconds=1)
    with pytest.raises(EngineSilent):
        await engine.call(lambda client: client.ping())

    server = await asyncio.start_unix_server(tell_version, str(data_dir / "engine.sock"))
    assert (await engine.call(lambda client: client.version()))["ApiVersion"] == "1.41"
    await engine.close()
    server.close()


async def test_many_containers_that_do_not_end_keep_nobody_waiting(data_dir: Path) -> None:
    """As when many are stopped at once, with a grace each, and somebody's paused one is to go on."""
    server = await asyncio.start_unix_server(tell_version, str(data_dir / "engine.sock"))
    engine = Engine(f"unix://{data_dir}/engine.sock", call_seconds=5)
    ended = threading.Event()
    stops = [asyncio.create_task(engine.call(lambda _: ended.wait(), extra_seconds=20.0)) for _ in range(2 * THREADS)]
    await asyncio.sleep(0)  # all of them have begun
    try:
        assert (await engine.call(lambda client: client.version()))["ApiVersion"] == "1.41"
        assert not any(stop.done() for stop in stops)
    finally:
        ended.set()
        await asyncio.gather(*stops)
        await engine.close()
        server.close()


async def tell_version(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An engine that answers everything with its version."""
    await reader.readuntil(b"\r\n\r\n")
    body = b'{"ApiVersion": "1.41"}'
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
    writer.close()
