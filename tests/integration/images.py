"""The kernel image that tests with a real engine use: built once per machine, as an administrator would."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from hub import images
from hub.config import Settings
from hub.errors import EngineSilent
from tests.conftest import missing

T = TypeVar("T")
HOW = "install and start a Docker Engine (`apt-get install docker.io`)"


def require_engine() -> None:
    """Skip the test where no engine answers; fail it in CI."""
    if not _engine_answers():
        missing("Docker Engine", HOW)


def minimal_image() -> str:
    """The tag of the image `minimal`, built if the engine does not have it. Skips or fails like require_engine."""
    return _built("minimal")


def datascience_image() -> str:
    """The tag of the image `datascience`, built if the engine does not have it."""
    return _built("datascience")


def image_of(name: str) -> str:
    """The tag of one of the images of deploy/images, built if the engine does not have it."""
    return _built(name)


def image_of_registry(name: str) -> str:
    """The tag of an image whose base only a registry has. Skips, with the reason, where none answers."""
    try:
        return _built(name)
    except images.BuildFailed as failed:
        pytest.skip(f"kernelhub/{name} cannot be built here: {str(failed)[:300]}")


@functools.cache
def _built(name: str) -> str:
    require_engine()
    tag = images.tag_of(name)
    settings = Settings()
    if not _run(images.image_present(settings, tag)):
        _run(images.build(settings, name, None, print))
    return tag


@functools.cache
def _engine_answers() -> bool:
    try:
        _run(images.image_present(Settings(), "kernelhub/none:latest"))
    except EngineSilent:
        return False
    return True


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to its end in a thread: fixtures are called with and without a running event loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
