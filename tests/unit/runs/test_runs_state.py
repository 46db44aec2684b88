"""hub.runs.state and names: what a kernel's memory hides."""

from __future__ import annotations

import time

from hub.runs.names import names_in
from hub.runs.state import Cell, CellState, Names, Ran, Report, examine


def names(*codes: str) -> dict[str, Names]:
    found = {code: names_in(code) for code in codes}
    return {code: Names(frozenset(made), frozenset(used)) for code, (made, used) in found.items()}


def report(cells: list[tuple[str, int | None]], ran: list[str], complete: bool = True) -> Report:
    executions = [Ran(number, number, code) for number, code in enumerate(ran, 1)]
    given = [Cell(index, code, count) for index, (code, count) in enumerate(cells)]
    return examine(given, executions, names(*[code for code, _ in cells], *ran), complete)


def test_a_notebook_that_ran_from_the_top_hides_nothing() -> None:
    found = report([("x = 1", 1), ("", None), ("print(x)\n", 2)], ["x = 1", "print(x)"])
    assert found.is_clean and [cell.number for cell in found.cells] == [1, 2]


def test_cells_that_were_run_out_of_order_are_named_with_those_that_came_later() -> None:
    found = report([("a = 1", 3), ("b = 2", 1), ("c = 3", 2)], ["b = 2", "c = 3", "a = 1"])
    assert [cell.before for cell in found.cells] == [(), (1,), (1,)] and not found.is_clean


def test_a_cell_that_was_run_again_counts_by_its_last_run() -> None:
    found = report([("a = 1", 3), ("b = a", 4)], ["a = 1", "b = a", "a = 1", "b = a"])
    assert found.is_clean and [cell.execution_count for cell in found.cells] == [3, 4]


def test_a_cell_that_was_changed_since_it_ran_and_one_that_never_ran() -> None:
    found = report([("x = 2", 1), ("y = 1", None), ("z = 1", 9)], ["x = 1"])
    assert [cell.state for cell in found.cells] == [CellState.CHANGED, CellState.NEVER_RUN, CellState.NEVER_RUN]


def test_code_that_ran_and_is_not_in_the_file_is_counted_also_where_nothing_was_saved_yet() -> None:
    found = report([("x = 1", 1)], ["x = 1", "print(x)", "print(x)"])
    assert found.elsewhere == 1 and found.is_clean
    assert report([], ["x = 1", "print(x)"]).elsewhere == 2
    assert not report([], ["x = 1"]).is_clean and report([], []).is_clean


def test_a_kernel_in_which_nothing_was_run_yet_is_untouched() -> None:
    assert report([("x = 1", 1)], []).is_untouched and report([], []).is_untouched
    assert not report([("x = 1", 1)], ["x = 2"]).is_untouched and not report([("x = 1", 1)], ["x = 1"]).is_untouched


def test_names_of_deleted_cells_that_are_still_used_are_named_with_their_users() -> None:
    found = report([("print(gone + 1)", 2), ("def f(): return gone", 3)], ["import os\ngone = 1", "print(gone + 1)"])
    [ghost] = found.ghosts
    assert (ghost.execution_count, ghost.names, ghost.used_by) == (1, ("gone",), (1, 2))


def test_a_name_that_a_present_cell_makes_is_not_a_ghosts() -> None:
    assert report([("x = 2", 2), ("print(x)", 3)], ["x = 1", "x = 2", "print(x)"]).ghosts == ()


def test_the_older_version_of_a_changed_cell_haunts_too() -> None:
    found = report([("total = 1", 1), ("print(sum_)", 2)], ["sum_ = 1", "print(sum_)"])
    assert [ghost.names for ghost in found.ghosts] == [("sum_",)]
    assert found.cells[0].state is CellState.CHANGED


def test_names_are_found_without_running_anything_and_ipythons_lines_are_left_out() -> None:
    made, used = names_in("%matplotlib inline\nimport numpy as np\n!ls\nfiles = !ls\nx: int = np.array(y)\nos?")
    assert made == {"np", "x"} and {"np", "y"} <= used
    assert names_in("def f(a):\n    b = a\n    return b + c") == ({"f"}, {"c"})
    assert names_in("[i for i in z]") == (set(), {"z"})
    assert names_in("%%bash\nx=1") == names_in("no python at all") == names_in("(" * 10_000) == (set(), set())
    assert names_in("class A(B):\n    x = y") == ({"A"}, {"B", "y"})


def test_a_notebook_made_to_be_slow_is_looked_at_in_part() -> None:
    codes = [f"a{number}" for number in range(2000)]
    executions = [Ran(number, number, code) for number, code in enumerate(codes, 1)]
    given = [Cell(index, codes[-1] if index < 4000 else codes[0], None) for index in range(8000)]
    found = examine(given, executions, {}, True)
    assert len(found.cells) == 5000 and not found.complete
    assert found.cells[-1].before == tuple(range(1, 21))


def test_names_are_found_soon_in_any_text() -> None:
    began = time.process_time()
    names_in("\n" * 20_000 + "?" + " \n" * 20_000 + "x")
    assert time.process_time() - began < 2
