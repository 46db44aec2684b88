"""Notebooks that tests make, save by the hub's API, and have run by it."""

from __future__ import annotations

from typing import Any

from tests.harness.client import HubClient, eventually

Json = dict[str, Any]


def cell(source: str, *outputs: Json, count: int | None = None, tags: tuple[str, ...] = (), id: str = "") -> Json:
    """A code cell; without an `id` its notebook must be of format 4.4."""
    made: Json = {
        "cell_type": "code",
        "metadata": {"tags": list(tags)} if tags else {},
        "source": source,
        "outputs": list(outputs),
        "execution_count": count,
    }
    return made | {"id": id} if id else made


def notebook(*cells: Json, kernel: str = "python3") -> Json:
    """A notebook of these cells; of format 4.5 if they have ids."""
    metadata = {"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}}
    minor = 5 if cells and all("id" in each for each in cells) else 4
    return {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": minor}


async def save(client: HubClient, path: str, content: Json) -> None:
    """Save a notebook as front ends do."""
    body = {"type": "notebook", "format": "json", "content": content}
    status, answer = await client.request("PUT", f"api/contents/{path}", body)
    assert status in (200, 201), answer


async def ended(client: HubClient, run_id: str) -> Json:
    """A run without a browser, when it has ended."""

    async def over() -> Json | None:
        status, seen = await client.request("GET", f"api/kernelhub/runs/{run_id}")
        assert status == 200, seen
        return seen if seen["ended_at"] else None

    return await eventually(over)
