"""Requests, performed: decided, held against the ground and the record of users, done by the engine, logged.

A line of the log for each container that is made, removed, paused or thawed, and for each request that is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time

from hub.domain.ids import WorkspaceId
from hub.errors import EngineSilent, HubError, SpawnerRefused, StartFailed
from hub.spawn import wire
from hub.spawn.folders import Folders
from hub.spawn.protocol import Spawner, WorkspaceSpec
from hub.spawner import ground
from hub.spawner.decide import checked_grace, checked_id, checked_image, decide, is_known
from hub.spawner.owners import Owners
from hub.spawner.rules import Rules

log = logging.getLogger("hub.spawner")

QUESTION_SECONDS = 60.0
START_SPARE_SECONDS = 60.0
"""Beside the wait for the agent: the engine's own calls, each under a deadline of its own."""
MOST_LINES = 100
LINES_SECONDS = 10.0
"""Refusals that are logged one by one within this time; a flood of them must not fill the disk."""
_HUB_ID = re.compile(r"[0-9a-f]{16}\Z")


class Service:
    """Answers requests by the rules. Owns neither the engine's adapter nor the record."""

    def __init__(self, rules: Rules, engine: Spawner, own: Folders, owners: Owners) -> None:
        self._rules = rules
        self._engine = engine
        self._own = own
        self._owners = owners
        self._refusals = Refusals()

    async def answer(self, request: wire.Request, who: str) -> wire.Answer:
        """Perform one request; `who` is the peer, for the log. Never raises but when cancelled."""
        seconds = QUESTION_SECONDS
        if isinstance(request, wire.Start):
            seconds = self._rules.start_seconds + START_SPARE_SECONDS
        try:
            async with asyncio.timeout(seconds):
                return await self._perform(request)
        except TimeoutError:
            silent = EngineSilent("The container engine does not answer; nothing is known of the request.")
            return wire.failed(silent)
        except SpawnerRefused as error:
            self.refused(_words(request), error.message, who)
            return wire.Failed(error.code, f"The spawner refused this: {error.message}.")
        except HubError as error:
            log.info("%s failed: %s", _words(request), error.message)
            return wire.failed(error)
        except Exception:
            log.exception("%s failed", _words(request))
            return wire.failed(StartFailed("The spawner failed; its log says why."))

    def refused(self, what: str, why: str, who: str) -> None:
        """Leave the line that each refusal leaves."""
        if (words := self._refusals.words(time.monotonic(), f"refused {what} of {who}: {why}")) is not None:
            log.warning("%s", words)

    async def _perform(self, request: wire.Request) -> wire.Answer:
        match request:
            case wire.Start():
                return wire.Text(await self._start(request))
            case wire.Stop():
                await self._stop(checked_id(request.workspace_id), checked_grace(request.grace_seconds))
            case wire.Pause():
                await self._engine.pause(checked_id(request.workspace_id))
                log.info("container of %s paused", request.workspace_id)
            case wire.Thaw():
                await self._engine.thaw(checked_id(request.workspace_id))
                log.info("container of %s thawed", request.workspace_id)
            case wire.Reclaim():
                return await self._reclaim(checked_id(request.workspace_id))
            case wire.State():
                return wire.Seen([await self._engine.state(checked_id(request.workspace_id))])
            case wire.Inventory():
                return wire.Seen(await self._engine.inventory())
            case wire.ImageId():
                return wire.Text(await self._engine.image_id(checked_image(request.image, self._rules)))
            case wire.Images():
                return wire.Names([name for name in await self._engine.image_names() if is_known(name, self._rules)])
            case wire.Ping():
                await self._engine.ping()
        return wire.Text()

    async def _start(self, request: wire.Start) -> str:
        spec = await asyncio.to_thread(self._decided, request)
        container_id = await self._engine.start(spec)
        log.info("%s runs as container %.12s (uid %d, image %s)", _words(request), container_id, spec.uid, spec.image)
        return container_id

    async def _stop(self, workspace_id: WorkspaceId, grace_seconds: float) -> None:
        await self._engine.stop(workspace_id, grace_seconds)
        await asyncio.to_thread(self._remove_accounts, workspace_id)
        log.info("container of %s removed", workspace_id)

    async def _reclaim(self, workspace_id: WorkspaceId) -> wire.Amount:
        given_back = await self._engine.reclaim(workspace_id)
        if given_back:
            log.info("container of %s gave back %d MiB of memory", workspace_id, given_back // 1024**2)
        return wire.Amount(given_back)

    def _decided(self, request: wire.Start) -> WorkspaceSpec:
        try:
            spec = decide(request, self._rules, self._own.prepare_agent())
        except OSError as error:
            raise StartFailed(f"The spawner's folders could not be made: {error.strerror}.") from error
        if request.number:
            self._owners.require(request.user_id, request.number)
        ground.check(spec, self._rules.data_dir)
        return spec

    def _remove_accounts(self, workspace_id: WorkspaceId) -> None:
        folder = self._own.accounts(workspace_id)
        with contextlib.suppress(OSError):
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()


class Refusals:
    """Bounds the log: so many lines in a span of time, then how many there were beside. Pure but for itself."""

    def __init__(self) -> None:
        self._began = -LINES_SECONDS
        self._lines = 0

    def words(self, now: float, line: str) -> str | None:
        """What is to be logged at `now` (seconds): the line, with what was left out before; None for nothing."""
        if now - self._began >= LINES_SECONDS:
            left_out = max(0, self._lines - MOST_LINES)
            self._began, self._lines = now, 1
            return f"{line} ({left_out} refusals before it were not logged)" if left_out else line
        self._lines += 1
        return line if self._lines <= MOST_LINES else None


def adopt_hub_id(rules: Rules, own: Folders) -> str:
    """The label of this hub's containers: kept in the spawner's folder, shown in the data folder. Raises OSError.

    A hub of before there were spawners left it in the data folder; from then on that file is not believed.
    """
    shown, kept = rules.data_dir / "hub-id", rules.folder / "hub-id"
    if not kept.exists() and shown.is_file() and _HUB_ID.match(before := shown.read_text().strip()):
        kept.write_text(before + "\n")
    hub_id = own.hub_id()
    if not shown.exists() or shown.read_text().strip() != hub_id:
        shown.unlink(missing_ok=True)
        shown.write_text(hub_id + "\n")
    return hub_id


def _words(request: wire.Request) -> str:
    """A request in the log."""
    name = type(request).__name__.lower()
    match request:
        case wire.Start():
            return f"{name} {request.purpose} {request.workspace_id[:40]!r} user {request.user_id[:40]!r}"
        case wire.Stop() | wire.Pause() | wire.Thaw() | wire.Reclaim() | wire.State():
            return f"{name} {request.workspace_id[:40]!r}"
        case wire.ImageId():
            return f"{name} {request.image[:80]!r}"
    return name
