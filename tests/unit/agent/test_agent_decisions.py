"""hub.agent.policy, activity, adoption, places: the agent's pure decisions."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.agent import policy
from hub.agent.activity import MOST_RUNNING, Activity
from hub.agent.adoption import adoption_code
from hub.agent.messages import Received
from hub.agent.places import child_environment, resolve_cwd
from hub.agent.signs import Control, RecentCpu

# ---- deaths


def deaths_in_a_row(
    times: list[float], was_ready: bool, restarts: policy.Restarts = policy.DEFAULT_RESTARTS
) -> list[bool]:
    deaths, decisions = policy.Deaths(), []
    for now in times:
        again, deaths = policy.decide_after_death(deaths, was_ready, now, restarts)
        decisions.append(again)
    return decisions


def test_a_kernel_is_restarted_at_most_three_times_within_a_minute() -> None:
    assert deaths_in_a_row([0, 10, 20, 30], was_ready=True) == [True, True, True, False]


def test_a_death_after_a_quiet_minute_counts_anew() -> None:
    assert deaths_in_a_row([0, 10, 20, 80, 90], was_ready=True) == [True] * 5


def test_a_kernel_that_never_answers_is_tried_three_times() -> None:
    for restarts in (policy.DEFAULT_RESTARTS, policy.Restarts(0)):
        assert deaths_in_a_row([0, 100, 200], False, restarts) == [True, True, False]


def test_restarts_are_as_many_as_the_policy_allows() -> None:
    assert deaths_in_a_row([0], True, policy.Restarts(0)) == [False]
    assert deaths_in_a_row([0, 5, 16, 17], True, policy.Restarts(1, 10.0)) == [True, False, True, False]


# ---- signs of life


def test_silence_on_control_counts_only_where_an_answer_was_to_be_expected() -> None:
    ipykernel, other = Control(True), Control(False)
    assert ipykernel.seconds(0) is None, "it was never asked"
    for control in (ipykernel, other):
        control.ask(busy=True, now=10)
    assert ipykernel.waiting and (ipykernel.seconds(17), other.seconds(17)) == (7, None)
    other.answer(busy=False)
    assert other.seconds(20) is None, "it answered when the cell had ended"
    other.ask(busy=True, now=20)
    other.answer(busy=True)
    assert other.seconds(21) == 0 and not other.waiting
    other.ask(busy=True, now=30)
    assert other.seconds(42) == 12
    other.reset()
    assert other.seconds(43) is None


def test_recent_use_of_processors_is_the_last_samples() -> None:
    cpu = RecentCpu()
    assert cpu.processors() is None
    cpu.add(100, 0)
    assert cpu.processors() is None
    for now, used in ((5, 104.0), (10, 109.0), (15, 109.0)):
        cpu.add(used, now)
    assert cpu.processors() == 0.5
    cpu.add(0.5, 20)
    assert cpu.processors() is None, "another process"


@pytest.mark.parametrize(
    ("return_code", "oom", "limit", "words"),
    [
        (-9, True, 2 * 1024**3, "out of memory (limit 2.0 GiB)"),
        (-9, True, 300 * 1024**2, "out of memory (limit 300 MiB)"),
        (-9, True, None, "out of memory"),
        (-9, False, 2 * 1024**3, "killed by SIGKILL"),
        (-11, False, None, "killed by SIGSEGV"),
        (-34, False, None, "killed by SIGRTMIN"),
        (-50, False, None, "killed by signal 50"),
        (3, False, None, "exited with status 3"),
    ],
)
def test_a_death_is_told_in_words(return_code: int, oom: bool, limit: int | None, words: str) -> None:
    assert policy.words_for_death(return_code, oom, limit) == words


# ---- spares

QUIET = {"wanted": 1, "kept": 0, "starting": 0, "busy": 0, "quiet_seconds": 10.0, "free_bytes": None}


def test_a_spare_is_started_when_all_is_quiet() -> None:
    assert policy.decide_spare(**QUIET)


@pytest.mark.parametrize(
    "other", [{"kept": 1}, {"starting": 1}, {"busy": 1}, {"quiet_seconds": 1.0}, {"free_bytes": 1024**2}, {"wanted": 0}]
)
def test_a_spare_waits_for_everything_else(other: dict[str, int]) -> None:
    assert not policy.decide_spare(**{**QUIET, **other})


# ---- activity


def status(state: str, parent: str = "execute_request", message: str = "m1", session: str = "client") -> Received:
    return Received("status", message, parent, session, state)


def test_a_kernel_is_busy_from_busy_to_idle_of_a_cell() -> None:
    activity = Activity("ours", 0.0)
    activity.observe(status("busy"), 10.0)
    assert activity.busy and activity.idle_seconds(50.0) == 0.0
    activity.observe(status("idle"), 60.0)
    assert not activity.busy and activity.idle_seconds(70.0) == 10.0


@pytest.mark.parametrize(
    "parent",
    ["kernel_info_request", "comm_info_request", "debug_request", "interrupt_request", "shutdown_request"],
)
def test_what_front_ends_ask_by_themselves_is_no_activity(parent: str) -> None:
    activity = Activity("ours", 0.0)
    activity.observe(status("busy", parent), 10.0)
    assert not activity.busy and activity.last_at == 0.0


def test_what_the_agent_asks_is_no_activity() -> None:
    activity = Activity("ours", 0.0)
    activity.observe(status("busy", session="ours"), 10.0)
    activity.observe(Received("execute_input", "m1", "execute_request", "ours", None), 10.0)
    assert not activity.busy and activity.executions == 0


def test_executions_are_counted_by_their_inputs() -> None:
    activity = Activity("ours", 0.0)
    for number in range(3):
        activity.observe(Received("execute_input", f"m{number}", "execute_request", "client", None), 1.0)
    assert activity.executions == 3


def test_a_kernel_stays_busy_until_the_last_of_two_requests_is_done() -> None:
    activity = Activity("ours", 0.0)
    activity.observe(status("busy", message="cell"), 1.0)
    activity.observe(status("busy", "comm_msg", "widget"), 2.0)
    activity.observe(status("idle", "comm_msg", "widget"), 3.0)
    assert activity.busy
    activity.observe(status("idle", message="cell"), 4.0)
    assert not activity.busy


def test_requests_that_never_end_do_not_grow_without_bound() -> None:
    activity = Activity("ours", 0.0)
    for number in range(MOST_RUNNING * 3):
        activity.observe(status("busy", message=str(number)), 1.0)
    assert len(activity._running) == MOST_RUNNING


def test_a_new_process_runs_nothing() -> None:
    activity = Activity("ours", 0.0)
    activity.observe(status("busy"), 1.0)
    activity.reset(5.0)
    assert not activity.busy and activity.idle_seconds(6.0) == 1.0


# ---- adoption


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_adoption_code_embeds_any_value_as_a_literal_and_binds_no_name(cwd: str, env: dict[str, str]) -> None:
    code = adoption_code(cwd, env)
    assert code.isascii()
    tree = ast.parse(code)
    assert all(isinstance(statement, ast.Expr) for statement in tree.body) and len(tree.body) == 3
    assert not any(isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) for node in ast.walk(tree))
    literals = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert literals.count(cwd) >= 2


# ---- places


def test_a_folder_of_the_home_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    assert resolve_cwd(str(tmp_path), "a b") == str(tmp_path / "a b")


def test_a_folder_that_is_not_there_becomes_its_nearest_parent(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert resolve_cwd(str(tmp_path), "a/gone/deeper") == str(tmp_path / "a")
    assert resolve_cwd(str(tmp_path), "gone") == str(tmp_path)


def test_what_leads_out_of_the_home_becomes_the_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "out").symlink_to("/etc")
    for wanted in ("..", "../..", "out", "/etc", "a/../../..", "/"):
        assert resolve_cwd(str(home), wanted) == str(home), wanted


def test_a_home_that_is_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "home").symlink_to("real")
    assert resolve_cwd(str(tmp_path / "home"), "sub") == os.path.realpath(tmp_path / "real" / "sub")


def test_kernels_do_not_inherit_the_agents_own_variables() -> None:
    assert child_environment({"PATH": "/bin", "KERNELHUB_RUN": "/r", "HOME": "/old"}, "/h") == {
        "PATH": "/bin",
        "HOME": "/h",
    }
