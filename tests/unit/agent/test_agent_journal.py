"""hub.agent.journal and witness: what is written when all goes well, and when nothing does."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from hub.agent import bounds
from hub.agent.journal import NOTE, Journal
from hub.agent.witness import Death, Witness
from proxy.kit import journal as reader
from proxy.kit.journal import Extent, Kind, Record

KERNEL = "0f8b0f0e-0000-4000-8000-000000000001"
BOUND = 256 * 1024
OWN = "0a" * 16
PARENT = {"msg_id": "p", "msg_type": "execute_request", "session": "s"}


def message(kind: str, content: dict[str, Any], parent: dict[str, str] | None = None) -> list[bytes]:
    header = {"msg_id": os.urandom(4).hex(), "msg_type": kind}
    return [json.dumps(part).encode() for part in (header, PARENT if parent is None else parent, {}, content)]


def printed(text: str = "x") -> list[bytes]:
    return message("stream", {"name": "stdout", "text": text})


BUSY = message("status", {"execution_state": "busy"})
IDLE = message("status", {"execution_state": "idle"})
INPUT = message("execute_input", {"code": "1 + 1", "execution_count": 1})


def records(folder: Path) -> list[Record]:
    page = reader.Journal(folder, KERNEL, os.getuid()).read(0)
    assert page.complete and not page.broken
    return page.records


def extent(folder: Path) -> Extent:
    return reader.Journal(folder, KERNEL, os.getuid()).extent()


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("journal-*"))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(str(tmp_path), KERNEL, BOUND)


# ---- the writer, where writing fails


def full_disk(room: int) -> Any:
    """An os.write of a disk with so many bytes left."""
    left = [room]
    true_write = os.write

    def write(fd: int, data: Any) -> int:
        if left[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = true_write(fd, bytes(data[: left[0]]))
        left[0] -= done
        return done

    return write


@pytest.mark.parametrize("room", [0, 1, 7, 50, 300, 4000])
def test_a_full_disk_costs_what_did_not_fit_and_is_told(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    journal.add_message(printed("before"))
    journal.flush()
    lost = [printed("lost" * 300) for _ in range(10)]
    with monkeypatch.context() as full:
        full.setattr(os, "write", full_disk(room))
        for parts in lost:
            journal.add_message(parts)
        journal.add(NOTE, {"msg_id": "", "session": "", "msg_type": "", "cell_id": ""})
        journal.flush()
        assert journal.failing and journal.last == 1
        assert [r.parts for r in records(tmp_path)] == [[*records(tmp_path)[0].parts]], "no half of anything"
    journal.add_message(printed("after"))
    journal.flush()
    found = records(tmp_path)
    assert [r.kind for r in found] == [Kind.MESSAGE, Kind.GAP, Kind.MESSAGE] and not journal.failing
    assert found[1].note == {"messages": 10, "bytes": sum(sum(map(len, parts)) for parts in lost)}
    assert [r.seq for r in found] == [1, 2, 3]


def test_a_gap_is_told_as_soon_as_something_can_be_written_even_if_nothing_is_said(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(os, "write", full_disk(0))
        journal.add_message(printed())
        journal.flush()
        journal.flush()
    journal.flush()
    [gap] = records(tmp_path)
    assert gap.kind == Kind.GAP and gap.note is not None and gap.note["messages"] == 1
    size = segments(tmp_path)[0].stat().st_size
    journal.flush()
    assert segments(tmp_path)[0].stat().st_size == size, "it is told once"


def test_a_folder_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    journal = Journal(str(folder), KERNEL, BOUND)
    journal.add_message(printed())
    journal.flush()
    journal.check()
    assert journal.failing and journal.extent()["lost_messages"] == 1
    folder.mkdir()
    journal.flush()
    assert extent(folder).lost_messages == 1


def test_names_that_are_taken_are_passed_over_and_links_not_followed(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / f"journal-{KERNEL}-00000001").symlink_to("precious")
    (tmp_path / f"journal-{KERNEL}-00000002").symlink_to("nowhere")
    os.mkfifo(tmp_path / f"journal-{KERNEL}-00000003")
    journal.add_message(printed())
    journal.flush()
    assert not journal.failing and len(records(tmp_path)) == 1
    assert (tmp_path / "precious").read_text() == "precious" and not (tmp_path / "nowhere").exists()


def test_a_segment_that_somebody_removed_or_changed_is_followed_by_another(journal: Journal, tmp_path: Path) -> None:
    for spoil in (Path.unlink, lambda path: os.truncate(path, 3), lambda path: path.open("ab").write(b"junk")):
        journal.add_message(printed("gone"))
        journal.flush()
        spoil(segments(tmp_path)[-1])
        journal.check()
        journal.add_message(printed("kept"))
        journal.flush()
        page = reader.Journal(tmp_path, KERNEL, os.getuid()).read(0)
        assert page.records[-1].parts[3] == printed("kept")[3]
        assert page.records[-2].kind == Kind.GAP
        journal.check()
    assert journal.extent()["lost_messages"] == 5, "what was in the three segments"


def test_a_journal_that_is_there_is_continued(tmp_path: Path) -> None:
    first = Journal(str(tmp_path), KERNEL, BOUND)
    for number in range(400):
        first.add_message(printed(f"{number}" * 300))
        first.flush()
    lost = first.extent()["lost_messages"]
    last = segments(tmp_path)[-1]
    last.write_bytes(last.read_bytes()[:-5])  # as if it was killed while it wrote
    second = Journal(str(tmp_path), KERNEL, BOUND)
    second.add_message(printed("after"))
    second.flush()
    page = reader.Journal(tmp_path, KERNEL, os.getuid()).read(0)
    assert page.broken and page.records[-1].parts[3] == printed("after")[3]
    assert page.records[-1].seq == second.last == first.last + 1, "the half record's number, and the gap's"
    assert 0 < lost <= second.extent()["lost_messages"] == extent(tmp_path).lost_messages
    assert sum(path.stat().st_size for path in segments(tmp_path)) <= BOUND


def test_without_a_bound_there_is_no_journal(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), KERNEL, 0)
    journal.add_message(printed())
    journal.add(NOTE, {})
    journal.check()
    journal.close()
    assert segments(tmp_path) == [] and set(journal.extent().values()) == {0}


def test_what_waits_to_be_written_is_bounded(journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "JOURNAL_BATCH_BYTES", 10_000)
    for _ in range(100):
        journal.add_message(printed("x" * 1000))
    assert len(records(tmp_path)) > 80


# ---- the witness


@pytest.fixture
def witness(journal: Journal) -> Witness:
    return Witness(OWN, journal, 0.0)


def test_what_the_agent_asked_itself_is_neither_recorded_nor_activity(witness: Witness, tmp_path: Path) -> None:
    witness.begin(1)
    own = {**PARENT, "session": OWN, "msg_type": "kernel_info_request"}
    witness.hear([message("status", {"execution_state": "busy"}, own), message("stream", {}, own)], 5.0)
    assert not witness.activity.busy and witness.activity.last_at == 0.0
    quoting = {**PARENT, "username": OWN}
    witness.hear([message("status", {"execution_state": "busy"}, quoting)], 6.0)
    assert witness.activity.busy, "another's request that only mentions it"
    assert [r.kind for r in records(tmp_path)] == [Kind.PROCESS, Kind.MESSAGE]


def test_outputs_are_activity_also_between_cells_and_a_greeting_is_not(witness: Witness) -> None:
    witness.hear([message("iopub_welcome", {}, {})], 3.0)
    assert witness.activity.last_at == 0.0
    witness.hear([printed()], 7.0)
    assert witness.activity.last_at == 7.0 and not witness.activity.busy


def test_nothing_is_recorded_before_the_kernel_begins(witness: Witness, tmp_path: Path) -> None:
    witness.hear([BUSY, printed(), IDLE], 1.0)
    witness.end(Death(1, "killed by SIGKILL", -9, False, True), 2.0)
    assert segments(tmp_path) == []


def test_a_death_closes_what_ran_with_its_reason(witness: Witness, tmp_path: Path) -> None:
    witness.begin(1)
    done = {**PARENT, "msg_id": "done"}
    witness.hear([message("status", {"execution_state": state}, done) for state in ("busy", "idle")], 1.0)
    witness.hear([BUSY, INPUT, printed("last words")], 1.0)
    assert witness.executions.after(0)["total"] == 1
    witness.end(Death(1, "out of memory (limit 2.0 GiB)", -9, False, True), 2.0)
    found = records(tmp_path)
    error, idle, death = found[-3:]
    assert [json.loads(part) for part in error.parts[1:3]] == [PARENT, {}] and idle.parts[1] == BUSY[1]
    header, content = json.loads(error.parts[0]), json.loads(error.parts[3])
    assert (header["msg_type"], header["session"]) == ("error", OWN) and header["msg_id"]
    assert (content["ename"], content["evalue"]) == ("KernelDied", "out of memory (limit 2.0 GiB)")
    assert "out of memory" in content["traceback"][0] and "started again" in content["traceback"][1]
    assert json.loads(idle.parts[3]) == {"execution_state": "idle"}
    assert death.note == {
        "generation": 1,
        "reason": "out of memory (limit 2.0 GiB)",
        "exit_status": -9,
        "asked": False,
    }
    assert not witness.activity.busy and witness.executions.after(0)["total"] == 0
    witness.begin(2)
    witness.end(Death(2, "shut down", 0, True, False), 3.0)
    assert [r.kind for r in records(tmp_path)[len(found) :]] == [Kind.PROCESS, Kind.DEATH], "nothing ran any more"


def test_an_end_that_was_asked_for_prints_nothing(witness: Witness, tmp_path: Path) -> None:
    witness.begin(1)
    witness.hear([BUSY], 1.0)
    witness.end(Death(1, "restarted", -15, True, False), 2.0)
    *_, busy, idle, death = records(tmp_path)
    assert busy.parts == BUSY and json.loads(idle.parts[0])["msg_type"] == "status"
    assert death.note is not None and death.note["asked"] is True


def types_of(found: list[Record], msg_id: str) -> list[str]:
    parents = [(r, json.loads(r.parts[1])) for r in found if r.kind == Kind.MESSAGE]
    return [json.loads(r.parts[0])["msg_type"] for r, parent in parents if parent.get("msg_id") == msg_id]


def test_a_cell_that_somebody_else_ends_is_told_why_and_not_how(witness: Witness, tmp_path: Path) -> None:
    witness.begin(1)
    witness.hear([BUSY, INPUT, printed("before")], 1.0)
    assert not witness.is_parting
    witness.part("stopped by an administrator")
    forced = message("error", {"ename": "KeyboardInterrupt", "evalue": "", "traceback": []})
    witness.hear([printed("tidied up"), forced, IDLE], 1.1)
    refused = {**PARENT, "msg_id": "refused"}
    witness.hear([message("status", {"execution_state": state}, refused) for state in ("busy", "idle")], 1.2)
    late = {**PARENT, "msg_id": "late"}
    witness.hear([message("status", {"execution_state": "busy"}, late)], 1.3)
    witness.hear([message("execute_input", {"code": "1", "execution_count": 2}, late)], 1.3)
    assert witness.is_parting
    witness.end(Death(1, "stopped by an administrator", -15, True, False, True), 2.0)
    found = records(tmp_path)
    assert types_of(found, PARENT["msg_id"]) == ["status", "execute_input", "stream", "stream", "error", "status"]
    assert types_of(found, "refused") == ["status", "status"], "it did not run"
    assert types_of(found, "late") == ["status", "execute_input", "error", "status"]
    errors = [json.loads(r.parts[3]) for r in found if r.kind == Kind.MESSAGE and b'"error"' in r.parts[0]]
    assert [(error["ename"], error["evalue"]) for error in errors] == [
        ("KernelStopped", "stopped by an administrator")
    ] * 2
    assert errors[0]["traceback"] == ["The kernel was ended while this cell ran: stopped by an administrator"]
    witness.begin(2)
    witness.hear([BUSY, forced], 3.0)
    assert records(tmp_path)[-1].parts == forced, "the next process speaks for itself"


def test_what_is_remembered_of_running_cells_is_bounded(witness: Witness, tmp_path: Path) -> None:
    witness.begin(1)
    huge = {**PARENT, "msg_id": "huge", "username": "x" * 20_000}
    witness.hear([message("status", {"execution_state": "busy"}, huge)], 1.0)
    for number in range(bounds.MAX_RUNNING_CELLS - 1):
        witness.hear([message("status", {"execution_state": "busy"}, {**PARENT, "msg_id": f"m{number}"})], 1.0)
    witness.end(Death(1, "x", 1, True, False), 2.0)
    closing = [json.loads(r.parts[1]) for r in records(tmp_path) if r.kind == Kind.MESSAGE][bounds.MAX_RUNNING_CELLS :]
    assert len(closing) == bounds.MAX_RUNNING_CELLS
    assert closing[0] == {**PARENT, "msg_id": "huge"}, "of a huge one only what is needed"


def test_what_is_no_message_is_recorded_and_breaks_nothing(witness: Witness, tmp_path: Path) -> None:
    witness.begin(1)
    strange = [b"\xff\\", b"[" * 10_000, b"", b""]
    witness.hear([strange, [b'{"msg_type": "status"}', b"[]", b"{}", b"null"], printed()], 1.0)
    assert records(tmp_path)[1].parts == strange and witness.activity.last_at == 1.0
