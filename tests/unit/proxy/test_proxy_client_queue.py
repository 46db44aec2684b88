"""What waits for a slow client: joined, then dropped with a note, then refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.client_queue import DROPPABLE, ClientQueue
from proxy.core.limits import Limits
from proxy.core.messages import make_minter
from proxy.core.wire import Part

MINT = make_minter("s", lambda: "id", lambda: datetime(2026, 1, 1, tzinfo=UTC))
JOIN_ALWAYS = Limits(join_from_bytes=0)


def message(msg_type: str, content: object, parent: str = "p") -> list[bytes]:
    header = {"msg_id": "m", "msg_type": msg_type}
    return [json.dumps(part).encode() for part in (header, {"msg_id": parent}, {}, content)]


def stream(text: str, name: str = "stdout", parent: str = "p") -> list[bytes]:
    return message("stream", {"name": name, "text": text}, parent)


def drained(queue: ClientQueue) -> list[tuple[str, dict[str, object], dict[str, object]]]:
    """Type, parent header and content of all that waits."""
    found = []
    while queue:
        _, parts = queue.pop()
        found.append((json.loads(bytes(parts[0]))["msg_type"], *_objects(parts[1], parts[3])))
    return found


def _objects(*parts: Part) -> Sequence[dict[str, object]]:
    return [json.loads(bytes(part)) for part in parts]


def test_messages_come_out_as_they_went_in() -> None:
    queue = ClientQueue(MINT)
    messages = [("iopub", stream("a")), ("shell", message("execute_reply", {})), ("iopub", [*stream("b"), b"buffer"])]
    for channel, parts in messages:
        assert queue.push(channel, parts)
    assert [queue.pop() for _ in messages] == messages
    assert not queue
    assert queue.waiting_bytes == 0


def test_nothing_is_joined_while_little_waits() -> None:
    queue = ClientQueue(MINT)
    for _ in range(10):
        queue.push("iopub", stream("a"))
    assert len(drained(queue)) == 10


def test_adjacent_text_of_one_request_and_stream_is_joined() -> None:
    queue = ClientQueue(MINT, JOIN_ALWAYS)
    for parts in (stream("a"), stream("b"), stream("c", "stderr"), stream("d", parent="q"), stream("e", parent="q")):
        queue.push("iopub", parts)
    assert drained(queue) == [
        ("stream", {"msg_id": "p"}, {"name": "stdout", "text": "ab"}),
        ("stream", {"msg_id": "p"}, {"name": "stderr", "text": "c"}),
        ("stream", {"msg_id": "q"}, {"name": "stdout", "text": "de"}),
    ]


def test_text_is_not_joined_across_another_message() -> None:
    queue = ClientQueue(MINT, JOIN_ALWAYS)
    for parts in (stream("a"), message("display_data", {}), stream("b")):
        queue.push("iopub", parts)
    assert [kind for kind, _, _ in drained(queue)] == ["stream", "display_data", "stream"]


def test_a_joined_text_has_a_bound() -> None:
    queue = ClientQueue(MINT, Limits(join_from_bytes=0, joined_bytes=2000))
    for _ in range(10):
        queue.push("iopub", stream("x" * 1000))
    texts = [content["text"] for _, _, content in drained(queue)]
    assert "".join(map(str, texts)) == "x" * 10_000
    assert 2 <= len(texts) < 10


def test_outputs_without_room_are_dropped_and_a_note_in_their_place_says_how_much() -> None:
    queue = ClientQueue(MINT, Limits(droppable_bytes=5000, queue_bytes=50_000))
    for _ in range(10):
        assert queue.push("iopub", message("display_data", {"data": "x" * 1000}))
    assert queue.push("iopub", message("status", {"execution_state": "idle"}))
    found = drained(queue)
    kept = [kind for kind, _, _ in found].count("display_data")
    note = found[-2]
    assert found[-1][0] == "status"
    assert note[:2] == ("stream", {"msg_id": "p"})
    assert note[2]["name"] == "stderr"
    assert f"{10 - kept} messages" in str(note[2]["text"])
    assert queue.dropped.messages == 10 - kept


def test_each_request_has_a_note_of_its_own() -> None:
    queue = ClientQueue(MINT, Limits(droppable_bytes=1500, queue_bytes=50_000))
    for parent in ("p", "p", "q", "q"):
        queue.push("iopub", message("display_data", {"data": "x" * 1000}, parent))
    notes = [(parent, str(content["text"]).split()[0]) for kind, parent, content in drained(queue) if kind == "stream"]
    assert notes == [({"msg_id": "p"}, "[1"), ({"msg_id": "q"}, "[2")]


def test_states_and_replies_are_never_dropped_but_refused_at_the_end() -> None:
    queue = ClientQueue(MINT, Limits(droppable_bytes=1000, queue_bytes=5000))
    pushed = 0
    while queue.push("iopub", message("status", {"n": pushed})):
        pushed += 1
    assert pushed > 1
    assert queue.waiting_bytes <= 5000
    assert [content["n"] for _, _, content in drained(queue)] == list(range(pushed))


def test_one_message_larger_than_the_queue_passes_when_nothing_waits() -> None:
    queue = ClientQueue(MINT, Limits(droppable_bytes=1000, queue_bytes=5000))
    assert queue.push("iopub", message("display_data", {"data": "x" * 100_000}))
    assert len(drained(queue)) == 1


def test_a_header_that_is_not_json_is_not_dropped_and_breaks_nothing() -> None:
    queue = ClientQueue(MINT, Limits(join_from_bytes=0, droppable_bytes=10, queue_bytes=100_000))
    for _ in range(3):
        assert queue.push("iopub", [b'{"stream"', b"{}", b"{}", b"{}"])
    assert queue.dropped.messages == 0


sizes = st.integers(0, 3000)
kinds = st.sampled_from(["stream", "display_data", "status", "execute_reply"])


@given(st.lists(st.tuples(kinds, sizes, st.sampled_from("pq")) | st.none(), max_size=60))
def test_the_bytes_are_counted_right_bounded_and_everything_is_accounted_for(
    steps: list[tuple[str, int, str] | None],
) -> None:
    queue = ClientQueue(MINT, Limits(join_from_bytes=2000, droppable_bytes=8000, queue_bytes=12_000))
    characters = 0
    got: list[tuple[str, Sequence[Part]]] = []
    for step in steps:
        if step is None:
            if queue:
                got.append(queue.pop())
            continue
        kind, size, parent = step
        filler = "#" * size
        parts = stream(filler, parent=parent) if kind == "stream" else message(kind, {"d": filler}, parent)
        accepted = queue.push("iopub" if kind != "execute_reply" else "shell", parts)
        assert accepted or kind not in DROPPABLE or queue.waiting_bytes > 8000
        characters += size if accepted else 0
        assert queue.waiting_bytes <= 12_000 + 4000
    while queue:
        got.append(queue.pop())
    assert queue.waiting_bytes == 0
    if not queue.dropped.messages:
        assert sum(bytes(parts[3]).count(b"#") for _, parts in got) == characters
