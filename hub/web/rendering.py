"""Pages from templates: the environment, what every template may use, and where static files are."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hub.web import sparkline, words

_FOLDER = Path(__file__).parent
STATIC_FOLDER = _FOLDER / "static"
STATIC_PREFIX = "/hub/static/"
_HASH_CHARS = 12


def _read_static() -> dict[str, tuple[bytes, str]]:
    files = (path for path in STATIC_FOLDER.rglob("*") if path.is_file())
    contents = {path.relative_to(STATIC_FOLDER).as_posix(): path.read_bytes() for path in files}
    return {name: (data, hashlib.sha256(data).hexdigest()[:_HASH_CHARS]) for name, data in contents.items()}


STATIC_FILES = _read_static()
"""The hub's own static files by name: their bytes and the hash that their address carries. Read once."""


def static_url(name: str) -> str:
    """The address of a static file; it changes with the file, so that browsers may keep it for ever."""
    return f"{STATIC_PREFIX}{name}?v={STATIC_FILES[name][1]}"


def _ago(moment: datetime, now: datetime) -> str:
    return words.ago(now - moment)


def _lately(moment: datetime, now: datetime) -> str:
    """As `_ago` but no finer than minutes, for pages that are kept up to date."""
    return words.ago(now - moment) if abs(now - moment) >= timedelta(minutes=1) else "just now"


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _for_how_long(moment: datetime, now: datetime) -> str:
    """How long something has gone on, in no finer a grain than minutes, so that pages seldom change for it."""
    passed = now - moment
    return f"for {words.span(passed)}" if passed >= timedelta(minutes=1) else "for a moment"


def _span(span: timedelta) -> str:
    return words.span(span)


# Everything is escaped; a test forbids ways around it. An undefined name in a template is an error.
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals["static_url"] = static_url
_ENVIRONMENT.globals["spark"] = sparkline.spark
_ENVIRONMENT.globals["top_of"] = sparkline.top_of
_ENVIRONMENT.filters.update(
    ago=_ago,
    lately=_lately,
    iso=_iso,
    span=_span,
    for_how_long=_for_how_long,
    size=words.size,
    cores=words.cores,
    browser=words.browser,
    workspace_words=words.workspace,
    health_words=words.health,
)


def render(template: str, **values: Any) -> str:
    """The page that `template` makes of `values`."""
    return _ENVIRONMENT.get_template(template).render(**values)


def macros(template: str) -> Any:
    """The macros of a template as functions that give escaped HTML, for parts of a page that change by themselves."""
    return _ENVIRONMENT.get_template(template).module


def template_names() -> list[str]:
    """All templates."""
    return _ENVIRONMENT.list_templates()


def check(template: str) -> None:
    """Read a template. Raises jinja2.TemplateError for a mistake in its text."""
    _ENVIRONMENT.get_template(template)
