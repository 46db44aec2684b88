"""The picture's rows: what becomes of each in words, and which of them somebody sees."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from hub.domain.culling import Action, Decision, Rule
from hub.domain.ids import KernelId, SessionId, UserId, WorkspaceId
from hub.domain.kernels import Kernel, KernelState, Session
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.live.choosing import ORDERS, SHOWN, Choice, choose
from hub.live.picture import Picture, draw
from hub.live.use import Sample, Use
from hub.store.running import RunningWorkspace

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def running(name: str, *states: KernelState, state: WorkspaceState = WorkspaceState.RUNNING) -> RunningWorkspace:
    workspace_id, user_id = WorkspaceId(f"w-{name}"), UserId(f"u-{name}")
    workspace = Workspace(workspace_id, user_id, "small", state, "image:1", Limits(10**9, 2.0, None), "c", NOW)
    kernels = [
        Kernel(KernelId(f"k-{name}-{number}"), workspace_id, user_id, "python3", each, NOW, NOW)
        for number, each in enumerate(states)
    ]
    sessions = {
        kernel.id: [Session(SessionId("s"), user_id, kernel.id, f"{name}.ipynb", f"{name}.ipynb", "notebook", NOW)]
        for kernel in kernels
    }
    return RunningWorkspace(workspace, name, kernels, sessions)


def picture(*places: RunningWorkspace, decisions: dict[str, list[Decision]] | None = None) -> Picture:
    def decided(ids: list[WorkspaceId]) -> tuple[datetime | None, list[Decision]]:
        return NOW - timedelta(minutes=1), [each for one in ids for each in (decisions or {}).get(one, [])]

    uses = {WorkspaceId("w-ada"): Use()}
    uses[WorkspaceId("w-ada")].add(Sample(0.0, 1.0, 5000, None, {}))
    return draw(NOW, places, uses, decided, lambda kernel: 1, lambda workspace: 2)


def owners(of: Picture, **choice: str) -> list[str]:
    values = {"search": "", "shown": "all", "order": "owner", "page": "1", **choice}
    return [place.owner for place in choose(of.places, Choice.of(**values)).places]


def test_rows_are_found_by_user_notebook_and_image() -> None:
    shown = picture(running("ada", KernelState.IDLE), running("bob", KernelState.BUSY), running("eve"))
    assert owners(shown) == ["ada", "bob", "eve"]
    assert owners(shown, search="BOB.ip") == ["bob"] and owners(shown, search="image:1") == ["ada", "bob", "eve"]
    assert owners(shown, shown="busy") == ["bob"] and owners(shown, shown="idle") == ["ada"]
    assert owners(shown, shown="empty") == ["eve"]
    assert owners(shown, order="memory")[0] == "ada"
    assert owners(picture(running("x", state=WorkspaceState.STARTING)), shown="starting") == ["x"]


def test_what_comes_next_is_the_containers_end_before_its_kernels() -> None:
    ada = WorkspaceId("w-ada")
    kernel = Decision(Action.KEEP, ada, KernelId("k-ada-0"), "idle for 5 min", timedelta(minutes=25))
    holds = Decision(Action.KEEP, ada, None, "it holds 1 kernel")
    [place] = picture(running("ada", KernelState.IDLE), decisions={ada: [kernel, holds]}).places
    assert place.fate == "its kernel is shut in 24 min" and place.ends_at == NOW + timedelta(minutes=24)
    empty = Decision(Action.KEEP, ada, None, "empty for 3 min", timedelta(seconds=30))
    [place] = picture(running("ada"), decisions={ada: [empty]}).places
    assert place.fate == "stops at any moment"
    busy = Decision(Action.KEEP, ada, KernelId("k-ada-0"), "a cell is running")
    [place] = picture(running("ada", KernelState.BUSY), decisions={ada: [busy, holds]}).places
    assert place.fate == "stays: a cell is running" and place.ends_at is None


def test_a_container_that_was_empty_when_it_was_looked_at_is_not_once_a_kernel_is_in_it() -> None:
    ada = WorkspaceId("w-ada")
    empty = Decision(Action.KEEP, ada, None, "empty for 1 min", timedelta(minutes=15), Rule.WORKSPACE_EMPTY)
    [place] = picture(running("ada"), decisions={ada: [empty]}).places
    assert place.fate == "empty, stops in 14 min"
    [place] = picture(running("ada", KernelState.IDLE), decisions={ada: [empty]}).places
    assert place.fate == "" and place.ends_at is None
    gone = Decision(Action.REPORT_DEAD, ada, KernelId("k-ada-0"), "out of memory")
    [place] = picture(running("ada", KernelState.DEAD), decisions={ada: [gone, empty]}).places
    assert place.fate == "empty, stops in 14 min", "that kernel was seen"


@given(*(some.text(max_size=80) for _ in range(4)))
def test_nothing_in_an_address_breaks_the_page(search: str, shown: str, order: str, page: str) -> None:
    choice = Choice.of(search, shown, order, page)
    assert choice.shown in SHOWN and choice.order in ORDERS and choice.page >= 1
    assert Choice.of(*(str(value) for value in (choice.search, choice.shown, choice.order, choice.page))) == choice


@pytest.mark.parametrize(("page", "expected"), [("1", 50), ("2", 50), ("3", 20), ("9", 20)])
def test_a_page_that_is_not_there_is_the_last_one(page: str, expected: int) -> None:
    many = picture(*(running(f"user{number:03}") for number in range(120)))
    chosen = choose(many.places, Choice.of("", "", "owner", page))
    assert len(chosen.places) == expected and chosen.pages == 3 and chosen.found == 120


def test_counts_are_of_everything() -> None:
    counts = picture(running("ada", KernelState.IDLE, KernelState.BUSY), running("eve", KernelState.DEAD)).counts()
    assert (counts.containers, counts.kernels, counts.busy) == (2, 2, 1)
