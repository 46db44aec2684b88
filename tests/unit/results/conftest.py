"""A kernel that writes a journal: records as they are read, and the same as a file."""

from __future__ import annotations

import itertools
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from proxy.kit.journal_format import HEAD, MAGIC, Kind, Record, segment_name

KERNEL = "0123abcd-0000-4000-8000-000000000001"


class Scribe:
    """Says what a kernel says. Each record is a second after the one before."""

    def __init__(self, began_at: float = 1000.0) -> None:
        self.records: list[Record] = []
        self.session = "front-end"
        self._began_at = began_at
        self._ids = itertools.count(1)

    def note(self, msg_id: str, cell_id: str) -> None:
        self._add(
            Kind.NOTE,
            note={"msg_id": msg_id, "session": self.session, "msg_type": "execute_request", "cell_id": cell_id},
        )

    def say(self, msg_id: str, kind: str, content: Any, *, raw: bytes | None = None) -> Record:
        """A message that belongs to a request."""
        header = {"msg_id": f"m{next(self._ids)}", "msg_type": kind, "date": "2026-01-02T03:04:05Z"}
        parent = {"msg_id": msg_id, "session": self.session, "msg_type": "execute_request"}
        parts = [json.dumps(part).encode() for part in (header, parent, {}, content)]
        if raw is not None:
            parts[3] = raw
        return self._add(Kind.MESSAGE, parts)

    def begin(self, msg_id: str, code: str, cell_id: str = "", count: int = 1) -> None:
        if cell_id:
            self.note(msg_id, cell_id)
        self.say(msg_id, "status", {"execution_state": "busy"})
        self.say(msg_id, "execute_input", {"code": code, "execution_count": count})

    def print(self, msg_id: str, text: str, name: str = "stdout") -> Record:
        return self.say(msg_id, "stream", {"name": name, "text": text})

    def end(self, msg_id: str) -> Record:
        return self.say(msg_id, "status", {"execution_state": "idle"})

    def run(self, msg_id: str, code: str, text: str, cell_id: str = "", count: int = 1) -> None:
        """A whole cell that prints."""
        self.begin(msg_id, code, cell_id, count)
        self.print(msg_id, text)
        self.end(msg_id)

    def write(self, folder: Path, kernel_id: str = KERNEL) -> None:
        """All of it as a journal's first segment."""
        data = bytearray(MAGIC)
        for record in self.records:
            if record.kind is Kind.MESSAGE:
                parts = b"".join(struct.pack(">I", len(part)) + part for part in record.parts)
                payload = struct.pack(">H", len(record.parts)) + parts
            else:
                payload = json.dumps(record.note).encode()
            data += HEAD.pack(HEAD.size - 4 + len(payload), record.kind, record.seq, record.at) + payload
        folder.mkdir(parents=True, exist_ok=True)
        (folder / segment_name(kernel_id, 1)).write_bytes(data)

    def _add(self, kind: Kind, parts: list[bytes] | None = None, note: dict[str, Any] | None = None) -> Record:
        seq = len(self.records) + 1
        record = Record(seq, kind, self._began_at + seq, parts or [], note)
        self.records.append(record)
        return record


@pytest.fixture
def kernel() -> Scribe:
    return Scribe()


def notebook(*sources: str, **outputs: Any) -> dict[str, Any]:
    """A notebook of code cells ``cell-0``, ``cell-1`` and so on."""
    cells = [
        {"cell_type": "code", "id": f"cell-{n}", "metadata": {}, "source": source.splitlines(True),
         "outputs": outputs.get(f"outputs_{n}", []), "execution_count": None}
        for n, source in enumerate(sources)
    ]  # fmt: skip
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
