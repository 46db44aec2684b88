"""Programs written for JupyterHub's REST API, unchanged: the idle culler from PyPI, and an administrator's scripts."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests

from hub.cli.offline import ACTOR
from hub.domain.audit import AuditEvent
from tests.harness.accounts import Account, add_account, audit, in_thread, services
from tests.harness.running import RunningHub, eventually, running_hub

CULLERS_SCOPES = ("list:users", "read:users:activity", "read:servers", "delete:servers")
"""As the idle culler's own documentation says."""


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process") as hub:
        yield hub


@pytest.fixture(scope="module")
def admin(hub: RunningHub) -> Account:
    return add_account(hub, "root1", admin=True)


class Script:
    """How administrators' scripts ask a JupyterHub: `requests`, a token, the API's address."""

    def __init__(self, hub: RunningHub, token: str) -> None:
        self.api = f"{hub.address}/hub/api"
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"token {token}"

    def __call__(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.session.request(method, self.api + path, timeout=30, **more)

    def pages(self, path: str, limit: int) -> list[dict[str, Any]]:
        """Everything of a list, as JupyterHub's documentation shows how to ask for it."""
        headers = {"Accept": "application/jupyterhub-pagination+json"}
        found, url = [], f"{self.api}{path}?limit={limit}"
        while url:
            response = self.session.get(url, headers=headers, timeout=30)
            response.raise_for_status()
            page = response.json()
            found += page["items"]
            following = page["_pagination"]["next"]
            url = following["url"] if following else ""
        return found

    def start(self, user: str) -> list[dict[str, Any]]:
        """Start a user's server and follow its progress, as JupyterHub's documentation shows; gives the events."""
        response = self("POST", f"/users/{user}/server")
        response.raise_for_status()
        assert response.status_code in (201, 202)
        model = self("GET", f"/users/{user}").json()
        progress = (
            model["servers"][""]["progress_url"] if model["servers"] else f"/hub/api/users/{user}/server/progress"
        )
        events = []
        with self.session.get(self.api.removesuffix("/hub/api") + progress, stream=True, timeout=60) as stream:
            stream.raise_for_status()
            for line in stream.iter_lines():
                text = line.decode("utf8", "replace")
                if text.startswith("data:"):
                    events.append(json.loads(text.split(":", 1)[1]))
        return events


def test_a_script_starts_a_server_and_follows_its_progress(hub: RunningHub, admin: Account) -> None:
    add_account(hub, "cora")
    script = Script(hub, admin.token)
    events = script.start("cora")
    assert events[-1]["ready"] is True and events[-1]["url"] == "/user/cora/"
    assert [event["progress"] for event in events] == sorted(event["progress"] for event in events)
    assert {"creating", "greeting"} & {event["phase"] for event in events}, "real phases of the start"
    server = script("GET", "/users/cora").json()["servers"][""]
    assert server["ready"] and server["started"] and server["pending"] is None
    assert script("POST", "/users/cora/server").status_code == 201, "it runs already"
    assert script("DELETE", "/users/cora/server").status_code == 204
    assert script("GET", "/users/cora").json()["server"] is None


def test_a_script_that_fills_a_course_and_reads_it_page_by_page(hub: RunningHub, admin: Account) -> None:
    script = Script(hub, admin.token)
    names = [f"student{number:02d}" for number in range(25)]
    assert script("POST", "/users", json={"usernames": names}).status_code == 201
    assert script("POST", "/groups/course").status_code == 201
    response = script("POST", "/groups/course/users", data=json.dumps({"users": names}))
    response.raise_for_status()
    assert response.json()["users"] == names
    listed = [user["name"] for user in script.pages("/users", 10)]
    assert [name for name in listed if name.startswith("student")] == names
    assert len(listed) == len(set(listed))
    assert {user["name"] for user in script.pages("/users", 10) if "course" in user["groups"]} == set(names)
    course = script("PUT", "/groups/course/properties", json={"term": "2026", "quotas": {"containers": 1}}).json()
    assert course["properties"] == {"term": "2026", "quotas": {"containers": 1}}
    for name in names[20:]:
        assert script("DELETE", f"/users/{name}").status_code == 204
    assert [group["name"] for group in script.pages("/groups", 10)] == ["course"]
    assert len(script("GET", "/groups/course").json()["users"]) == 20
    token = script("POST", "/users/root1/tokens", json={"note": "report", "expires_in": 600}).json()
    assert Script(hub, token["token"])("GET", "/user").json()["name"] == "root1"
    assert script("DELETE", f"/users/root1/tokens/{token['id']}").status_code == 204
    assert Script(hub, token["token"])("GET", "/user").status_code == 403


async def cullers_token(hub: RunningHub) -> str:
    async with services(hub) as made:
        user = await made.user("root1")
        lifetime = timedelta(hours=1)
        _, value = await made.auth.tokens.create(user, "culler", lifetime, actor=ACTOR, scopes=CULLERS_SCOPES)
    return str(value)


def test_the_idle_culler_of_jupyterhub_stops_an_idle_server(hub: RunningHub, admin: Account) -> None:
    ada = add_account(hub, "ada")
    script = Script(hub, admin.token)
    script.start("ada")
    environment = {**os.environ, "JUPYTERHUB_API_TOKEN": in_thread(cullers_token(hub))}
    command = [sys.executable, "-m", "jupyterhub_idle_culler", f"--url={script.api}", "--timeout=1", "--cull-every=1"]
    program = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        eventually(lambda: script("GET", "/users/ada").json()["server"] is None, 60.0, "the end of ada's server")
    finally:
        program.terminate()
        said = program.communicate(timeout=30)[0]
    assert "Culling server ada (inactive for" in said and "Error" not in said, said

    def ends() -> list[AuditEvent]:
        return [event for event in asyncio.run(audit(hub, "workspace.stopped")) if event.details["user"] == ada.id]

    [stopped] = eventually(ends, what="the end of the container, which was asked for")
    assert stopped.details["reason"] == "stopped by an administrator"
    assert script("GET", "/users/ada?include_stopped_servers=1").json()["servers"][""]["stopped"] is True


def test_shutdown_ends_hub_and_proxy_and_leaves_containers_to_whoever_wants_them() -> None:
    with running_hub("process") as hub:
        root = add_account(hub, "root1", admin=True)
        ada = add_account(hub, "ada")
        assert Script(hub, ada.token)("POST", "/shutdown", json={}).status_code == 403
        assert Script(hub, root.token)("POST", "/shutdown", json={"servers": True}).status_code == 202
        assert hub.wait_for_end() == 0
