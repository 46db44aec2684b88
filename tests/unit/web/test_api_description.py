"""The OpenAPI file says what the API does: held against the routes, its own examples, and real answers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import pytest
import yaml
from openapi_spec_validator import validate

from hub.domain.kernels import KernelState
from hub.domain.users import Role
from hub.http.handler import Access, Over
from hub.web.api.base import PAGED, ApiHandler
from hub.web.api.documentation import FILE, specification
from hub.web.api.routes import api_routes
from tests.unit.web.conftest import Answer, Browser, Site

METHODS = ("get", "post", "put", "patch", "delete")
DOCUMENT = specification()
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = {
    (method.upper(), path): item[method]
    for path, item in DOCUMENT["paths"].items()
    for method in METHODS
    if method in item
}


def template(pattern: str) -> str:
    """A route's pattern or a described path, with every part that varies written the same."""
    path = pattern.removesuffix("$").removeprefix("/hub/api").replace("\\.", ".").replace("/?", "")
    return re.sub(r"\([^)]*\)|\{[^}]*\}", "{}", path) or "/"


def routes() -> dict[tuple[str, str], type[ApiHandler]]:
    found = {}
    for route in api_routes():
        if issubclass(route.handler_class, ApiHandler):
            for method in route.handler_class.methods():
                found[method, template(route.regex.pattern)] = route.handler_class
    return found


def checker(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    whole = {**schema, "components": DOCUMENT["components"]}
    return jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker())


def test_the_file_is_valid_openapi() -> None:
    validate(yaml.safe_load(FILE.read_text()))


def test_every_route_is_described_and_nothing_else() -> None:
    described = {(method, template(path)) for method, path in OPERATIONS}
    assert described == set(routes())


def test_every_operation_says_the_permission_that_its_handler_takes() -> None:
    handlers = routes()
    for (method, path), said in OPERATIONS.items():
        handler = handlers[method, template(path)]
        takes: str | None = handler.permission_for(method)
        if handler.access is Access.PUBLIC:
            takes = None
        elif handler.over is Over.NOTHING:
            takes = "signed-in"
        assert said["x-permission"] == takes, (method, path)


def test_operations_have_names_of_their_own_and_known_tags() -> None:
    names = [said["operationId"] for said in OPERATIONS.values()]
    assert len(set(names)) == len(names)
    assert {tag for said in OPERATIONS.values() for tag in said["tags"]} == {tag["name"] for tag in DOCUMENT["tags"]}


def schemas_with_examples() -> list[tuple[str, dict[str, Any]]]:
    found = list(SCHEMAS.items())
    for (method, path), said in OPERATIONS.items():
        for answer in said["responses"].values():
            for content in answer.get("content", {}).values():
                found.append((f"{method} {path}", content["schema"]))
    return [(name, schema) for name, schema in found if "examples" in schema]


@pytest.mark.parametrize(
    ("name", "schema"), schemas_with_examples(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_examples_are_of_their_schema(name: str, schema: dict[str, Any]) -> None:
    for example in schema["examples"]:
        checker(schema).validate(example)


def test_bodies_of_requests_have_examples() -> None:
    for said in OPERATIONS.values():
        for content in said.get("requestBody", {}).get("content", {}).values():
            name = content["schema"]["$ref"].rsplit("/", 1)[-1]
            assert SCHEMAS[name].get("examples"), name


class Checked:
    """A program whose every answer must be as described."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.seen: set[tuple[str, str]] = set()

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str | None) -> Answer:
        answer = await self.browser.api(method, f"/hub/api{path}", body, **headers)
        plain = path.partition("?")[0]
        said = next(
            each
            for (described, place), each in OPERATIONS.items()
            if described == method and re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", place), plain)
        )
        self.seen.add((method, said["operationId"]))
        status = str(answer.status)
        assert status in said["responses"], (method, path, status, answer.text)
        expected = said["responses"][status]
        while "$ref" in expected:
            expected = DOCUMENT["components"]["responses"][expected["$ref"].rsplit("/", 1)[-1]]
        content = expected.get("content", {}).get("application/json")
        if content is None or "yaml" in path:
            assert not answer.text or expected["content"].keys() & {"text/event-stream", "application/yaml"}
        else:
            checker(content["schema"]).validate(answer.json())
        return answer


@pytest.fixture
async def program(site: Site) -> AsyncIterator[Checked]:
    """An administrator's program."""
    await site.add("root1", Role.ADMIN)
    yield Checked(site.browser(headers={"Authorization": f"token {await site.token_of('root1')}"}))


async def test_real_answers_are_as_described(site: Site, program: Checked) -> None:
    """Every operation but those that need a start under way, or the culler."""
    for path in ("/", "/openapi.json", "/openapi.yaml", "/health", "/info", "/services", "/proxy", "/user"):
        assert (await program("GET", path)).status == 200
    assert (await program("POST", "/users", {"usernames": ["ada", "ben"]})).status == 201
    assert (await program("POST", "/users", {"usernames": []})).status == 400
    assert (await program("POST", "/users/cid", {"display_name": "Cid", "email": "cid@example.edu"})).status == 201
    assert (await program("POST", "/users/cid")).status == 409
    site.workspaces.run(await site.auth.users.get("ada"))
    async with site.store.unit() as unit:
        for workspace in site.workspaces.rows.values():
            await unit.workspaces.add(workspace)
    assert len((await program("GET", "/users?include_stopped_servers&sort=-last_activity")).json()) == 4
    assert (await program("GET", "/users?limit=2&state=inactive", Accept=PAGED)).json()["_pagination"]["total"] == 3
    assert (await program("GET", "/users?state=asleep")).status == 400
    assert (await program("GET", "/users/ada")).json()["servers"][""]["ready"] is True
    assert (await program("GET", "/users/nobody")).status == 404
    assert (await program("PATCH", "/users/cid", {"name": "Dan", "disabled": True})).json()["name"] == "dan"
    assert (await program("PATCH", "/users/dan", {"nane": "x"})).status == 400
    assert (await program("POST", "/users/ada/activity", {"last_activity": "2026-01-01T00:00:00Z"})).status == 200
    assert (await program("DELETE", "/users/dan")).status == 204

    site.kernels.run(next(iter(site.workspaces.rows.values())), KernelState.BUSY)
    assert [each["state"] for each in (await program("GET", "/users/ada/kernels")).json()] == ["busy"]
    for server in ("/server", "/servers/datascience"):
        assert (await program("GET", f"/users/ada{server}")).json()["kernelhub_state"] == "running"
        assert (await program("GET", f"/users/ben{server}")).status == 404
        assert (await program("POST", f"/users/ada{server}")).status == 201
        assert (await program("POST", f"/users/ben{server}")).status == 202
        assert (await program("PUT", f"/users/ada{server}")).status == 200
        assert (await program("PATCH", f"/users/ada{server}", {"user_options": {"profile": "gpu"}})).status == 400
        assert (
            await program("PATCH", f"/users/ada{server}", {"user_options": {"profile": "datascience"}})
        ).status == 200
        assert (await program("GET", f"/users/ada{server}/progress")).status == 200
        assert (await program("DELETE", f"/users/ben{server}", {"remove": True})).status == 204
    assert (await program("POST", "/users/ada/servers/gpu")).status == 404

    made = (await program("POST", "/users/root1/tokens", {"note": "x", "scopes": ["read:users", "self"]})).json()
    assert (await program("POST", "/users/ada/tokens", {})).status == 403
    assert (await program("GET", "/users/root1/tokens")).json()["api_tokens"]
    assert (await program("GET", f"/users/root1/tokens/{made['id']}")).json()["scopes"] == ["read:users", "self"]
    assert (await program("DELETE", f"/users/root1/tokens/{made['id']}")).status == 204

    assert (await program("POST", "/groups", {"groups": ["physics", "arts"]})).status == 201
    assert (await program("POST", "/groups/maths", {"users": ["ada"], "owners": ["ben"]})).status == 201
    assert (await program("POST", "/groups/maths")).status == 409
    assert len((await program("GET", "/groups")).json()) == 3
    assert (await program("GET", "/groups?limit=1", Accept=PAGED)).json()["_pagination"]["next"]
    assert (await program("GET", "/groups/none")).status == 404
    assert (await program("POST", "/groups/physics/users", {"users": ["ada", "ben"]})).status == 200
    assert (await program("DELETE", "/groups/physics/users", {"users": ["ben"]})).json()["users"] == ["ada"]
    assert (await program("POST", "/groups/physics/owners", {"users": ["ben"]})).json()["owners"] == ["ben"]
    assert (await program("DELETE", "/groups/physics/owners", {"users": ["ben"]})).json()["owners"] == []
    assert (await program("PUT", "/groups/physics/properties", {"quotas": {"kernels": 3}})).status == 200
    assert (await program("PUT", "/groups/physics/properties", {"quotas": {"kernels": "3"}})).status == 400
    await rules_of_culling_as_described(program)
    assert (await program("PATCH", "/groups/physics", {"display_name": "Physics 101"})).status == 200
    assert (await program("GET", "/groups/physics")).json()["display_name"] == "Physics 101"
    assert (await program("DELETE", "/groups/physics")).status == 204
    await records_as_described(program)
    assert (await program("POST", "/shutdown", {"servers": True})).status == 202
    assert site.services.ending.wanted.is_set() and site.services.ending.stop_workspaces
    unseen = {said["operationId"] for said in OPERATIONS.values()} - {name for _, name in program.seen}
    assert unseen == {"getCulling", "postponeCulling"}


async def records_as_described(program: Checked) -> None:
    """The audit log, the history, settings and profiles."""
    found = (await program("GET", "/audit?action=user.added&limit=1")).json()
    assert len(found["events"]) == 1
    assert (await program("GET", f"/audit?action=user.added&before={found['next_before']}")).json()["events"]
    assert (await program("GET", "/audit?limit=x")).status == 400
    assert (await program("GET", "/history?days=7")).json()["by_person"] == []
    assert (await program("GET", "/settings")).json()["culling"]["kernel_idle"] == "PT4H"
    quota = (await program("GET", "/users/root1/quota")).json()
    assert (quota["quota"]["kernels"], quota["use"]["disk"]) == (None, "fine")
    assert (await program("PATCH", "/settings/culling", {"kernel_idle": "2h"})).json()["kernel_idle"] == "PT2H"
    assert (await program("PATCH", "/settings/culling", {"kernel_idle": "soon"})).status == 400
    assert (await program("PATCH", "/settings/nothing", {})).status == 404
    assert (await program("GET", "/profiles")).json()[0]["default"] is True
    assert (await program("PUT", "/profiles/stats", {"image": "kernelhub/r:latest"})).status == 201
    rules = {"restarts": 0, "restarts_within": "10m", "journal_bytes": 0}
    changed = await program("PUT", "/profiles/stats", {"image": "r", "enabled": False, **rules})
    assert changed.json()["enabled"] is False
    assert [changed.json()[name] for name in rules] == [0, "PT10M", 0]
    assert (await program("PUT", "/profiles/stats", {"restarts": 1001})).status == 400
    assert (await program("PUT", "/profiles/stats", {"privileged": True})).status == 400
    assert (await program("GET", "/profiles/stats")).json()["image"] == "r"
    assert (await program("DELETE", "/profiles/stats")).status == 204
    assert (await program("GET", "/profiles/stats")).status == 404
    assert (await program("DELETE", "/profiles/datascience")).status == 409


async def test_the_description_can_be_read_by_anyone(site: Site) -> None:
    answer = await site.browser().get("/hub/api/openapi.json")
    assert (answer.status, answer.json()["openapi"]) == (200, "3.1.0")
    assert (await site.browser().get("/hub/api/openapi.yaml")).text == FILE.read_text()


async def test_the_page_shows_every_operation(site: Site) -> None:
    browser = await site.signed_in("alice")
    page = (await browser.get("/hub/api-docs")).text
    for said in OPERATIONS.values():
        assert f'id="{said["operationId"]}"' in page
    assert page.count('class="api-try"') == sum(method == "GET" for method, _ in OPERATIONS)
    assert (await site.browser().get("/hub/api-docs", Accept="text/html")).status == 302


async def rules_of_culling_as_described(program: Checked) -> None:
    for path in ("/users/ada/culling/rules", "/groups/physics/culling", "/groups/physics/culling/owners"):
        assert (await program("GET", path)).json() == {}
        assert (await program("PUT", path, {"kernel_idle": "2h"})).json() == {"kernel_idle": "PT2H"}
        assert (await program("GET", path)).json() == {"kernel_idle": "PT2H"}
        wrong = await program("PUT", path, {"kernel_idle": "soon"})
        assert wrong.status == 400 and "kernel_idle" in wrong.text
    assert (await program("PUT", "/groups/physics/culling/owners", {"kernel_idle": "never"})).status == 403
