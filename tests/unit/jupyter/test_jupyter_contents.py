"""The Contents API over real files: status codes, headers and shapes are Jupyter's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hub.http.handler import INTERNAL_HEADER
from hub.jupyter import contents

NOTEBOOK = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


async def test_a_file_is_written_read_renamed_and_deleted(hub: Any) -> None:
    body = {"type": "file", "format": "text", "content": "hello"}
    created = await hub.fetch("PUT", "/user/alice/api/contents/a%20b.txt", body)
    assert (created.code, created.headers["Location"]) == (201, "/user/alice/api/contents/a%20b.txt")
    assert "Last-Modified" in created.headers
    assert (await hub.fetch("PUT", "/user/alice/api/contents/a%20b.txt", body)).code == 200

    model = await hub.json("GET", "api/contents/a%20b.txt?type=file&format=text&hash=1")
    assert (model["content"], model["writable"], model["hash_algorithm"]) == ("hello", True, "sha256")
    assert set(model) >= {"name", "path", "type", "created", "last_modified", "mimetype", "size", "format"}
    assert (await hub.json("GET", "api/contents/a%20b.txt?content=0"))["content"] is None

    renamed = await hub.json("PATCH", "api/contents/a%20b.txt", {"path": "c.txt"})
    assert renamed["path"] == "c.txt"
    deleted = await hub.fetch("DELETE", "/user/alice/api/contents/c.txt")
    assert (deleted.code, deleted.body) == (204, b"")
    assert (await hub.json("GET", "api/contents/c.txt", status=404))["message"]


async def test_new_things_get_names_of_the_hub(hub: Any) -> None:
    notebook = await hub.json("POST", "api/contents", {"type": "notebook"}, status=201)
    folder = await hub.json("POST", "api/contents/", {"type": "directory"}, status=201)
    copied = await hub.json("POST", "api/contents", {"copy_from": notebook["path"]}, status=201)
    assert notebook["type"] == "notebook" and notebook["path"] == "Untitled.ipynb"
    assert folder["type"] == "directory" and copied["path"] == "Untitled-Copy1.ipynb"
    listing = await hub.json("GET", "api/contents?content=1&contentProviderId=undefined")
    assert {entry["name"] for entry in listing["content"]} == {folder["name"], notebook["name"], copied["name"]}


async def test_a_notebook_keeps_its_content(hub: Any) -> None:
    cell = {"cell_type": "code", "id": "x", "metadata": {}, "source": "1", "outputs": [], "execution_count": None}
    saved = {**NOTEBOOK, "cells": [cell]}
    await hub.json("PUT", "api/contents/n.ipynb", {"type": "notebook", "content": saved}, status=201)
    read = await hub.json("GET", "api/contents/n.ipynb?type=notebook")
    assert read["content"]["cells"][0]["source"] == "1" and read["format"] == "json"


async def test_wrong_requests_are_refused(hub: Any) -> None:
    await hub.json("PUT", "api/contents/f", {"type": "file", "format": "text", "content": ""}, status=201)
    await hub.json("GET", "api/contents/f?format=xml", status=400)
    await hub.json("GET", "api/contents/f?content=2", status=400)
    await hub.json("GET", "api/contents/f?hash=x", status=400)
    await hub.json("GET", "api/contents/f?type=directory", status=400)
    await hub.json("POST", "api/contents/f", {}, status=400)
    await hub.json("PUT", "api/contents/g", {"copy_from": "f"}, status=400)
    await hub.json("PATCH", "api/contents/f", status=400)
    await hub.json("PUT", "api/contents/f", b"{", status=400)
    await hub.json("PUT", "api/contents/f", b'{"content": 1, "type": 5}', status=400)
    await hub.json("PATCH", "api/contents/f", {"path": 5}, status=400)


async def test_an_unknown_type_is_a_file(hub: Any) -> None:
    await hub.json("PUT", "api/contents/f", {"type": "x", "format": "text", "content": "1"}, status=201)
    assert (await hub.json("GET", "api/contents/f?type=anything"))["content"] == "1"


async def test_renaming_over_something_is_a_conflict(hub: Any) -> None:
    for name in "ab":
        await hub.json("PUT", f"api/contents/{name}", {"type": "file", "format": "text", "content": ""}, status=201)
    await hub.json("PATCH", "api/contents/a", {"path": "b"}, status=409)


async def test_paths_that_leave_the_home_reach_nothing(hub: Any) -> None:
    (hub.home.parent / "secret").write_text("secret")
    (hub.home / "link").symlink_to(hub.home.parent)
    for path in ("..%2fsecret", "x/..%2f..%2fsecret", "link/secret", "%2e%2e/secret", "/etc/passwd"):
        for prefix in ("api/contents/", "files/"):
            answer = await hub.fetch("GET", f"/user/alice/{prefix}{path}", Sec_Fetch_Site="same-origin")
            assert answer.code in {400, 403, 404}, path
            assert b"secret" not in answer.body.replace(b"/secret", b"").replace(b"..secret", b"")


async def test_checkpoints_are_made_listed_restored_and_forgotten(hub: Any) -> None:
    old = {"type": "file", "format": "text", "content": "old"}
    await hub.json("PUT", "api/contents/d/f.txt", old, status=404)
    await hub.json("PUT", "api/contents/f.txt", old, status=201)
    assert await hub.json("GET", "api/contents/f.txt/checkpoints") == []
    made = await hub.fetch("POST", "/user/alice/api/contents/f.txt/checkpoints")
    assert made.code == 201 and made.headers["Location"].startswith("/user/alice/api/contents/f.txt/checkpoints/")
    checkpoint = (await hub.json("GET", "api/contents/f.txt/checkpoints"))[0]
    assert set(checkpoint) == {"id", "last_modified"}
    await hub.json("PUT", "api/contents/f.txt", {**old, "content": "new"})
    await hub.json("POST", f"api/contents/f.txt/checkpoints/{checkpoint['id']}", status=204)
    assert (await hub.json("GET", "api/contents/f.txt"))["content"] == "old"
    await hub.json("DELETE", f"api/contents/f.txt/checkpoints/{checkpoint['id']}", status=204)
    assert await hub.json("GET", "api/contents/f.txt/checkpoints") == []


async def test_a_notebook_can_be_trusted(hub: Any) -> None:
    await hub.json("PUT", "api/contents/n.ipynb", {"type": "notebook", "content": NOTEBOOK}, status=201)
    await hub.json("POST", "api/contents/n.ipynb/trust", status=201)


async def test_paths_in_tracebacks_are_resolved(hub: Any) -> None:
    (hub.home / "m.py").write_text("")
    for path in ("/home/jovyan/m.py", "~/m.py", "m.py", "~/x/../m.py"):
        found = await hub.json("GET", f"api/resolvePath?path={path}")
        assert found == {"resolved": [{"scope": "server", "path": "m.py"}], "unresolved": []}
    for path in ("/etc/passwd", "../m.py", "~/../m.py", "a/../../m.py", "nothing"):
        assert await hub.json("GET", f"api/resolvePath?path={path}") == {"resolved": [], "unresolved": []}
    found = await hub.json("GET", "api/resolvePath?path=m.py&kernel=1-2-3-4-5")
    assert found["resolved"] and found["unresolved"] == [
        {"scope": "kernel", "reason": "Kernel 1-2-3-4-5 could not be found"}
    ]


async def test_a_large_notebook_is_answered_as_a_small_one(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "ü\0" * 500_000}
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    await hub.json("PUT", "api/contents/n.ipynb", {"type": "notebook", "content": notebook}, status=201)
    small = await hub.fetch("GET", "/user/alice/api/contents/n.ipynb?hash=1")
    monkeypatch.setattr("hub.contents.documents.LARGE_BYTES", 0)
    large = await hub.fetch("GET", "/user/alice/api/contents/n.ipynb?hash=1")
    assert large.body == small.body and large.code == 200
    for name in ("Content-Type", "Content-Length", "Last-Modified"):
        assert large.headers[name] == small.headers[name]
    head = await hub.fetch("HEAD", "/user/alice/api/contents/n.ipynb?hash=1")
    assert head.headers["Content-Length"] == large.headers["Content-Length"] and not head.body


async def test_a_user_has_only_so_much_large_content_on_its_way(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await hub.json("PUT", "api/contents/a.txt", {"type": "file", "format": "text", "content": "x" * 1000}, status=201)
    monkeypatch.setattr("hub.contents.documents.LARGE_BYTES", 0)
    monkeypatch.setattr("hub.jupyter.contents.ON_THEIR_WAY_BYTES", 1500)
    assert contents._on_their_way.take("id-alice", 600, 1500)
    assert (await hub.fetch("GET", "/user/alice/api/contents/a.txt")).code == 429
    contents._on_their_way.give_back("id-alice", 600)
    assert (await hub.fetch("GET", "/user/alice/api/contents/a.txt")).code == 200
    assert contents._on_their_way.total == 0


async def test_a_client_that_takes_nothing_of_large_content_is_left(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "x" * 20_000_000
    await hub.json("PUT", "api/contents/a.txt", {"type": "file", "format": "text", "content": text}, status=201)
    monkeypatch.setattr("hub.jupyter.contents.STALLED_SECONDS", 0.3)
    _, writer = await asyncio.open_connection("127.0.0.1", hub.port, limit=1024)
    head = f"{INTERNAL_HEADER}: {hub.services.internal_token}\r\nAuthorization: token alice\r\n\r\n"
    writer.write(f"GET /user/alice/api/contents/a.txt HTTP/1.1\r\nHost: 127.0.0.1:{hub.port}\r\n{head}".encode())
    async with asyncio.timeout(10):
        while contents._on_their_way.total == 0:
            await asyncio.sleep(0.01)
        while contents._on_their_way.total:
            await asyncio.sleep(0.01)
    writer.close()
