"""How far starts are: the queue's order, the steps, and who follows them."""

from __future__ import annotations

import asyncio

from hub.domain.ids import UserId
from hub.workspaces.progress import KEPT_ENDED, Phase, Progress, StartKey, Step

ADA, BEN, CID = (StartKey(UserId(name), "p") for name in ("ada", "ben", "cid"))


async def follow(progress: Progress, key: StartKey) -> list[Step]:
    return [step async for step in progress.follow(key)]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_starts_beyond_the_limit_see_their_place_in_the_queue() -> None:
    progress, turns = Progress(), asyncio.Semaphore(1)
    gates = {key: asyncio.Event() for key in (ADA, BEN, CID)}

    async def start(key: StartKey) -> None:
        async with progress.turn(key, turns):
            progress.note(key, Phase.CREATING)
            await gates[key].wait()
        progress.ready(key)

    tasks = []
    for key in (ADA, BEN, CID):
        tasks.append(asyncio.ensure_future(start(key)))
        await settle()
    steps = [progress.find(key) for key in (ADA, BEN, CID)]
    assert [(step.phase, step.position) for step in steps if step] == [
        (Phase.CREATING, 0),
        (Phase.QUEUED, 0),
        (Phase.QUEUED, 1),
    ]
    assert progress.queue() == [BEN, CID]
    gates[ADA].set()
    await settle()
    assert progress.queue() == [CID]
    left = progress.find(CID)
    assert left is not None and left.position == 0 and "You are next" in left.message
    for gate in gates.values():
        gate.set()
    await asyncio.gather(*tasks)
    assert progress.queue() == []


async def test_a_start_that_is_given_up_leaves_the_queue() -> None:
    progress, turns = Progress(), asyncio.Semaphore(0)

    async def start(key: StartKey) -> None:
        async with progress.turn(key, turns):
            raise AssertionError("it never comes to its turn")

    tasks = [asyncio.ensure_future(start(key)) for key in (ADA, BEN)]
    await settle()
    tasks[0].cancel()
    await settle()
    assert progress.queue() == [BEN]
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    turns.release()
    assert not turns.locked()


async def test_followers_see_the_steps_until_the_last_one() -> None:
    progress = Progress()
    progress.request(ADA)
    followers = [asyncio.ensure_future(follow(progress, ADA)) for _ in range(2)]
    await settle()
    progress.note(ADA, Phase.GREETING)
    await settle()
    progress.fail(ADA, "The image is not there.")
    for steps in await asyncio.gather(*followers):
        assert [step.phase for step in steps] == [Phase.REQUESTED, Phase.GREETING, Phase.FAILED]
        assert (steps[-1].message, steps[-1].percent) == ("The image is not there.", 100)
    assert [step.phase for step in await follow(progress, ADA)] == [Phase.FAILED], "who comes too late sees the end"
    assert await follow(progress, BEN) == []


async def test_asking_again_changes_nothing_of_a_start_under_way_but_begins_one_that_ended() -> None:
    progress = Progress()
    progress.note(ADA, Phase.GREETING)
    progress.request(ADA)
    assert progress.find(ADA) == Step(Phase.GREETING, "Your container runs; its first answer is awaited.")
    progress.ready(ADA)
    progress.request(ADA)
    found = progress.find(ADA)
    assert found is not None and found.phase is Phase.REQUESTED


def test_only_the_latest_ends_are_remembered() -> None:
    progress = Progress()
    progress.note(CID, Phase.CREATING)
    for number in range(KEPT_ENDED + 3):
        progress.ready(StartKey(UserId(str(number)), "p"))
    assert progress.find(StartKey(UserId("0"), "p")) is None
    assert progress.find(StartKey(UserId("3"), "p")) is not None
    assert progress.find(CID) is not None
