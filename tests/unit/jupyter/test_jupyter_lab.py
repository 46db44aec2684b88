"""JupyterLab's page and its own API."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from hub.jupyter.lab_page import lab_page, lab_policy
from hub.jupyter.page_config import Place, parse_place
from hub.jupyter.themes import rewrite
from tests.harness.front_pages import config_of, directives

THEMES = "@jupyterlab/apputils-extension:themes"


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("lab", Place()),
        ("lab/", Place()),
        ("lab/tree/a/b.ipynb", Place(path="a/b.ipynb")),
        ("lab/workspaces/auto-x", Place(layout="auto-x")),
        ("lab/workspaces/w/tree/a", Place(layout="w", path="a")),
        ("doc/tree/n.ipynb", Place("single-document", path="n.ipynb")),
        ("lab/elsewhere", None),
        ("lab/workspaces/..", None),
    ],
)
def test_an_address_of_lab_stands_for_a_place(address: str, place: Place | None) -> None:
    assert parse_place(address) == place


def test_nothing_in_the_configuration_ends_its_script() -> None:
    page = lab_page({"treePath": "</script><script>alert(1)</script><!--"}, ["main.js"], "/static/lab", None)
    assert page.count("<script") == 2 and "alert(1)" in page
    assert config_of(page.encode())["treePath"].startswith("</script>")


def test_a_warning_is_shown_as_text() -> None:
    page = lab_page({}, [], "/static/lab", 'No <isolation> & "none"')
    assert 'role="alert"' in page and "No &lt;isolation&gt; &amp; &quot;none&quot;" in page


async def test_the_page_tells_lab_where_everything_is_and_holds_no_secret(hub: Any) -> None:
    page = await hub.fetch("GET", "/user/alice/lab/tree/a%20b/n.ipynb")
    assert page.code == 200 and "no-store" in page.headers["Cache-Control"]
    config = config_of(page.body)
    assert config["baseUrl"] == "/user/alice/" and config["token"] == "" and config["treePath"] == "a b/n.ipynb"
    assert config["fullStaticUrl"] == "/static/lab" and config["fullLabextensionsUrl"] == "/static/labextensions"
    assert config["fullSettingsUrl"] == "/user/alice/lab/api/settings"
    assert config["fullWorkspacesApiUrl"] == "/user/alice/lab/api/workspaces"
    assert config["hubPrefix"] == "/hub/" and config["hubUser"] == "alice"
    assert json.loads(config["notebookVersion"])[0] >= 2
    assert not [key for key, value in config.items() if key.endswith("Dir") and value]
    assert str(hub.home.parent.parent).encode() not in page.body
    assert re.search(rb'<script defer src="/static/lab/main\.[0-9a-f]+\.js', page.body)
    assert hub.workspaces.wanted == ["alice"]


def test_without_output_scripts_only_the_hubs_own_scripts_run() -> None:
    policy = directives(lab_policy("hub.example.edu", output_scripts=False))
    assert policy["script-src"] == "'self' 'unsafe-eval'" and policy["default-src"] == "'none'"


def test_with_output_scripts_trusted_outputs_may_run_theirs() -> None:
    policy = directives(lab_policy("hub.example.edu", output_scripts=True))
    assert "'unsafe-inline'" in policy["script-src"] and "https:" in policy["script-src"]
    assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'self'"


async def test_the_page_has_a_policy_and_sets_the_form_token(hub: Any) -> None:
    page = await hub.fetch("GET", "/user/alice/lab")
    assert directives(page.headers["Content-Security-Policy"])["base-uri"] == "'self'"
    cookie = page.headers["Set-Cookie"]
    assert cookie.startswith("_xsrf=form-token-of-alice;") and "Path=/user/alice/" in cookie


async def test_an_address_that_lab_does_not_have_is_told_by_lab(hub: Any) -> None:
    page = await hub.fetch("GET", "/user/alice/lab/elsewhere")
    assert page.code == 404 and config_of(page.body)["notFoundUrl"] == "/user/alice/lab/elsewhere"


async def test_the_users_address_leads_to_lab(hub: Any) -> None:
    for path in ("/user/alice", "/user/alice/"):
        answer = await hub.fetch("GET", path)
        assert (answer.code, answer.headers["Location"]) == (302, "/user/alice/lab")


async def test_settings_are_listed_with_their_schemas(hub: Any) -> None:
    listed = (await hub.json("GET", "lab/api/settings?1234567890"))["settings"]
    ids = [entry["id"] for entry in listed]
    assert THEMES in ids and len(ids) > 60 and ids == sorted(ids, reverse=True)
    assert set(listed[0]) >= {"id", "schema", "version", "raw", "settings", "last_modified", "created"}
    only = await hub.json("GET", "lab/api/settings?ids_only=true")
    assert only["settings"] == [{"id": plugin_id} for plugin_id in ids]


async def test_settings_keep_what_was_typed_with_its_comments(hub: Any) -> None:
    raw = '{\n  // dark, please\n  "theme": "JupyterLab Dark",\n}'
    await hub.json("PUT", f"lab/api/settings/{THEMES}", {"raw": raw}, status=204)
    stored = await hub.json("GET", f"lab/api/settings/{THEMES}")
    assert stored["raw"] == raw and stored["settings"] == {"theme": "JupyterLab Dark"} and stored["last_modified"]
    listed = (await hub.json("GET", "lab/api/settings/"))["settings"]
    assert next(e for e in listed if e["id"] == THEMES)["settings"] == {"theme": "JupyterLab Dark"}
    others = await hub.fetch("GET", f"/user/bob/lab/api/settings/{THEMES}", who="bob")
    assert json.loads(others.body)["settings"] == {}


async def test_settings_that_do_not_fit_are_refused(hub: Any) -> None:
    for raw in ('{"theme": 5}', "{", "[]", '{"adaptive-theme": []}', "x" * 600_000, "[" * 100_000):
        answer = await hub.fetch("PUT", f"/user/alice/lab/api/settings/{THEMES}", {"raw": raw})
        assert answer.code in {400, 413}, raw[:40]
    for body in ({}, {"raw": 5}, [], b"x"):
        assert (await hub.fetch("PUT", f"/user/alice/lab/api/settings/{THEMES}", body)).code == 400
    for name in ("foo", "../../x:y", "@jupyterlab/nothing:x"):
        assert (await hub.fetch("PUT", f"/user/alice/lab/api/settings/{name}", {"raw": "{}"})).code == 404
    assert (await hub.json("GET", "lab/api/settings/foo", status=404))["reason"] is None


async def test_layouts_are_kept_listed_and_removed(hub: Any) -> None:
    assert await hub.json("GET", "lab/api/workspaces/foo") == {"data": {}, "metadata": {"id": "/foo"}}
    assert await hub.json("GET", "lab/api/workspaces") == {"workspaces": {"ids": [], "values": []}}
    layout = {"data": {"layout-restorer:data": {"main": 1}}, "metadata": {"id": "default"}}
    for _ in range(2):
        await hub.json("PUT", "lab/api/workspaces/default", layout, status=204)
    stored = await hub.json("GET", "lab/api/workspaces/default")
    assert stored["data"] == layout["data"] and stored["metadata"]["last_modified"]
    for _ in range(2):
        assert (await hub.json("GET", "lab/api/workspaces"))["workspaces"]["ids"] == ["default"]
    changed = {**layout, "data": {}}
    await hub.json("PUT", "lab/api/workspaces/default", changed, status=204)
    assert (await hub.json("GET", "lab/api/workspaces"))["workspaces"]["values"][0]["data"] == {}
    await hub.json("DELETE", "lab/api/workspaces/default", status=204)
    await hub.json("DELETE", "lab/api/workspaces/default", status=404)
    assert (await hub.json("GET", "lab/api/workspaces"))["workspaces"]["ids"] == []


async def test_layouts_that_are_none_are_refused(hub: Any) -> None:
    for body in ({}, [], {"metadata": {"id": "other"}}, {"metadata": 5}, b"x"):
        assert (await hub.fetch("PUT", "/user/alice/lab/api/workspaces/w", body)).code == 400
    big = {"data": "x" * 200_000, "metadata": {"id": "w"}}
    assert (await hub.fetch("PUT", "/user/alice/lab/api/workspaces/w", big)).code == 413


async def test_languages_and_the_default_pack(hub: Any) -> None:
    listed = await hub.json("GET", "lab/api/translations/")
    assert listed["data"]["en"]["displayName"] == "English" and listed["message"] == ""
    assert await hub.json("GET", "lab/api/translations/default") == {"data": {}, "message": ""}
    missing = await hub.json("GET", "lab/api/translations/fr_FR")
    assert missing["data"] == {} and "fr_FR" in missing["message"]


async def test_themes_are_given_and_nothing_beside_them(hub: Any) -> None:
    path = "lab/api/themes/@jupyterlab/theme-light-extension/index.css"
    theme = await hub.fetch("GET", f"/user/alice/{path}")
    assert theme.code == 200 and theme.headers["Content-Type"].startswith("text/css") and b"--jp-" in theme.body
    for path in ("../schemas/x", "..%2f..%2fschemas", "@jupyterlab", "/etc/passwd", "x%00"):
        assert (await hub.fetch("GET", f"/user/alice/lab/api/themes/{path}")).code == 404


def test_only_relative_addresses_in_styles_are_rewritten() -> None:
    style = b"a{b:url('x.png')}c{d:url(y.svg)}e{f:url(\"/z\")}g{h:url(data:image/x)}i{j:url('https://k/l')}"
    assert rewrite(style, "/t") == (
        b"a{b:url('/t/x.png')}c{d:url('/t/y.svg')}e{f:url(\"/z\")}g{h:url(data:image/x)}i{j:url('https://k/l')}"
    )


async def test_what_a_hub_does_not_do_is_answered_quietly(hub: Any) -> None:
    assert await hub.json("GET", "lab/api/build") == {"status": "stable", "message": ""}
    assert await hub.json("GET", "lab/api/news") == {"news": []}
    assert await hub.json("GET", "lab/api/update") == {"notification": None}
    assert (await hub.json("GET", "lsp/status"))["sessions"] == {}
    listing = await hub.json("GET", "lab/api/listings/@jupyterlab/extensionmanager-extension/listings.json")
    assert listing["blocked_extensions"] == []


async def test_licences_are_given_in_three_formats(hub: Any) -> None:
    licenses = await hub.json("GET", "lab/api/licenses/?format=json")
    assert licenses["bundles"]["@jupyterlab/application-top"]["packages"]
    for wanted, ending in (("csv", ".csv"), ("markdown", ".md")):
        answer = await hub.fetch("GET", f"/user/alice/lab/api/licenses/?format={wanted}&download=1")
        assert answer.headers["Content-Disposition"].endswith(ending) and b"@jupyterlab/application-top" in answer.body
    assert (await hub.fetch("GET", "/user/alice/lab/api/licenses/?format=pdf")).code == 400


async def test_identity_status_and_version(hub: Any) -> None:
    me = await hub.json("GET", "api/me?permissions=%7B%22contents%22%3A%5B%22read%22%5D%7D")
    assert me["identity"]["username"] == "alice" and me["permissions"]["contents"] == ["read"]
    await hub.json("GET", "api/me?permissions=%5B%5D", status=400)
    status = await hub.json("GET", "api/status")
    assert set(status) == {"started", "last_activity", "kernels", "connections"}
    assert (await hub.json("GET", "api"))["version"][0].isdigit()
    report = await hub.fetch("POST", "/user/alice/api/security/csp-report", b'{"csp-report":{}}', X_XSRFToken="")
    assert report.code == 200


async def test_configuration_sections_are_merged_and_null_removes(hub: Any) -> None:
    assert await hub.json("GET", "api/config/mine") == {}
    await hub.json("PUT", "api/config/mine", {"a": {"b": 1, "c": 2}, "d": 3}, status=204)
    changed = await hub.json("PATCH", "api/config/mine", {"a": {"b": None, "e": 4}, "d": None})
    assert changed == {"a": {"c": 2, "e": 4}} == await hub.json("GET", "api/config/mine")


async def test_notebooks_are_exported_without_rights_on_the_hub(hub: Any) -> None:
    cell = {"cell_type": "code", "id": "x", "metadata": {}, "execution_count": 1, "source": "print('hello')"}
    output = {"output_type": "display_data", "metadata": {}, "data": {"text/html": "<script>alert(1)</script>"}}
    notebook = {"cells": [{**cell, "outputs": [output]}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    await hub.json("PUT", "api/contents/n.ipynb", {"type": "notebook", "content": notebook}, status=201)
    formats = await hub.json("GET", "api/nbconvert")
    assert formats["html"] == {"output_mimetype": "text/html"} and "pdf" not in formats and "webpdf" not in formats
    html = await hub.fetch("GET", "/user/alice/nbconvert/html/n.ipynb?download=true")
    assert html.code == 200 and b"hello" in html.body and "sandbox" in html.headers["Content-Security-Policy"]
    assert html.headers["Content-Disposition"].endswith("n.html")
    assert b"alert(1)" in html.body
    clean = await hub.fetch("GET", "/user/alice/nbconvert/html/n.ipynb?sanitize_html=true")
    assert clean.code == 200 and b"<script>alert(1)" not in clean.body
    script = await hub.fetch("POST", "/user/alice/nbconvert/script", {"content": notebook})
    assert script.code == 200 and b"print('hello')" in script.body
    cross = await hub.fetch("GET", "/user/alice/nbconvert/html/n.ipynb", Sec_Fetch_Site="cross-site")
    assert cross.code == 403
    assert (await hub.fetch("GET", "/user/alice/nbconvert/pdf/n.ipynb")).code == 404
    broken = await hub.fetch("POST", "/user/alice/nbconvert/html", {"content": {"nbformat": 4, "cells": 5}})
    assert broken.code == 500 and json.loads(broken.body)["message"].startswith("nbconvert failed")
    wrong = {
        **notebook,
        "cells": [{"cell_type": "code", "metadata": {"collapsed": "<b>"}, "source": "", "outputs": []}],
    }
    refused = await hub.fetch("POST", "/user/alice/nbconvert/html", {"content": wrong})
    said = json.loads(refused.body)["message"]
    assert refused.code == 400 and "notebook format at cells.0" in said and "<b>" not in said
