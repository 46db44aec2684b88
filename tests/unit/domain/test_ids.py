"""Identifiers: opaque, different every time, fit for folders and containers."""

from __future__ import annotations

import re
import uuid

from hub.domain.ids import new_id, new_uuid


def test_ids_are_26_hexadecimal_characters() -> None:
    assert re.fullmatch(r"[0-9a-f]{26}", new_id())


def test_ids_do_not_repeat() -> None:
    assert len({new_id() for _ in range(10_000)}) == 10_000


def test_ids_for_jupyter_are_random_uuids_in_their_usual_form() -> None:
    text = new_uuid()
    assert uuid.UUID(text).version == 4
    assert str(uuid.UUID(text)) == text
