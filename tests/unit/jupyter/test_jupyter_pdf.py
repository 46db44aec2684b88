"""Notebooks as PDF, printed by a browser that can reach nothing (hub.jupyter.print_pdf, lockdown, exports)."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from hub.config import Settings
from hub.jupyter.exports import ExportFailed, Printing, print_pdf
from hub.jupyter.print_pdf import LEFT_AFTER_SECONDS, MATHJAX, PAGE, PREFIX, Pages, mathjax_folder, remove_leftovers
from tests.conftest import missing

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture
def browser() -> Path:
    if CHROMIUM is None:
        missing("there is no Chromium to print with")
    return Path(str(CHROMIUM))


def allow(hub: Any, browser: Path) -> None:
    """Configure the running hub with a browser."""
    settings = Settings(data_dir=hub.services.settings.data_dir, export_browser=browser)
    hub.application.settings["services"] = dataclasses.replace(hub.services, settings=settings)


def notebook(*sources: str, html: str = "") -> dict[str, Any]:
    """Markdown cells, and one output of HTML."""
    cells: list[dict[str, Any]] = [
        {"cell_type": "markdown", "id": f"m{n}", "metadata": {}, "source": source} for n, source in enumerate(sources)
    ]
    output = {"output_type": "display_data", "metadata": {}, "data": {"text/html": html}}
    code = {"cell_type": "code", "id": "c", "metadata": {}, "execution_count": 1, "source": "x", "outputs": [output]}
    return {"cells": [*cells, code], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


async def test_a_notebook_is_printed(hub: Any, browser: Path) -> None:
    allow(hub, browser)
    formats = await hub.json("GET", "api/nbconvert")
    assert formats["pdf"] == {"output_mimetype": "application/pdf"} and "webpdf" not in formats
    await hub.json(
        "PUT", "api/contents/%C3%BC.ipynb", {"type": "notebook", "content": notebook("# Hi", "$x^2$")}, status=201
    )
    before = set(Path(tempfile.gettempdir()).glob("kernelhub-pdf-*"))
    answer = await hub.fetch("GET", "/user/alice/nbconvert/pdf/%C3%BC.ipynb?download=true")
    assert answer.code == 200, answer.body
    assert answer.body.startswith(b"%PDF-") and len(answer.body) > 5_000
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.headers["Content-Disposition"].endswith("%C3%BC.pdf")
    assert set(Path(tempfile.gettempdir()).glob("kernelhub-pdf-*")) <= before
    assert (await hub.fetch("POST", "/user/alice/nbconvert/webpdf", {"content": notebook("x")})).code == 200


async def test_what_is_printed_reaches_nobody(browser: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        page = f"""<h1>x</h1><img src="{address}/img"><link rel=stylesheet href="{address}/css">
            <script>fetch("{address}/fetch"); new WebSocket("{address.replace("http", "ws")}/socket")</script>"""
        assert (await print_pdf(printing(browser), page.encode())).startswith(b"%PDF-")
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()


async def test_a_browser_that_fails_is_said(tmp_path: Path) -> None:
    failing = tmp_path / "browser"
    failing.write_text("#!/bin/sh\nexit 3\n")
    failing.chmod(0o755)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    with pytest.raises(ExportFailed, match="status 3"):
        await print_pdf(printing(failing), b"x")


async def test_the_page_and_mathjax_are_all_that_is_served(tmp_path: Path) -> None:
    (tmp_path / "mathjax/config").mkdir(parents=True)
    (tmp_path / "mathjax/MathJax.js").write_text("js")
    (tmp_path / "mathjax/link").symlink_to("/etc/passwd")
    (tmp_path / "secret").write_text("secret")

    pages = Pages(b"<p>", os.open(tmp_path / "mathjax", os.O_PATH))
    assert pages._find(PAGE) == ("text/html; charset=utf-8", b"<p>")
    assert pages._find(f"{MATHJAX}MathJax.js?config=x") == ("text/javascript", b"js")
    for wrong in ("../secret", "link", "/etc/passwd", "config", "nothing", ""):
        assert pages._find(f"{MATHJAX}{wrong}") == ("", b""), wrong
    assert pages._find("/secret") == ("", b"")
    await asyncio.sleep(0)


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    old, new, other = (tmp_path / name for name in (f"{PREFIX}old", f"{PREFIX}new", "kernelhub-other"))
    for folder in (old, new, other):
        (folder / "profile").mkdir(parents=True)
        (folder / "profile" / "big").write_bytes(b"x")
    (old / "out").symlink_to(other)
    long_ago = time.time() - LEFT_AFTER_SECONDS - 10
    for folder in (old, other):
        os.utime(folder, (long_ago, long_ago))
    remove_leftovers(tmp_path)
    assert set(tmp_path.iterdir()) == {new, other} and (other / "profile" / "big").exists()


def test_mathjax_is_there() -> None:
    folder = mathjax_folder()
    assert folder is not None and (folder / "config/TeX-AMS-MML_HTMLorMML-full.js").is_file()


def printing(browser: Path) -> Printing:
    """Whom to print as: nobody of the hub's users, if we are root."""
    return Printing(str(browser), *((200_999, 100) if os.geteuid() == 0 else (None, None)))
