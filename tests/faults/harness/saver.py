"""``python -m tests.faults.harness.saver FOLDER FIRST SIZE``: saves one notebook after the other, until it is killed.

It saves by the hub's own contents service; the number of each is printed once the save has returned, as an answer 2xx
would be sent then.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from hub.contents.models import Limits, SaveRequest
from hub.contents.service import ContentsOfUsers
from hub.domain.ids import UserId
from hub.domain.users import Role, User
from hub.spawn.folders import Folders
from proxy.kit.clock import SystemClock

SAVED = "a.ipynb"
ONE = User(UserId("u1"), 1, "ada", Role.USER, datetime(2026, 1, 1, tzinfo=UTC))


def notebook(number: int, size: int) -> dict[str, Any]:
    """A notebook whose text says which one it is, and whether it is whole."""
    text = f"{number} " + "x" * size
    source = f"{hashlib.sha256(text.encode()).hexdigest()} {text}"
    cell = {"cell_type": "code", "id": "one", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}


def number_in(content: Any) -> int:
    """Which notebook this is. Raises ValueError when it is torn."""
    source = content["cells"][0]["source"]
    source = source if isinstance(source, str) else "".join(source)
    digest, _, text = source.partition(" ")
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        raise ValueError("torn")
    return int(text.split()[0])


async def main(folder: Path, first: int, size: int) -> None:
    """Save for ever."""
    contents = ContentsOfUsers(
        Folders(folder, None, None), folder / "contents", SystemClock(), Limits(), impersonate=False
    )
    mine = contents.of(ONE)
    number = first
    while True:
        content = msgspec.Raw(json.dumps(notebook(number, size)).encode())
        await mine.save(SAVED, SaveRequest(type="notebook", format="json", content=content))
        print(number, flush=True)
        number += 1


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
