"""Outputs, as front ends make them of messages, and as a notebook file can hold them."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest

from hub.results.folding import Folded, Wanted, fold
from hub.results.placing import place
from hub.results.tracking import digest_of
from tests.unit.results.conftest import Scribe, notebook

CODE = "run()"


def wanted(msg_id: str = "r1", code: str = CODE, cell_id: str = "cell-0", **more: Any) -> Wanted:
    return Wanted(msg_id=msg_id, cell_id=cell_id, digest=digest_of(code), begin_seq=more.pop("begin_seq", 1), **more)


def folded(kernel: Scribe, **more: Any) -> Folded:
    (only,) = fold(kernel.records, [wanted(**more)])
    document = notebook(CODE)
    place(document, [only])
    nbformat.validate(document)
    return only


def outputs_of(kernel: Scribe, *said: tuple[str, Any]) -> list[dict[str, Any]]:
    kernel.begin("r1", CODE, "cell-0", count=7)
    for kind, content in said:
        kernel.say("r1", kind, content)
    kernel.end("r1")
    return folded(kernel).outputs


def stream(text: str, name: str = "stdout") -> tuple[str, Any]:
    return "stream", {"name": name, "text": text}


def plain(text: str, display_id: str | None = None) -> dict[str, Any]:
    shown: dict[str, Any] = {"data": {"text/plain": text}, "metadata": {}}
    return shown if display_id is None else {**shown, "transient": {"display_id": display_id}}


CASES: dict[str, tuple[list[tuple[str, Any]], list[Any]]] = {
    "streams are joined": ([stream("a"), stream("b\n"), stream("c")], ["ab\nc"]),
    "two streams are two outputs": ([stream("a"), stream("e", "stderr"), stream("b")], ["a", "e", "b"]),
    "a carriage return goes to the line's beginning": ([stream("1%\r"), stream("2%\r"), stream("99%\n")], ["99%\n"]),
    "a clear removes": ([stream("old"), ("clear_output", {"wait": False}), stream("new")], ["new"]),
    "a clear that waits waits": ([stream("old"), ("clear_output", {"wait": True})], ["old"]),
    "and then removes": ([stream("old"), ("clear_output", {"wait": True}), stream("new")], ["new"]),
    "a display is updated": (
        [("display_data", plain("0", "d")), ("update_display_data", plain("1", "d"))],
        [{"text/plain": "1"}],
    ),
    "data of no form is left out": (
        [("display_data", {"data": {"text/plain": {"a": 1}, "image/png": "aGk="}, "metadata": {}})],
        [{"image/png": "aGk="}],
    ),
    "an output of nothing else too": ([("display_data", {"data": {"text/html": 5}, "metadata": {}})], []),
    "json may be anything": (
        [("display_data", {"data": {"application/json": [1, {}]}, "metadata": {}})],
        [{"application/json": [1, {}]}],
    ),
    "a widget's view stays, its state is the kernel's": (
        [("display_data", {"data": {"application/vnd.jupyter.widget-view+json": {"model_id": "m"}}, "metadata": {}})],
        [{"application/vnd.jupyter.widget-view+json": {"model_id": "m"}}],
    ),
    "what is no output is none": ([("comm_open", {"data": {}}), ("status", {"execution_state": "busy"})], []),
}


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_folded(kernel: Scribe, case: str) -> None:
    said, expected = CASES[case]
    outputs = outputs_of(kernel, *said)
    assert ["".join(each["text"]) if "text" in each else each["data"] for each in outputs] == expected


def test_a_result_has_the_count_and_an_error_its_lines(kernel: Scribe) -> None:
    outputs = outputs_of(
        kernel,
        ("execute_result", {**plain("42"), "execution_count": 7}),
        ("error", {"ename": "ValueError", "evalue": "no", "traceback": ["a", "b"]}),
    )
    assert outputs[0]["execution_count"] == 7
    assert outputs[1] == {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": ["a", "b"]}


def test_the_count_and_the_times_come_along(kernel: Scribe) -> None:
    outputs_of(kernel, stream("a"))
    only = folded(kernel)
    assert only.execution_count == 7
    assert set(only.times) == {"iopub.execute_input", "iopub.status.busy", "iopub.status.idle"}


def test_a_display_is_updated_in_an_earlier_cell_too(kernel: Scribe) -> None:
    kernel.begin("r1", "one", "cell-0")
    kernel.say("r1", "display_data", plain("0", "d"))
    kernel.end("r1")
    kernel.begin("r2", "two", "cell-1")
    kernel.say("r2", "update_display_data", plain("done", "d"))
    kernel.end("r2")
    first, second = fold(kernel.records, [wanted("r1", "one"), wanted("r2", "two", "cell-1")])
    assert [each["data"] for each in first.outputs] == [{"text/plain": "done"}]
    assert second.outputs == []


def echo(kernel: Scribe, there: list[Any]) -> list[Any]:
    """What a cell shows whose display a later cell has updated, if `there` is in the file."""
    kernel.begin("r1", "one", "cell-0")
    kernel.say("r1", "display_data", plain("0", "d"))
    kernel.end("r1")
    kernel.begin("r2", "two", "cell-1")
    later = len(kernel.records)
    kernel.say("r2", "update_display_data", plain("done", "d"))
    kernel.end("r2")
    document = notebook("one", "two", outputs_0=there)
    place(
        document, fold(kernel.records, [wanted("r1", "one", echo=True), wanted("r2", "two", "cell-1", begin_seq=later)])
    )
    outputs: list[Any] = document["cells"][0]["outputs"]
    return outputs


def test_the_display_of_a_cell_that_is_in_the_file_already_is_updated_there(kernel: Scribe) -> None:
    there = {"output_type": "display_data", "data": {"text/plain": ["0"]}, "metadata": {}}
    assert [each["data"] for each in echo(kernel, [there])] == [{"text/plain": "done"}]


def test_unless_the_cell_shows_something_else_by_now(kernel: Scribe) -> None:
    there = {"output_type": "display_data", "data": {"text/plain": ["mine"]}, "metadata": {}}
    assert echo(kernel, [there]) == [there]
    assert echo(Scribe(), []) == []


def test_what_a_dead_kernel_did_not_end_says_so(kernel: Scribe) -> None:
    kernel.begin("r1", CODE, "cell-0")
    kernel.print("r1", "half\n")
    only = folded(kernel, cut_off="The container was stopped.")
    assert [each["output_type"] for each in only.outputs] == ["stream", "error"]
    assert only.outputs[1]["evalue"] == "The container was stopped."


@pytest.mark.parametrize("raw", [b"[" * 200_000, b"{", b"\xff", b'"text"', b'{"name": "stdout", "text": 5}'])
def test_messages_that_are_none_change_nothing(kernel: Scribe, raw: bytes) -> None:
    kernel.begin("r1", CODE, "cell-0")
    kernel.say("r1", "stream", None, raw=raw)
    kernel.print("r1", "good")
    kernel.end("r1")
    assert [each["text"] for each in folded(kernel).outputs] == ["good"]
