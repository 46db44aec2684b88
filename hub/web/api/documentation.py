"""The API's description: the OpenAPI file as it is, and a page of the hub made of it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hub.http.handler import Access, Over
from hub.web.api.base import ApiHandler
from hub.web.page import PageHandler
from proxy.kit.lazy import lazily

if TYPE_CHECKING:
    import yaml
else:
    yaml = lazily("yaml")

FILE = Path(__file__).with_name("openapi.yaml")
_METHODS = ("get", "post", "put", "patch", "delete")


@cache
def specification() -> dict[str, Any]:
    """The OpenAPI document."""
    read: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return read


@cache
def encoded(kind: str) -> bytes:
    """The document as it is sent, as ``json`` or ``yaml``."""
    return FILE.read_bytes() if kind == "yaml" else msgspec.json.encode(specification())


class Specification(ApiHandler):
    """``/hub/api/openapi.json`` and ``.yaml``."""

    access = Access.PUBLIC

    def get(self, kind: str) -> None:
        """The description, for anyone: it says nothing about this hub but what every hub can do."""
        self.set_header("Content-Type", "application/yaml" if kind == "yaml" else "application/json")
        self.set_header("Cache-Control", "no-cache")
        self.finish(encoded(kind))


class DocumentationPage(PageHandler):
    """``/hub/api-docs``: the same to be read, searched and tried."""

    over = Over.NOTHING
    active = "api"

    def get(self) -> None:
        """The page."""
        self.show("api_docs.html", address=self.absolute(""), **page_values())


@cache
def page_values() -> dict[str, Any]:
    """What the page shows of the document, with references followed."""
    document = specification()
    tags = []
    for tag in document["tags"]:
        operations = [
            _operation(document, path, method, item[method])
            for path, item in document["paths"].items()
            for method in _METHODS
            if method in item and item[method]["tags"] == [tag["name"]]
        ]
        tags.append({"name": tag["name"], "about": tag["description"], "operations": operations})
    return {"about": document["info"]["description"], "tags": tags}


def _operation(document: dict[str, Any], path: str, method: str, said: dict[str, Any]) -> dict[str, Any]:
    shared = document["paths"][path].get("parameters", [])
    parameters = [_followed(document, each) for each in [*shared, *said.get("parameters", [])]]
    body = said.get("requestBody", {}).get("content", {}).get("application/json", {})
    answers = {status: _followed(document, each) for status, each in said["responses"].items()}
    return {
        "id": said["operationId"],
        "method": method.upper(),
        "path": f"/hub/api{path}" if path != "/" else "/hub/api",
        "summary": said["summary"],
        "about": said.get("description", ""),
        "permission": said["x-permission"],
        "parameters": [_parameter(each) for each in parameters],
        "body": _pretty(_example(document, body)) if body else "",
        "answers": [
            {"status": status, "about": each["description"], "example": _pretty(_example(document, _json_of(each)))}
            for status, each in answers.items()
        ],
        "can_try": method == "get",
    }


def _parameter(said: dict[str, Any]) -> dict[str, Any]:
    """A parameter as the page shows it; `example` is what its field begins with."""
    values = said["schema"].get("enum", [])
    default = said["schema"].get("default")
    return {
        "name": said["name"],
        "place": said["in"],
        "about": said["description"],
        "values": values,
        "default": "" if default is None else str(default).lower(),
        "example": said.get("example") or (values[0] if values else ""),
    }


def _json_of(answer: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = answer.get("content", {}).get("application/json", {})
    return content


def _example(document: dict[str, Any], content: dict[str, Any]) -> Any:
    """The example of a body: its own, or that of its schema."""
    if "example" in content:
        return content["example"]
    schema = _followed(document, content.get("schema", {}))
    return next(iter(schema.get("examples", [])), None)


def _followed(document: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """What a reference leads to; anything else as it is."""
    while "$ref" in value:
        found: Any = document
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        value = found
    return value


def _pretty(value: Any) -> str:
    return "" if value is None else msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
