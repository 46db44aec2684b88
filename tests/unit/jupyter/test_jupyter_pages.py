"""The pages of Notebook 7 and of the classic Notebook, and the addresses that lead to them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from hub.jupyter.classic_page import classic_policy
from tests.harness.front_pages import config_of, directives

NOTEBOOK = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture
async def files(hub: Any) -> Any:
    """Alice's home with a notebook and a text file in a folder whose name needs encoding."""
    (hub.home / "a b").mkdir()
    (hub.home / "a b" / "n.ipynb").write_text(json.dumps(NOTEBOOK))
    (hub.home / "a b" / "<i>.txt").write_text("text")
    (hub.home / ".hidden.ipynb").write_text(json.dumps(NOTEBOOK))
    return hub


@pytest.mark.parametrize(
    ("address", "view", "folder"),
    [
        ("tree", "tree", ""),
        ("tree/", "tree", ""),
        ("tree/a%20b", "tree", "a b"),
        ("notebooks/a%20b/n.ipynb", "notebooks", ""),
        ("edit/a%20b/%3Ci%3E.txt", "edit", ""),
        ("consoles/console-1", "consoles", ""),
        ("terminals/1", "terminals", ""),
    ],
)
async def test_notebook_7_is_told_what_it_shows(files: Any, address: str, view: str, folder: str) -> None:
    page = await files.fetch("GET", f"/user/alice/{address}")
    assert page.code == 200
    config = config_of(page.body)
    assert (config["notebookPage"], config["treePath"]) == (view, folder)
    assert config["baseUrl"] == config["frontendUrl"] == "/user/alice/" and config["token"] == ""
    assert config["fullStaticUrl"] == "/static/notebook" and config["fullSettingsUrl"].startswith("/user/alice/lab/")
    assert config["nbclassic_enabled"] is True and config["hubPrefix"] == "/hub/"
    assert config["shareUrl"] == "/hub/user-redirect/"
    assert f'data-notebook="{view}"'.encode() in page.body
    assert re.search(rb'<script defer src="/static/notebook/main\.[0-9a-f]+\.js', page.body)
    assert page.headers["Set-Cookie"].startswith("_xsrf=")
    assert directives(page.headers["Content-Security-Policy"])["default-src"] == "'none'"


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("tree/a%20b/n.ipynb", "notebooks/a%20b/n.ipynb"),
        ("tree/a%20b/%3Ci%3E.txt", "files/a%20b/%3Ci%3E.txt"),
        ("notebooks/a%20b", "tree/a%20b"),
        ("edit/a%20b/", "tree/a%20b"),
        ("nbclassic", "nbclassic/tree"),
        ("nbclassic/tree/a%20b/n.ipynb", "nbclassic/notebooks/a%20b/n.ipynb"),
        ("nbclassic/notebooks/a%20b?x=1", "nbclassic/tree/a%20b?x=1"),
        ("nbclassic/notebooks/a%20b/%3Ci%3E.txt", "files/a%20b/%3Ci%3E.txt"),
        ("nbclassic/edit/a%20b", "nbclassic/tree/a%20b"),
        ("retro", "tree"),
        ("retro/tree/a%20b?x=%2F", "tree/a%20b?x=%2F"),
        ("retro/notebooks/a%20b/n.ipynb", "notebooks/a%20b/n.ipynb"),
    ],
)
async def test_addresses_lead_to_what_is_there(files: Any, address: str, target: str) -> None:
    answer = await files.fetch("GET", f"/user/alice/{address}")
    assert (answer.code, answer.headers["Location"]) == (302, f"/user/alice/{target}")


@pytest.mark.parametrize("front", ["", "nbclassic/"])
async def test_a_link_of_another_site_opens_the_editor_for_it_may_not_fetch_bytes(files: Any, front: str) -> None:
    for site, target in (("cross-site", f"{front}edit"), ("same-site", f"{front}edit"), ("none", "files")):
        answer = await files.fetch("GET", f"/user/alice/{front}tree/a%20b/%3Ci%3E.txt", Sec_Fetch_Site=site)
        assert (answer.code, answer.headers["Location"]) == (302, f"/user/alice/{target}/a%20b/%3Ci%3E.txt")


async def test_who_comes_from_a_classic_page_stays_in_the_classic_notebook(files: Any) -> None:
    own = f"http://127.0.0.1:{files.port}/user/alice/nbclassic/tree"
    for address in ("notebooks/a%20b/n.ipynb?x=1", "edit/a%20b/%3Ci%3E.txt", "terminals/1", "tree"):
        answer = await files.fetch("GET", f"/user/alice/{address}", Referer=own)
        assert (answer.code, answer.headers["Location"]) == (302, f"/user/alice/nbclassic/{address}")
    for referer in ("http://evil.example/user/alice/nbclassic/tree", own.replace("nbclassic/", ""), "http://["):
        assert (await files.fetch("GET", "/user/alice/tree", Referer=referer)).code == 200, referer
    assert (await files.fetch("GET", "/user/alice/consoles/x", Referer=own)).code == 200


@pytest.mark.parametrize("front", ["", "nbclassic/"])
@pytest.mark.parametrize("view", ["tree", "notebooks", "edit"])
@pytest.mark.parametrize("path", ["no.ipynb", ".hidden.ipynb", "a%20b%2F..%2F..%2Fx", "n%00", "x" * 3000])
async def test_what_is_not_there_is_a_page_that_says_so(files: Any, front: str, view: str, path: str) -> None:
    answer = await files.fetch("GET", f"/user/alice/{front}{view}/{path}")
    assert answer.code in {400, 404} and answer.body.startswith(b"<!doctype html>")


async def test_an_encoded_slash_is_a_slash_as_in_the_contents_api(files: Any) -> None:
    assert (await files.fetch("GET", "/user/alice/notebooks/a%20b%2Fn.ipynb")).code == 200


def inline_scripts(page: bytes) -> list[bytes]:
    return [tag for tag in re.findall(rb"<script[^>]*>", page) if b"src=" not in tag]


@pytest.mark.parametrize(
    ("address", "main"),
    [
        ("tree", "tree"),
        ("tree/a%20b", "tree"),
        ("notebooks/a%20b/n.ipynb", "notebook"),
        ("edit/a%20b/%3Ci%3E.txt", "edit"),
        ("terminals/1", "terminal"),
    ],
)
async def test_the_classic_pages_are_the_packages_with_our_values(files: Any, address: str, main: str) -> None:
    files.terminals.names.append("1")
    strict = files.services.settings.model_copy(update={"output_scripts": False})
    files.application.settings["services"] = replace(files.services, settings=strict)
    page = await files.fetch("GET", f"/user/alice/nbclassic/{address}")
    assert page.code == 200
    policy = directives(page.headers["Content-Security-Policy"])["script-src"]
    nonce = re.search(r"'nonce-([\w-]+)'", policy)
    assert nonce is not None and "'unsafe-inline'" not in policy
    scripts = inline_scripts(page.body)
    assert scripts and all(f'nonce="{nonce[1]}"'.encode() in tag for tag in scripts)
    assert re.search(rb'src="/static/nbclassic/%s/js/main\.min\.js\?v=[0-9a-f]{16}"' % main.encode(), page.body)
    assert b'href="/hub/home"' in page.body and b'id="logout"' in page.body
    assert b"nbextensions: &#34;" not in page.body and b'nbextensions: "/static/nbextensions"' in page.body
    again = await files.fetch("GET", f"/user/alice/nbclassic/{address}")
    assert nonce[1] not in again.headers["Content-Security-Policy"]


async def test_what_users_named_is_text_in_the_classic_pages(files: Any) -> None:
    name = "'\"><script>alert(1)<"
    (files.home / f"{name}.txt").write_text("")
    (files.home / "{{7*7}}").mkdir()
    quoted = "%27%22%3E%3Cscript%3Ealert(1)%3C"
    page = await files.fetch("GET", f"/user/alice/nbclassic/edit/{quoted}.txt")
    assert page.code == 200 and b"<script>alert(1)" not in page.body and b"alert(1)" in page.body
    page = await files.fetch("GET", "/user/alice/nbclassic/tree/%7B%7B7*7%7D%7D")
    assert page.code == 200 and b"{{7*7}}" in page.body


async def test_a_terminal_that_does_not_run_is_not_started_by_a_link(files: Any) -> None:
    assert (await files.fetch("GET", "/user/alice/nbclassic/terminals/7")).code == 404
    assert files.terminals.names == []


def test_a_nonce_does_not_take_the_scripts_of_outputs_away() -> None:
    policy = directives(classic_policy("hub.example.edu", output_scripts=True, nonce="x"))
    assert "'unsafe-inline'" in policy["script-src"] and "nonce" not in policy["script-src"]


async def test_a_warning_is_shown_in_every_front_end(files: Any) -> None:
    application = files.application
    application.settings["services"] = replace(files.services, warning='No <isolation> & "none"')
    for address in ("lab", "tree", "nbclassic/tree", "nbclassic/notebooks/a%20b/n.ipynb"):
        page = await files.fetch("GET", f"/user/alice/{address}")
        assert b"No &lt;isolation&gt; &amp; &quot;none&quot;" in page.body, address


async def test_files_that_are_everybodys_are_at_one_address(hub: Any) -> None:
    for sent, target in (
        ("static/base/images/favicon-busy-1.ico", "/static/nbclassic/base/images/favicon-busy-1.ico"),
        ("static/favicons/favicon-busy-1.ico", "/static/favicons/favicon-busy-1.ico"),
        ("nbextensions/x/y.js?v=1", "/static/nbextensions/x/y.js?v=1"),
    ):
        answer = await hub.fetch("GET", f"/user/alice/{sent}")
        assert (answer.code, answer.headers["Location"]) == (302, target)
    for path in ("static/..%2f..%2fhub/logout", "static/%2fevil.example", "nbextensions//evil"):
        assert (await hub.fetch("GET", f"/user/alice/{path}")).code == 404, path


async def test_custom_files_are_the_installations_and_never_a_homes(hub: Any) -> None:
    (hub.home / ".jupyter" / "custom").mkdir(parents=True)
    (hub.home / ".jupyter" / "custom" / "custom.js").write_text("steal()")
    for name, kind in (("custom.js", "javascript"), ("custom.css", "text/css")):
        answer = await hub.fetch("GET", f"/user/alice/custom/{name}")
        assert answer.code == 200 and kind in answer.headers["Content-Type"] and b"steal" not in answer.body
    for path in ("nothing.js", "..%2fbase%2fjs%2futils.js", "%2fetc%2fpasswd", "x" * 3000):
        assert (await hub.fetch("GET", f"/user/alice/custom/{path}")).code == 404


async def test_a_file_is_viewed_in_a_frame_without_rights(files: Any) -> None:
    page = await files.fetch("GET", "/user/alice/view/a%20b/%3Ci%3E.txt")
    assert page.code == 200 and b"<i>" not in page.body.partition(b"<iframe")[0]
    assert b'sandbox="allow-scripts" src="/user/alice/files/a%20b/%3Ci%3E.txt"' in page.body
    policy = directives(page.headers["Content-Security-Policy"])
    assert policy["default-src"] == "'none'" and "script-src" not in policy and policy["frame-src"] == "'self'"
    for path in ("a%20b", "no.html", ".hidden.ipynb"):
        assert (await files.fetch("GET", f"/user/alice/view/{path}")).code == 404


async def test_sections_of_the_classic_notebook_begin_with_what_is_installed(hub: Any) -> None:
    installed = {"load_extensions": {"jupyter-js-widgets/extension": True}}
    assert await hub.json("GET", "api/config/notebook") == installed
    changed = await hub.json("PATCH", "api/config/notebook", {"load_extensions": {"mine/x": True}, "a": 1})
    assert changed == {"load_extensions": {**installed["load_extensions"], "mine/x": True}, "a": 1}
    off = {"load_extensions": {"jupyter-js-widgets/extension": False}}
    await hub.json("PATCH", "api/config/notebook", off)
    assert (await hub.json("GET", "api/config/notebook"))["load_extensions"]["jupyter-js-widgets/extension"] is False
    assert await hub.json("GET", "api/config/tree") == {}
