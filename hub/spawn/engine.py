"""The engine's HTTP API behind a bounded thread pool with deadlines, and its failures in the hub's words.

The `docker` package blocks. Its calls run in threads of two pools, each under a deadline: one that does not
return in time raises EngineSilent, and its thread is freed by the HTTP timeout a little later.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import docker
import docker.utils
import requests.exceptions
from docker.errors import APIError, DockerException, NotFound

from hub.errors import EngineSilent

CALL_SECONDS = 15
THREADS = 8
WAITING_THREADS = 32
"""For calls that wait by their nature, such as stops: containers that will not end must keep no thaw waiting."""

T = TypeVar("T")


class Engine:
    """One engine. `url` is its address, None for the environment's (DOCKER_HOST) or the default socket.

    Nothing is connected before the first call. `close` frees the connections and threads.
    """

    def __init__(self, url: str | None = None, call_seconds: int = CALL_SECONDS) -> None:
        self._url = url
        self._call_seconds = call_seconds
        self._client: docker.APIClient | None = None
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="engine")
        self._waiting = ThreadPoolExecutor(WAITING_THREADS, thread_name_prefix="engine-waiting")

    async def call(self, work: Callable[[Any], T], extra_seconds: float = 0.0) -> T:
        """Do `work` with the client, a `docker.APIClient`, in a thread; give what it gives.

        `extra_seconds` is time that the call itself asks for, such as the grace of a stop; it has other threads then.
        Raises EngineSilent when there is no answer in time or the engine fails (5xx); docker's NotFound and
        other APIError (4xx) pass through, since what they mean depends on the question.
        """
        seconds = self._call_seconds + extra_seconds
        pool = self._waiting if extra_seconds else self._pool
        loop = asyncio.get_running_loop()
        with said_as_silence():
            return await asyncio.wait_for(loop.run_in_executor(pool, self._work, work), seconds)

    def _work(self, work: Callable[[Any], T]) -> T:
        if self._client is None:
            self._client = connect(self._url, self._call_seconds)
        return work(self._client)

    async def close(self) -> None:
        """Release connections and threads; calls under way are abandoned."""
        for pool in (self._pool, self._waiting):
            pool.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()


def connect(url: str | None, timeout_seconds: int) -> docker.APIClient:
    """A client of the engine at `url`, or where the environment says; asks for the engine's version."""
    settings = docker.utils.kwargs_from_env()
    if url is not None:
        settings["base_url"] = url
    return docker.APIClient(version="auto", timeout=timeout_seconds, **settings)


@contextlib.contextmanager
def said_as_silence() -> Iterator[None]:
    """Turn "no answer" and "the engine failed" into EngineSilent; leave refusals (4xx) as they are."""
    try:
        yield
    except APIError as error:
        if isinstance(error, NotFound) or not error.is_server_error():
            raise
        raise EngineSilent(f"The container engine failed: {explanation(error)}") from error
    except (TimeoutError, requests.exceptions.RequestException, DockerException, OSError) as error:
        raise EngineSilent("The container engine does not answer; nothing was changed. Try again soon.") from error


def explanation(error: APIError) -> str:
    """The engine's own sentence."""
    return str(error.explanation or error).strip().rstrip(".")
