"""Makes the reference pages that the code already says: settings, commands, routes, errors, metrics.

`python docs/generate.py` writes them; tests/unit/test_reference.py fails when one differs from the code.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args, get_origin

import click
from pydantic import BaseModel, SecretStr

import hub.errors
import proxy.errors
from hub import metrics as hub_metrics
from hub.cli import main
from hub.config import Settings
from hub.http.handler import Access, HubHandler
from hub.jupyter import routes as jupyter_routes
from hub.store.schema import SchemaOutdated
from hub.web import routes as web_routes
from proxy import metrics as proxy_metrics

FOLDER = Path(__file__).parent / "reference"
MADE = "<!-- Made by docs/generate.py from the code. -->\n"


def settings() -> str:
    """One table for each section."""
    text = (
        "# Settings\n\nFrom weakest to strongest: the default, one TOML file (`--config FILE`, else `KERNELHUB_CONFIG`, else "
        "`kernelhub.toml` in the working folder), the environment, flags. In the environment a setting is `KERNELHUB_` and its name "
        "in capitals, a section and its setting are joined by two underscores: `KERNELHUB_CULLING__KERNEL_IDLE=2h`. "
        "Spans are seconds, a number with `s`, `m`, `h`, `d` or `w` (`15m`), or ISO 8601 (`PT15M`). All mistakes are reported at once.\n"
    )
    sections = _sections(Settings)
    for title, model in [("Top level", Settings), *((f"`[{title}]`", model) for title, model in sections.items())]:
        text += f"\n## {title}\n\n| setting | default | meaning |\n|---|---|---|\n"
        for name, field in model.model_fields.items():
            inner = title.strip("`[]") + "." if model is not Settings else ""
            if {f"{inner}{name}", f"{inner}{name}.NAME"} & sections.keys():
                text += f"| `{name}` | | {field.description or 'a section'}, see below |\n"
                continue
            text += f"| `{name}` | {_default(field.get_default(call_default_factory=True))} | {field.description} |\n"
    return text


def _sections(model: type[BaseModel], prefix: str = "") -> dict[str, type[BaseModel]]:
    """The tables of the configuration file that a model has: ``[culling]``, and ``[profiles.NAME]`` for tables by name."""
    found: dict[str, type[BaseModel]] = {}
    for name, field in model.model_fields.items():
        for part in (field.annotation, *get_args(field.annotation)):
            if inspect.isclass(part) and issubclass(part, BaseModel):
                title = f"{prefix}{name}.NAME" if get_origin(field.annotation) is dict else f"{prefix}{name}"
                found |= {title: part, **_sections(part, f"{title}.")}
    return found


def _default(value: object) -> str:
    match value:
        case None:
            return "none"
        case timedelta():
            return f"{value.total_seconds():.0f} s"
        case SecretStr() | BaseModel():
            return ""
        case _:
            return f"`{value}`"


def commands() -> str:
    """The help of every command."""
    text = "# Command line\n"
    for path, command in _walk("kernelhub", main):
        context = click.Context(command, info_name=path, max_content_width=100)
        text += f"\n## `{path}`\n\n```text\n{command.get_help(context)}\n```\n"
    return text


def _walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                yield from _walk(f"{path} {name}", child)


def routes() -> str:
    """Every route of the hub, who may use it, and what it is."""
    text = (
        "# HTTP routes of the hub\n\nThe proxy answers `/static/…`, kernel and terminal WebSockets and its own `/health/…`; "
        "everything else is forwarded to the hub. `Authorization: token T` and `Bearer T` are accepted wherever a cookie is.\n"
    )
    for title, table in (
        ("The hub's own", web_routes.routes()),
        ("Jupyter's, for each user", jupyter_routes.routes()),
    ):
        text += f"\n## {title}\n\n| path | methods | who | what |\n|---|---|---|---|\n"
        for spec in table:
            handler = spec.handler_class
            access = _who(handler)
            line = _first_line(handler).replace("``", "`").replace("|", "\\|")
            pattern = spec.regex.pattern.removesuffix("$").replace("|", "\\|")
            text += f"| `{pattern}` | {' '.join(_methods(handler))} | {access} | {line} |\n"
    return text


def _who(handler: type[HubHandler]) -> str:
    """Who may call it: anybody, or whoever holds a scope."""
    if handler.access is Access.PUBLIC:
        return Access.PUBLIC.value
    if isinstance(handler.permission, Mapping):
        return ", ".join(f"{scope} ({method})" for method, scope in handler.permission.items())
    return str(handler.permission) if handler.permission is not None else "whoever is identified"


def _methods(handler: type[HubHandler]) -> list[str]:
    names = ("get", "post", "put", "patch", "delete")
    base = {name: inspect.getattr_static(HubHandler, name, None) for name in names}
    return [name.upper() for name in names if inspect.getattr_static(handler, name, None) is not base[name]]


def errors() -> str:
    """Every error code with its status and meaning."""
    text = (
        '# Error codes\n\nErrors are JSON: `{"message", "reason", "code", "request_id"}`. `message` is for people, `code` is stable.\n'
        "\n## Hub\n\n| code | status | meaning |\n|---|---|---|\n"
    )
    hub_errors = {c.code: c for c in (*_classes(hub.errors, hub.errors.HubError), SchemaOutdated)}
    for code, error in sorted(hub_errors.items()):
        text += f"| `{code}` | {error.status} | {_first_line(error)} |\n"
    text += "\n## Proxy\n\n| code | meaning |\n|---|---|\n"
    for code, error in sorted({c.code: c for c in _classes(proxy.errors, proxy.errors.ProxyError)}.items()):
        text += f"| `{code}` | {_first_line(error)} |\n"
    return text


def _classes(module: Any, base: type) -> list[Any]:
    return [c for c in vars(module).values() if inspect.isclass(c) and issubclass(c, base)]


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").splitlines()[0]


def metrics() -> str:
    """Every metric of both processes."""
    text = (
        "# Metrics\n\nIn Prometheus' text format. The hub's at `/metrics` on `hub_port`, directly and not through a proxy; a proxy's on "
        "loopback at `metrics_port`. No label holds a user's name.\n"
    )
    for title, registry in (("Hub", hub_metrics.REGISTRY), ("Proxy", proxy_metrics.Metrics().registry)):
        text += f"\n## {title}\n\n| metric | type | meaning |\n|---|---|---|\n"
        for family in sorted(registry.collect(), key=lambda f: f.name):
            if family.name.startswith("kernelhub"):
                text += f"| `{family.name}` | {family.type} | {family.documentation} |\n"
    return text


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings,
    "cli.md": commands,
    "routes.md": routes,
    "errors.md": errors,
    "metrics.md": metrics,
}


def write() -> None:
    """Write all pages."""
    for name, make in PAGES.items():
        (FOLDER / name).write_text(MADE + make())


if __name__ == "__main__":
    write()
