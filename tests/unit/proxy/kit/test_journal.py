"""proxy.kit.journal: reading what hub.agent.journal wrote, and what somebody hostile put in its place."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from hub.agent.journal import DEATH, GAP, MESSAGE, NOTE, PROCESS, Journal
from proxy.kit import journal as reader
from proxy.kit.journal import Extent, Kind, Page, Record, identity_of, list_journals, remove_journals
from proxy.kit.journal_format import HEAD, MAGIC, segment_name

KERNEL = "0f8b0f0e-0000-4000-8000-000000000001"
OTHER = "0f8b0f0e-0000-4000-8000-000000000002"
BOUND = 256 * 1024
UID = os.getuid()


def message(number: int, content: bytes = b"{}", *buffers: bytes) -> list[bytes]:
    return [b'{"msg_id": "%d", "msg_type": "stream"}' % number, b'{"msg_id": "p"}', b"{}", content, *buffers]


def write(folder: Path, *messages: list[bytes], kernel_id: str = KERNEL) -> Journal:
    journal = Journal(str(folder), kernel_id, BOUND)
    for parts in messages:
        journal.add_message(parts)
    journal.flush()
    return journal


def of(folder: Path, kernel_id: str = KERNEL) -> reader.Journal:
    return reader.Journal(folder, kernel_id, UID)


def everything(journal: reader.Journal, after: int = 0, most_bytes: int = 8 * 1024**2) -> list[Record]:
    found: list[Record] = []
    while not (page := journal.read(found[-1].seq if found else after, most_bytes)).complete:
        found += page.records
    return found + page.records


def segments(folder: Path, kernel_id: str = KERNEL) -> list[Path]:
    return sorted(folder.glob(f"journal-{kernel_id}-*"))


def record(seq: int, payload: bytes, kind: int = MESSAGE, length: int | None = None, at: float = 1.0) -> bytes:
    return HEAD.pack(17 + len(payload) if length is None else length, kind, seq, at) + payload


def payload_of(*parts: bytes) -> bytes:
    return len(parts).to_bytes(2, "big") + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


PLAIN = payload_of(b"{}", b"{}", b"{}", b"{}")


def put(folder: Path, *parts: bytes, number: int = 1) -> Path:
    path = folder / segment_name(KERNEL, number)
    path.write_bytes(b"".join(parts))
    return path


# ---- what was written is read


def test_a_journal_that_is_not_there_is_empty(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        assert of(folder).extent() == Extent()
        assert of(folder).read(0) == Page([], 0, True)
        assert of(folder).find(b"12345678") is None
        assert list_journals(folder, UID) == []
        of(folder).remove()


def test_all_kinds_of_records_come_back_in_order(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), KERNEL, BOUND)
    journal.add(PROCESS, {"generation": 1})
    note = {"msg_id": "m", "session": "s", "msg_type": "execute_request", "cell_id": "c"}
    journal.add(NOTE, note)
    journal.add_message(message(1, b'{"text": "a"}', b"buffer", b""))
    death = {"generation": 1, "reason": "killed by SIGKILL", "exit_status": -9, "asked": False}
    journal.add(DEATH, death)
    assert of(tmp_path).extent() == Extent(), "nothing is written before the flush"
    journal.flush()
    page = of(tmp_path).read(0)
    assert (page.last, page.complete, page.broken) == (4, True, False)
    assert [(r.seq, r.kind) for r in page.records] == [
        (1, Kind.PROCESS),
        (2, Kind.NOTE),
        (3, Kind.MESSAGE),
        (4, Kind.DEATH),
    ]
    assert page.records[1].note == note and page.records[3].note == death
    assert page.records[2].parts == message(1, b'{"text": "a"}', b"buffer", b"")
    assert page.records[2].note is None and page.records[0].at > 1.7e9
    extent = of(tmp_path).extent()
    assert (extent.first, extent.last, extent.lost_messages) == (1, 4, 0)
    assert journal.extent() == {"first": 1, "last": 4, "bytes": extent.size_bytes, "lost_messages": 0, "lost_bytes": 0}
    [path] = segments(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600 and path.stat().st_size == extent.size_bytes


def test_pages_of_any_size_give_each_record_once(tmp_path: Path) -> None:
    chance = random.Random(5)
    sent = [message(n, b"x" * chance.randrange(2000)) for n in range(100)]
    write(tmp_path, *sent)
    for most_bytes in (1, 500, 5000, 10**9):
        journal = of(tmp_path)
        assert [r.parts for r in everything(journal, 0, most_bytes)] == sent
        for after in (0, 37, 99, 100, 1000):
            assert [r.seq for r in everything(journal, after, most_bytes)] == list(range(after + 1, 101))


def test_reading_on_sees_what_was_written_meanwhile_over_several_segments(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), KERNEL, BOUND)
    reading, seen = of(tmp_path), list[int]()
    for begin in range(0, 300, 7):
        for n in range(begin, begin + 7):
            journal.add_message(message(n, b"x" * 500))
        journal.flush()
        page = reading.read(seen[-1] if seen else 0)
        seen += [r.seq for r in page.records]
        assert reading.extent().last == journal.last == seen[-1] and page.complete
    assert seen == list(range(1, 302)) and len(segments(tmp_path)) > 2


def test_a_passed_bound_deletes_the_oldest_and_says_how_much(tmp_path: Path) -> None:
    sent = [message(n, b"x" * 1000) for n in range(1000)]
    journal = write(tmp_path, *sent)
    assert sum(path.stat().st_size for path in segments(tmp_path)) <= BOUND
    assert all(path.stat().st_size <= BOUND // 4 for path in segments(tmp_path))
    records = everything(of(tmp_path))
    kept = [r for r in records if r.kind == Kind.MESSAGE]
    lost = 1000 - len(kept)
    assert [r.parts for r in kept] == sent[lost:] and lost > 500
    extent = of(tmp_path).extent()
    assert (extent.lost_messages, extent.lost_bytes) == (lost, sum(sum(map(len, parts)) for parts in sent[:lost]))
    assert [r.seq for r in records] == list(range(extent.first, extent.last + 1)), "no hole in the numbers"
    assert records[0].kind == Kind.GAP, "a segment begins with what was lost before"
    gaps = [r.note for r in records if r.kind == Kind.GAP]
    assert gaps[-1] == {"messages": lost, "bytes": extent.lost_bytes}
    assert journal.extent()["first"] == extent.first and journal.extent()["bytes"] == extent.size_bytes


def test_a_message_larger_than_the_bound_becomes_a_gap_and_a_large_one_stands_alone(tmp_path: Path) -> None:
    journal = write(tmp_path, message(1), message(2, b"x" * BOUND), message(3), message(4, b"y" * (BOUND // 2)))
    journal.add_message(message(5))
    journal.flush()
    records = everything(of(tmp_path))
    assert [r.parts[0] for r in records if r.kind == Kind.MESSAGE] == [message(n)[0] for n in (1, 3, 4, 5)]
    assert [r.kind for r in records[:3]] == [Kind.MESSAGE, Kind.GAP, Kind.MESSAGE]
    assert of(tmp_path).extent().lost_messages == 1
    assert sum(path.stat().st_size for path in segments(tmp_path)) <= BOUND


def test_a_message_is_found_by_its_identity(tmp_path: Path) -> None:
    write(tmp_path, *[message(n, b"x" * 1000) for n in range(100)])
    journal = of(tmp_path)
    assert journal.find(identity_of(message(17)[0])) == 18
    assert journal.find(identity_of(memoryview(message(99)[0]))) == journal.extent().last
    assert journal.find(identity_of(b"{}")) is None


def test_journals_are_listed_and_removed(tmp_path: Path) -> None:
    write(tmp_path, message(1))
    write(tmp_path, message(1), kernel_id=OTHER)
    (tmp_path / "journal-notes").write_text("not a journal")
    assert list_journals(tmp_path, UID) == [KERNEL, OTHER] and list_journals(tmp_path, UID + 1) == []
    of(tmp_path).remove()
    assert list_journals(tmp_path, UID) == [OTHER]
    remove_journals(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["journal-notes"]


# ---- hostile ground


def test_a_half_record_at_the_end_is_one_that_is_being_written(tmp_path: Path) -> None:
    journal = write(tmp_path, message(1), message(2))
    [path] = segments(tmp_path)
    whole = path.read_bytes()
    reading = of(tmp_path)
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        for looking in (reading, of(tmp_path)):
            page = looking.read(0)
            assert not page.broken and page.complete and page.last == len(page.records)
            assert looking.extent().last == page.last
    path.write_bytes(whole)
    assert reading.read(0).last == journal.last == 2


def test_a_half_record_in_the_middle_ends_its_segment_and_is_said(tmp_path: Path) -> None:
    put(tmp_path, MAGIC, record(1, PLAIN), record(2, PLAIN)[:-1])
    put(tmp_path, MAGIC, record(3, PLAIN), number=2)
    page = of(tmp_path).read(0)
    assert [r.seq for r in page.records] == [1, 3] and page.broken and page.complete


@pytest.mark.parametrize(
    "forged",
    [
        record(2, b"", length=0),
        record(2, b"", length=16),
        record(2, b"", length=2**32 - 1),
        record(2, PLAIN, kind=0),
        record(2, PLAIN, kind=6),
        record(1, PLAIN),
        record(7, PLAIN),
        record(0, PLAIN),
        record(2**64 - 1, PLAIN),
        record(2, PLAIN, at=float("nan")),
        record(2, PLAIN, at=float("inf")),
        record(2, PLAIN, at=-1.0),
        record(2, b""),
        record(2, b"\0"),
        record(2, payload_of(b"{}", b"{}", b"{}")),
        record(2, b"\xff\xff" + PLAIN[2:]),
        record(2, PLAIN + b"x"),
        record(2, PLAIN[:-1]),
        record(2, (4).to_bytes(2, "big") + b"\xff\xff\xff\xff" + PLAIN[6:]),
        record(2, b"[" * 60_000, kind=NOTE),
        record(2, b'{"a":' * 10_000, kind=DEATH),
        record(2, b"null", kind=GAP),
        record(2, b"{}", kind=NOTE),
        record(2, b'{"messages": -1, "bytes": 0}', kind=GAP),
        record(2, b'{"messages": 1e99, "bytes": 0}', kind=GAP),
        record(2, b'{"generation": "1"}', kind=PROCESS),
        record(2, json.dumps({"msg_id": 1, "session": "", "msg_type": "", "cell_id": ""}).encode(), kind=NOTE),
        record(2, b" " * 70_000, kind=PROCESS),
        b"\0" * 100_000,
        os.urandom(5000),
    ],
)
def test_what_is_forged_ends_its_segment_and_nothing_else(tmp_path: Path, forged: bytes) -> None:
    put(tmp_path, MAGIC, record(1, PLAIN), forged, record(3, PLAIN))
    put(tmp_path, MAGIC, record(9, PLAIN), number=2)
    page = of(tmp_path).read(0)
    assert [r.seq for r in page.records if r.seq != 2] == [1, 9] and page.broken
    assert of(tmp_path).extent().last == 9
    assert of(tmp_path).find(identity_of(b"{}")) == 9


def test_a_segment_that_goes_backwards_adds_nothing(tmp_path: Path) -> None:
    put(tmp_path, MAGIC, record(5, PLAIN), record(6, PLAIN))
    put(tmp_path, MAGIC, record(2, PLAIN), record(3, PLAIN), number=2)
    assert [r.seq for r in everything(of(tmp_path))] == [5, 6]


def test_links_fifos_folders_and_files_of_others_are_no_journal(tmp_path: Path) -> None:
    secret = put(tmp_path, MAGIC, record(1, PLAIN)).rename(tmp_path / "secret")
    (tmp_path / segment_name(KERNEL, 1)).symlink_to(secret)
    os.mkfifo(tmp_path / segment_name(KERNEL, 2))
    (tmp_path / segment_name(KERNEL, 3)).mkdir()
    (tmp_path / segment_name(KERNEL, 4)).symlink_to("/dev/zero")
    (tmp_path / segment_name(KERNEL, 5)).symlink_to("nowhere")
    assert of(tmp_path).read(0) == Page([], 0, True) and of(tmp_path).extent() == Extent()
    assert of(tmp_path).find(identity_of(b"{}")) is None and list_journals(tmp_path, UID) == []
    put(tmp_path, MAGIC, record(1, PLAIN), number=6)
    assert of(tmp_path).extent().last == 1
    assert reader.Journal(tmp_path, KERNEL, UID + 1).extent() == Extent(), "a file of another user"
    of(tmp_path).remove()
    assert secret.exists() and len(segments(tmp_path)) == 1, "links are removed, never what they lead to"


def test_a_folder_that_is_a_link_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    write(tmp_path / "real", message(1))
    (tmp_path / "link").symlink_to("real")
    assert of(tmp_path / "link").extent() == Extent()
    of(tmp_path / "link").remove()
    assert len(segments(tmp_path / "real")) == 1


def test_a_sparse_file_of_a_terabyte_costs_nothing(tmp_path: Path) -> None:
    path = put(tmp_path, MAGIC, record(1, PLAIN))
    os.truncate(path, 2**40)
    page = of(tmp_path).read(0)
    assert [r.seq for r in page.records] == [1] and page.broken
    large = 60 * 1024**2
    with path.open("r+b") as file:  # records that are holes
        for seq in range(2, 200):
            file.seek(len(MAGIC) + len(record(1, PLAIN)) + (seq - 2) * (large + HEAD.size))
            file.write(record(seq, b"", length=17 + large))
    assert of(tmp_path).find(b"12345678") is None
    assert of(tmp_path).extent().last == 1 + reader.MAX_JOURNAL_BYTES // large


def test_a_file_that_shrinks_while_it_is_read_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, *[message(n, b"x" * 500) for n in range(60)])
    [path] = segments(tmp_path)
    true_pread = os.pread

    def pread(fd: int, size: int, offset: int) -> bytes:
        os.truncate(path, 5000)
        return true_pread(fd, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    page = of(tmp_path).read(0)
    assert page.complete and 0 < len(page.records) < 12


def test_many_names_and_many_tiny_records_stay_bounded(tmp_path: Path) -> None:
    for number in range(1, 200):
        put(tmp_path, MAGIC, record(number, PLAIN), number=number)
    assert [r.seq for r in everything(of(tmp_path))] == list(range(200 - reader.MAX_SEGMENTS, 200))
    put(tmp_path, MAGIC, *(record(n, PLAIN) for n in range(300, 30_300)), number=999)
    page = of(tmp_path).read(299, most_bytes=1024**2)
    assert len(page.records) < 2200 and not page.complete, "a record costs more than its bytes"


def test_nothing_stays_open(tmp_path: Path) -> None:
    write(tmp_path, *[message(n, b"x" * 1000) for n in range(100)])
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        reading = of(tmp_path)
        reading.read(0, most_bytes=10)
        reading.extent()
        reading.find(identity_of(message(5)[0]))
        list_journals(tmp_path, UID)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
