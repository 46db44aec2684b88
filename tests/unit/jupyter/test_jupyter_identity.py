"""What users choose of how others see them, and the description of the API."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub.jupyter.routes import routes

SOCKETS = {"/api/kernels/{kernel}/channels", "/terminals/websocket/{terminal}", "/api/events/subscribe"}
VALUES = {
    "path": "x.ipynb",
    "kernel": "0f7e8d3e-0000-4000-8000-000000000000",
    "session": "0f7e8d3e-0000-4000-8000-000000000000",
}


async def test_a_colour_is_kept_and_shown(hub: Any) -> None:
    me = await hub.json("GET", "api/me")
    assert me["permissions"]["updatable_fields"] == ["color"] and me["identity"]["color"] is None
    for colour in ("#ff00aa", "teal", "var(--jp-collaborator-color1)"):
        answer = await hub.json("PATCH", "api/me", {"color": colour})
        assert answer["status"] == "success" and answer["identity"]["color"] == colour
        assert (await hub.json("GET", "api/me"))["identity"] == answer["identity"]
    other = await hub.fetch("GET", "/user/bob/api/me", who="bob")
    assert b'"color":null' in other.body


@pytest.mark.parametrize(
    "body", [{}, {"name": "root"}, {"color": "#fff", "username": "x"}, {"color": 5}, {"color": "red;x:url(//e)"}, []]
)
async def test_names_and_what_is_no_colour_are_refused(hub: Any, body: Any) -> None:
    assert (await hub.fetch("PATCH", "/user/alice/api/me", body)).code == 400
    assert (await hub.json("GET", "api/me"))["identity"]["color"] is None


async def test_the_description_names_what_is_served_and_all_of_jupyters_own(hub: Any) -> None:
    answer = await hub.fetch("GET", "/user/alice/api/spec.yaml")
    assert answer.code == 200 and "yaml" in answer.headers["Content-Type"]
    described = yaml.safe_load(answer.body)
    assert described["openapi"].startswith("3.")
    table = routes()
    found = set()
    for path, operations in described["paths"].items():
        address = "/user/alice" + re.sub(r"\{(\w+)\}", lambda name: VALUES.get(name[1], "x"), path)
        route = next((r for r in table if r.regex.match(address)), None)
        methods = {name for name in operations if name != "parameters"}
        if path in SOCKETS:
            continue
        assert route is not None, path
        found.add(route.regex.pattern)
        for method in methods:
            assert method in vars_of(route.handler_class), (method, path)
    own = {pattern for route in table if (pattern := route.regex.pattern).startswith("/user/([^/]+)/api")}
    assert {pattern for pattern in own if not re.search("kernelhub|subscribe", pattern)} <= found


def vars_of(handler: type) -> set[str]:
    """The methods that a handler, or a base of it that is Jupyter's, has."""
    named = [base for base in handler.__mro__ if base.__module__.startswith("hub.jupyter")]
    return {name for base in named for name in vars(base)}


def test_the_description_is_one_file_of_ours() -> None:
    text = (Path(__file__).parents[3] / "hub" / "jupyter" / "openapi.yaml").read_text("utf-8")
    assert "http://" not in text and len(text) < 40_000
