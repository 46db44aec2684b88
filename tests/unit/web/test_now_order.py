"""The page *Now* says what the comparisons of database, engine and run folders found."""

from __future__ import annotations

from hub.live.picture import Picture
from hub.live.sampler import House
from hub.web.rendering import macros
from hub.workspaces.differences import Kind
from hub.workspaces.rounds import Outcome, Round, Rounds
from proxy.kit.clock import ManualClock


def shown(rounds: Rounds, clock: ManualClock) -> str:
    counts = Picture(clock.now(), ()).counts()
    return str(macros("_now.html").health(House(), counts, [], rounds.summary(clock.now())))


def test_the_last_rounds_are_told(clock: ManualClock) -> None:
    rounds = Rounds()
    rounds.add(Round(clock.now(), 0.01, Outcome.DONE, {Kind.FOUND_RUNNING: 1}))
    html = shown(rounds, clock)
    assert "database, engine and folders agree" in html and "1 found running" in html and "state good" in html


def test_a_hub_on_the_wrong_database_is_told(clock: ManualClock) -> None:
    rounds = Rounds()
    rounds.add(Round(clock.now(), 0.01, Outcome.HELD, {}, 5, "is this the right database?"))
    assert "nothing is done: is this the right database?" in shown(rounds, clock)
