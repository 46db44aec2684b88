"""The front ends as a service: what the installation offers, and each user's own settings of it.

The catalogue is read, or built by a child process, once per process and locale, in the background; nothing
here is imported or computed while the hub starts, and nothing blocks the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from hub.domain.ids import UserId
from hub.errors import Unavailable
from hub.jupyter.announcements import Events, Liveness
from hub.jupyter.catalogue import DEFAULT_LOCALE, Catalogue, decode, encode, fingerprint
from hub.jupyter.child import run_module
from hub.jupyter.json_folder import JsonFolder
from hub.jupyter.layouts import Layouts
from hub.jupyter.settings import SchemaBook
from hub.jupyter.themes import Themes
from proxy.kit.tasks import TaskOwner

log = logging.getLogger(__name__)
T = TypeVar("T")

BUILD_SECONDS = 60.0
MAX_LOCALES = 8


class FrontEnds:
    """What the installed front ends consist of, and the folders with what users changed.

    `data_dir` is the hub's data folder. Call `start` once a loop runs, `close` at the end.
    """

    def __init__(self, data_dir: Path) -> None:
        self._lab = data_dir / "lab"
        self._cache = data_dir / "cache"
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="lab")
        self._tasks = TaskOwner("frontends")
        self._books: OrderedDict[str, asyncio.Task[SchemaBook]] = OrderedDict()
        self.layouts = Layouts()
        self.themes = Themes()
        self.events = Events()
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to load the catalogue, so that the first page does not wait for it."""
        self._loading(DEFAULT_LOCALE)

    async def close(self) -> None:
        """End the background work."""
        await self._tasks.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def book(self, locale: str | None = None) -> SchemaBook:
        """The schemas, in the words of `locale` if its language pack is installed, else in English.

        Raises Unavailable when JupyterLab is not installed or does not answer.
        """
        default = await self._loaded(DEFAULT_LOCALE)
        if locale is None or locale == DEFAULT_LOCALE or locale not in default.catalogue.languages:
            return default
        return await self._loaded(locale)

    async def catalogue(self, locale: str | None = None) -> Catalogue:
        """What is installed. See `book`."""
        return (await self.book(locale)).catalogue

    def watch_events(self, live: Liveness) -> None:
        """From now on close the sockets of `events` whose sign-in or token has ended; again is harmless."""
        if self._watching is None or self._watching.done():
            self._watching = self._tasks.start(self.events.watch(live), "events")

    def settings_of(self, user_id: UserId) -> JsonFolder:
        """The folder with a user's settings."""
        return self._folder(user_id, "settings")

    def layouts_of(self, user_id: UserId) -> JsonFolder:
        """The folder with a user's layouts (JupyterLab's workspaces)."""
        return self._folder(user_id, "workspaces")

    def config_of(self, user_id: UserId) -> JsonFolder:
        """The folder with a user's configuration sections."""
        return self._folder(user_id, "config")

    def identity_of(self, user_id: UserId) -> JsonFolder:
        """The folder with what a user chose of their own looks."""
        return self._folder(user_id, "identity")

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Call a function that blocks for a moment, in one of this service's threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    def _folder(self, user_id: UserId, kind: str) -> JsonFolder:
        return JsonFolder(self._lab / user_id / kind)

    async def _loaded(self, locale: str) -> SchemaBook:
        loading = self._loading(locale)
        try:
            async with asyncio.timeout(BUILD_SECONDS):
                return await asyncio.shield(loading)
        except TimeoutError as error:
            raise Unavailable("JupyterLab is still being prepared; reload in a moment.") from error

    def _loading(self, locale: str) -> asyncio.Task[SchemaBook]:
        task = self._books.get(locale)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._tasks.start(self._load(locale), f"catalogue.{locale}")
            self._books[locale] = task
        self._books.move_to_end(locale)
        while len(self._books) > MAX_LOCALES:
            oldest = next(key for key in self._books if key != DEFAULT_LOCALE)
            del self._books[oldest]
        return task

    async def _load(self, locale: str) -> SchemaBook:
        name = await self.run(fingerprint)
        file = self._cache / f"lab-{name}-{locale}.json"
        found = await self.run(_read, file)
        if found is None:
            found = await _build(locale)
            await self.run(_keep, file, encode(found))
        return SchemaBook(found)


async def _build(locale: str) -> Catalogue:
    """Ask the installation, in a child process."""
    ended = await run_module("hub.jupyter.build_catalogue", locale, seconds=BUILD_SECONDS)
    if ended.status != 0:
        log.error("JupyterLab cannot be used: %s", ended.complaints[-2000:])
        raise Unavailable("JupyterLab is not properly installed here; this hub's administrators see why in its log.")
    return decode(ended.output)


def _read(file: Path) -> Catalogue | None:
    try:
        return decode(file.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None


def _keep(file: Path, data: bytes) -> None:
    """Write the catalogue for the next start; without it the next start is only slower."""
    temporary = file.with_suffix(".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.write_bytes(data)
        temporary.rename(file)
        for other in file.parent.glob("lab-*.json"):
            if other.name.split("-")[1] != file.name.split("-")[1]:
                other.unlink(missing_ok=True)
    except OSError as error:
        log.warning("the catalogue of JupyterLab could not be kept: %s", error)
