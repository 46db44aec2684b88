"""Folders as archives, and the trash, as clients ask for them (hub.jupyter.archives, trash, turns)."""

from __future__ import annotations

import asyncio
import io
import zipfile
from typing import Any

import pytest

from hub.errors import TooManyRequests
from hub.jupyter.turns import Turns

ASKED = "archiveToken=x&archiveFormat=zip&followSymlinks=true&downloadHidden=false"
"""As the front end of jupyter-archive 3.5 asks."""


async def test_a_folder_is_downloaded_as_the_extension_asks(hub: Any) -> None:
    (hub.home / "köln").mkdir()
    (hub.home / "köln/a.txt").write_text("x")
    answer = await hub.fetch("GET", f"/user/alice/directories/k%C3%B6ln?{ASKED}")
    assert answer.code == 200
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"] == "attachment; filename*=utf-8''k%C3%B6ln.zip"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.read("köln/a.txt") == b"x"


@pytest.mark.parametrize("path", ["/directories/", "/directories", "/directories/?archiveFormat=tar.gz"])
async def test_all_files_are_downloaded_under_the_users_name(hub: Any, path: str) -> None:
    answer = await hub.fetch("GET", "/user/alice" + path)
    assert answer.code == 200
    assert "''alice." in answer.headers["Content-Disposition"]


async def test_files_of_a_folder_lead_to_its_archive(hub: Any) -> None:
    answer = await hub.fetch("GET", "/user/alice/files/a%20b?download=1&archive=zip")
    assert (answer.code, answer.headers["Location"]) == (302, "/user/alice/directories/a%20b?archiveFormat=zip")


@pytest.mark.parametrize(
    ("query", "status"), [("archiveFormat=rar", 400), ("followSymlinks=x", 400), ("archiveFormat=zip", 404)]
)
async def test_what_cannot_be_packed_is_said(hub: Any, query: str, status: int) -> None:
    answer = await hub.fetch("GET", f"/user/alice/directories/nothing?{query}")
    assert answer.code == status


async def test_other_sites_cannot_embed_an_archive(hub: Any) -> None:
    answer = await hub.fetch("GET", "/user/alice/directories/", Sec_Fetch_Site="cross-site")
    assert answer.code == 403


async def test_unpacking_is_refused_where_the_extension_shows_it(hub: Any) -> None:
    answer = await hub.json("GET", "extract-archive/a.zip", status=400)
    assert "terminal" in answer["reason"]


async def test_what_was_deleted_is_listed_and_brought_back(hub: Any) -> None:
    (hub.home / "a").mkdir()
    (hub.home / "a/x.txt").write_text("x")
    await hub.json("DELETE", "api/contents/a/x.txt", status=204)
    (item,) = (await hub.json("GET", "api/kernelhub/trash"))["items"]
    assert (item["id"], item["name"], item["folder"], item["size_bytes"]) == ("x.txt", "x.txt", "a", 1)
    assert await hub.json("POST", "api/kernelhub/trash", {"id": "x.txt"}) == {"path": "a/x.txt"}
    assert (hub.home / "a/x.txt").read_text() == "x"
    await hub.json("DELETE", "api/contents/a/x.txt", status=204)
    await hub.json("DELETE", "api/kernelhub/trash?id=x.txt", status=204)
    await hub.json("DELETE", "api/kernelhub/trash?id=x.txt", status=404)
    await hub.json("DELETE", "api/kernelhub/trash", status=204)


async def test_one_user_cannot_take_all_turns() -> None:
    turns = Turns(total=3, per_user=1, wait_seconds=0.05, refusal="wait")
    async with turns.one("a"):
        with pytest.raises(TooManyRequests):
            async with turns.one("a"):
                pass
        async with turns.one("b"), turns.one("c"):
            with pytest.raises(TooManyRequests):
                async with turns.one("d"):
                    pass
        async with turns.one("d"):
            pass
    assert turns._users == {}


async def test_who_waits_gets_the_turn_that_becomes_free() -> None:
    turns = Turns(total=1, per_user=1, wait_seconds=5, refusal="wait")
    order: list[str] = []

    async def work(user: str) -> None:
        async with turns.one(user):
            order.append(user)
            await asyncio.sleep(0)

    await asyncio.gather(*(work(user) for user in "aabbc"))
    assert sorted(order) == list("aabbc")
