"""hub.spawner.server: who may ask, how much, and what is refused, over a real socket with a fake engine behind it."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hub.domain.ids import WorkspaceId
from hub.spawn.folders import Folders
from hub.spawn.protocol import Observation, Presence
from hub.spawn.remote import MOST_AT_ONCE, MOST_RECLAIMS, RemoteSpawner
from hub.spawner import server as server_module
from hub.spawner.rules import Ceilings, Rules
from tests.contract.fake_spawner import FakeSpawner
from tests.contract.spawner_worlds import rules, serve
from tests.harness import hostile_hub as hostile


@dataclass
class Listening:
    """A spawner in this process."""

    rules: Rules
    engine: FakeSpawner

    async def say(self, sent: bytes) -> dict[str, Any] | None:
        return await asyncio.to_thread(hostile.say, self.rules.socket, sent)

    async def ask(self, request: dict[str, Any]) -> dict[str, Any] | None:
        return await asyncio.to_thread(hostile.ask, self.rules.socket, request)

    @property
    def starts(self) -> int:
        return sum(what in ("start", "stop", "pause", "thaw", "reclaim") for what, _ in self.engine.calls)


@pytest.fixture
async def listening(data_dir: Path) -> AsyncIterator[Listening]:
    engine = FakeSpawner()
    given = rules(
        data_dir,
        "an/image:1",
        base_uid=200_000,
        base_gid=100,
        allowed_images=["allowed/*"],
        ceilings=Ceilings(tmp_bytes=1024**3, gpus=2),
    )
    close = await serve(given, engine)
    yield Listening(given, engine)
    await close()


@pytest.mark.parametrize("what", hostile.HOSTILE)
async def test_what_a_hostile_hub_asks_for_is_refused_and_logged(
    listening: Listening, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    _make_folders(listening.rules, hostile.USER, hostile.WORKSPACE, 200_007)
    answer = await listening.ask(hostile.HOSTILE[what])
    assert answer is not None and answer["code"] == "workspace.spawner_refused", answer
    assert listening.starts == 0
    assert [
        r.levelname for r in caplog.records if r.message.startswith("refused ") and f"uid {os.geteuid()}" in r.message
    ]


@pytest.mark.parametrize("what", hostile.GARBLED)
async def test_what_is_no_message_is_refused(listening: Listening, what: str) -> None:
    answer = await listening.say(hostile.framed(hostile.GARBLED[what]))
    assert answer is not None and answer["code"] == "workspace.spawner_refused"
    assert (await listening.ask({"type": "ping"})) == {"type": "text"}


async def test_a_frame_without_bounds_is_refused_before_it_is_read(listening: Listening) -> None:
    for length in (0, 64 * 1024 + 1, 2**32 - 1):
        answer = await listening.say(struct.pack("!I", length) + b"x" * 1000)
        assert answer is None or "bytes" in answer["message"]
    assert (await listening.ask({"type": "ping"})) == {"type": "text"}


async def test_another_uid_is_refused(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = rules(data_dir, "an/image:1")
    engine = FakeSpawner()
    close = await serve(given, engine)
    stranger = Listening(msgspec.structs.replace(given, hub_uid=given.hub_uid + 1), engine)
    server_rules = await _server_with(stranger.rules, engine)
    answer = await stranger.ask({"type": "ping"})
    assert answer is not None and "only the hub's account" in answer["message"]
    assert engine.calls == []
    assert any("refused a connection" in record.message for record in caplog.records)
    await server_rules()
    await close()


async def _server_with(given: Rules, engine: FakeSpawner) -> Any:
    """A second server on the same socket whose rules name another uid (root may still connect)."""
    if os.geteuid() != 0:
        pytest.skip("only root can give the socket away")
    return await serve(given, engine)


async def test_a_request_that_does_not_come_is_not_waited_for(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.05)
    answer = await listening.say(struct.pack("!I", 100) + b"{")
    assert answer is not None and "did not come" in answer["message"]


async def test_a_flood_of_connections_is_refused_and_ends(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MOST_CONNECTIONS", 3)
    idle = []
    for _ in range(3):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(listening.rules.socket))
        idle.append(connection)
    await asyncio.sleep(0)
    answer = await listening.ask({"type": "ping"})
    assert answer is not None and "too many requests" in answer["message"]
    for connection in idle:
        connection.close()
    async with asyncio.timeout(5):
        while (await listening.ask({"type": "ping"})) != {"type": "text"}:
            await asyncio.sleep(0.01)


async def test_the_number_of_a_user_is_the_first_that_was_said(listening: Listening) -> None:
    ada, eve = "a" * 26, "e" * 26
    for user, number in ((ada, 1), (eve, 2)):
        _make_folders(listening.rules, user, hostile.WORKSPACE, 200_000 + number)
        answer = await listening.ask(hostile.start(user_id=user, number=number))
        if os.geteuid() == 0:
            assert answer == {"type": "text", "text": "fake-1"}, answer
            listening.engine.containers.clear()
            listening.engine._numbers = iter([1])  # type: ignore[assignment]
    for user, number in ((ada, 2), (ada, 3), (eve, 1), ("f" * 26, 1)):
        answer = await listening.ask(hostile.start(user_id=user, number=number))
        assert answer is not None and "is not this user's" in answer["message"]


def _make_folders(given: Rules, user: str, workspace: str, uid: int) -> None:
    for folder in (given.data_dir / "homes" / user, given.data_dir / "run" / workspace):
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(folder, uid, 100)


async def test_a_known_profile_is_taken_from_the_configuration(listening: Listening) -> None:
    if os.geteuid() != 0:
        pytest.skip("folders of other uids need root")
    _make_folders(listening.rules, hostile.USER, hostile.WORKSPACE, 200_007)
    assert await listening.ask(hostile.START) == {"type": "text", "text": "fake-1"}
    spec = listening.engine.specs[WorkspaceId(hostile.WORKSPACE)]
    data = listening.rules.data_dir
    assert (spec.image, spec.uid, spec.gid, spec.network) == ("an/image:1", 200_007, 100, "none")
    assert (spec.home_folder, spec.run_folder) == (data / "homes" / hostile.USER, data / "run" / hostile.WORKSPACE)


async def test_an_administrators_profile_within_what_is_allowed_is_started(listening: Listening) -> None:
    if os.geteuid() != 0:
        pytest.skip("folders of other uids need root")
    _make_folders(listening.rules, hostile.USER, hostile.WORKSPACE, 200_007)
    asked = hostile.defined(environment={"COURSE": "physics"}, gpus=["0", "1"])
    assert await listening.ask(asked) == {"type": "text", "text": "fake-1"}
    spec = listening.engine.specs[WorkspaceId(hostile.WORKSPACE)]
    assert (spec.image, spec.environment, spec.gpus) == ("allowed/image:1", {"COURSE": "physics"}, ("0", "1"))


async def test_a_container_is_paused_thawed_and_its_memory_given_back(
    listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "hub.spawner")
    workspace_id = WorkspaceId(hostile.WORKSPACE)
    listening.engine.containers[workspace_id] = Observation(workspace_id, Presence.RUNNING, "c1")
    listening.engine.spare_bytes = 5 * 1024**2
    answers = [
        await listening.ask({"type": kind, "workspace_id": workspace_id}) for kind in ("pause", "state", "reclaim")
    ]
    seen = {
        "workspace_id": workspace_id,
        "presence": "running",
        "container_id": "c1",
        "reason": None,
        "is_paused": True,
    }
    assert answers == [
        {"type": "text"},
        {"type": "seen", "containers": [seen]},
        {"type": "amount", "size_bytes": 5 * 1024**2},
    ]
    assert await listening.ask({"type": "thaw", "workspace_id": workspace_id}) == {"type": "text"}
    assert await listening.ask({"type": "reclaim", "workspace_id": workspace_id}) == {"type": "amount", "size_bytes": 0}
    assert [record.message for record in caplog.records if workspace_id in record.message] == [
        f"container of {workspace_id} paused",
        f"container of {workspace_id} gave back 5 MiB of memory",
        f"container of {workspace_id} thawed",
    ]
    listening.engine.end(workspace_id)
    for kind in ("pause", "thaw"):
        answer = await listening.ask({"type": kind, "workspace_id": workspace_id})
        assert answer is not None and answer["code"] == "conflict"


async def test_somebody_elses_home_or_a_link_is_no_home(listening: Listening) -> None:
    home = listening.rules.data_dir / "homes" / hostile.USER
    _make_folders(listening.rules, "a" * 26, hostile.WORKSPACE, 200_001)
    home.symlink_to(listening.rules.data_dir / "homes" / ("a" * 26))
    answer = await listening.ask(hostile.START)
    assert answer is not None and "is not a folder" in answer["message"]
    home.unlink()
    home.mkdir()
    if os.geteuid() == 0:
        os.chown(home, 200_001, 100)
    answer = await listening.ask(hostile.START)
    assert answer is not None and "belongs to uid" in answer["message"]
    assert listening.starts == 0


async def test_a_flood_of_refusals_does_not_fill_the_log(
    listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(150):
        await listening.say(hostile.framed(b"[]"))
    assert sum("refused" in record.message for record in caplog.records) == 100


async def test_a_hub_that_goes_away_takes_its_request_along(listening: Listening) -> None:
    given_up = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    listening.engine.ping = hang  # type: ignore[method-assign]
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(listening.rules.socket))
    connection.sendall(hostile.framed(b'{"type": "ping"}'))
    await asyncio.sleep(0.05)
    connection.close()
    async with asyncio.timeout(5):
        await given_up.wait()


async def test_a_thaw_does_not_wait_for_the_stops_of_many_and_memory_is_given_back_by_few_at_a_time(
    listening: Listening,
) -> None:
    ended, reclaims = asyncio.Event(), []

    async def stubborn(workspace_id: WorkspaceId, grace_seconds: float = 10.0) -> None:
        await ended.wait()

    async def slow(workspace_id: WorkspaceId) -> int:
        reclaims.append(workspace_id)
        await ended.wait()
        return 0

    listening.engine.stop = stubborn  # type: ignore[method-assign]
    listening.engine.reclaim = slow  # type: ignore[method-assign]
    hub = RemoteSpawner(listening.rules.socket, Folders(listening.rules.data_dir, None, None), {}, start_seconds=1.0)
    others = [WorkspaceId(f"{number:026x}") for number in range(MOST_AT_ONCE + 8)]
    work: list[asyncio.Task[Any]] = [asyncio.create_task(hub.stop(other, 0.0)) for other in others]
    work += [asyncio.create_task(hub.reclaim(other)) for other in others]
    workspace_id = WorkspaceId(hostile.WORKSPACE)
    listening.engine.containers[workspace_id] = Observation(workspace_id, Presence.RUNNING, "c1", is_paused=True)
    async with asyncio.timeout(10):
        while len(reclaims) < MOST_RECLAIMS:
            await asyncio.sleep(0.01)
        await hub.thaw(workspace_id)
    assert not listening.engine.containers[workspace_id].is_paused
    assert len(reclaims) == MOST_RECLAIMS and not any(task.done() for task in work)
    ended.set()
    await asyncio.gather(*work)


def test_the_socket_is_for_its_owner_alone(data_dir: Path) -> None:
    async def look() -> tuple[int, int]:
        given = rules(data_dir, "an/image:1")
        close = await serve(given, FakeSpawner())
        modes = given.socket.stat().st_mode & 0o777, given.folder.stat().st_mode & 0o777
        await close()
        return modes

    assert asyncio.run(look()) == (0o600, 0o700)
