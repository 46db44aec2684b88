"""``api/kernels/<id>/journal``: what a kernel has said since its birth, for tools. An addition to Jupyter's API."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import msgspec

from hub.errors import BadRequest
from hub.jupyter.handler import JupyterHandler
from hub.jupyter.kernels import kernel_in_path
from proxy.kit.journal import Extent, Journal, Kind, Page, Record

MOST_RECORDS = 1000
PAGE_BYTES = 4 * 1024 * 1024
_NAMES = ("header", "parent_header", "metadata", "content")


class JournalHandler(JupyterHandler):
    """A part of a kernel's journal."""

    async def get(self, _name: str, kernel_id: str) -> None:
        """The records after number ``after`` (0: from the beginning), at most ``limit``."""
        after, limit = self._number("after", 0, 2**53), self._number("limit", 100, MOST_RECORDS)
        wanted = kernel_in_path(kernel_id)
        workspace = await self.services.kernels.workspace_of(self.user.id, wanted)
        place = self.services.workspaces.place_of(workspace, self.user)
        journal = Journal(place.run_folder, wanted, place.owner_uid)
        self.write_encoded(await asyncio.to_thread(_answer, journal, after, max(1, limit)))

    def _number(self, name: str, default: int, most: int) -> int:
        text = self.query(name) or str(default)
        if not (text.isascii() and text.isdigit() and len(text) < 17):
            raise BadRequest(f"{name} must be a number.")
        return min(int(text), most)


def _answer(journal: Journal, after: int, limit: int) -> bytes:
    extent, page = journal.extent(), journal.read(after, PAGE_BYTES)
    records = page.records[:limit]
    return msgspec.json.encode(_shown(extent, page, records, after))


def _shown(extent: Extent, page: Page, records: list[Record], after: int) -> dict[str, Any]:
    last = records[-1].seq if records else after
    return {
        "records": [_record(record) for record in records],
        "last": last,
        "complete": page.complete and len(records) == len(page.records),
        "journal": {
            "first": extent.first,
            "last": extent.last,
            "bytes": extent.size_bytes,
            "lost_messages": extent.lost_messages,
            "lost_bytes": extent.lost_bytes,
        },
    }


def _record(record: Record) -> dict[str, Any]:
    shown: dict[str, Any] = {"seq": record.seq, "at": record.at, "kind": record.kind.name.lower()}
    if record.kind is not Kind.MESSAGE:
        return {**shown, "note": record.note}
    message: dict[str, Any] = {name: _json(part) for name, part in zip(_NAMES, record.parts, strict=False)}
    message["buffers"] = [base64.b64encode(part).decode() for part in record.parts[len(_NAMES) :]]
    return {**shown, "message": message}


def _json(part: bytes) -> msgspec.Raw | None:
    """A part of a message as it is, if it is JSON: a kernel can send anything."""
    try:
        msgspec.json.decode(part, type=_Any)
        part.decode()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return msgspec.Raw(part)


class _Any(msgspec.Struct):
    """An object whose fields are skipped, but must be JSON."""
