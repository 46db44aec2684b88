"""JupyterLab's settings of one user: the schemas of the installation and what the user has changed.

Pure apart from the folder it is given. A user's text is JSON with comments (JSON5), kept as it was typed
together with what it means, so that reading never parses JSON5, which is slow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import fastjsonschema
import json5
import msgspec

from hub.errors import BadRequest, NotFound, TooLarge
from hub.jupyter.catalogue import Catalogue, Schema
from hub.jupyter.json_folder import JsonFolder, Stored

log = logging.getLogger(__name__)

MAX_RAW_CHARS = 512 * 1024
MAX_JSON5_CHARS = 64 * 1024
"""The JSON5 parser reads 100 kB a second; strict JSON takes another way."""
LOCALE_PLUGIN = "@jupyterlab/translation-extension:plugin"


class SchemaBook:
    """The schemas of one catalogue, encoded and compiled once for all users."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.ids = sorted(catalogue.schemas, reverse=True)
        self._validators: dict[str, Callable[[Any], Any]] = {}
        self._untouched: dict[str, bytes] = {}

    def schema(self, plugin_id: str) -> Schema:
        """The schema of a plugin. Raises NotFound."""
        try:
            return self.catalogue.schemas[plugin_id]
        except KeyError:
            raise NotFound(f"Settings not found ({plugin_id[:200]})") from None

    def problem(self, plugin_id: str, settings: object) -> str | None:
        """What is wrong with `settings` by the plugin's schema, None if nothing is."""
        validate = self._validators.get(plugin_id)
        if validate is None:
            schema = self.schema(plugin_id).schema
            validate = fastjsonschema.compile(schema, use_default=False, use_formats=False)
            self._validators[plugin_id] = validate
        try:
            validate(settings)
        except fastjsonschema.JsonSchemaException as error:
            return str(error)
        return None

    def untouched(self, plugin_id: str) -> bytes:
        """The list's entry for a plugin of which the user has changed nothing, as JSON."""
        found = self._untouched.get(plugin_id)
        if found is None:
            found = msgspec.json.encode({**self.entry(plugin_id, None), "warning": None})
            self._untouched[plugin_id] = found
        return found

    def entry(self, plugin_id: str, stored: Stored | None) -> dict[str, Any]:
        """Jupyter's model of a plugin's settings."""
        schema = self.schema(plugin_id)
        model: dict[str, Any] = {"id": plugin_id, "schema": schema.schema, "version": schema.version}
        raw, settings = _content(stored)
        if settings and (problem := self.problem(plugin_id, settings)) is not None:
            # An upgrade may have changed the schema; Lab then goes on with the defaults.
            log.info("settings of %s do not fit their schema any more: %s", plugin_id, problem[:500])
            raw, settings = "{}", {}
        return {
            **model,
            "raw": raw,
            "settings": settings,
            "last_modified": stored.last_modified if stored else None,
            "created": stored.created if stored else None,
        }


def list_settings(book: SchemaBook, folder: JsonFolder) -> bytes:
    """All plugins' settings, as JupyterLab loads them at its start; one JSON object."""
    changed = {stored.name: stored for stored in folder.all()}
    entries = (
        msgspec.json.encode({**book.entry(plugin_id, changed[plugin_id]), "warning": None})
        if plugin_id in changed
        else book.untouched(plugin_id)
        for plugin_id in book.ids
    )
    return b'{"settings":[' + b",".join(entries) + b"]}"


def list_ids(book: SchemaBook) -> bytes:
    """Only the plugins' names."""
    return msgspec.json.encode({"settings": [{"id": plugin_id} for plugin_id in book.ids]})


def get_settings(book: SchemaBook, folder: JsonFolder, plugin_id: str) -> bytes:
    """One plugin's settings, as JSON. Raises NotFound when no installed plugin has that name."""
    book.schema(plugin_id)
    return msgspec.json.encode(book.entry(plugin_id, folder.find(plugin_id)))


def save_settings(book: SchemaBook, folder: JsonFolder, plugin_id: str, raw: str) -> None:
    """Keep what the user typed.

    Raises NotFound for an unknown plugin, BadRequest when `raw` is not JSON5, not an object or not what the
    schema allows, and what `JsonFolder.save` raises.
    """
    book.schema(plugin_id)
    settings = parse(raw)
    if (problem := book.problem(plugin_id, settings)) is not None:
        raise BadRequest(f"Failed validating input: {problem}")
    folder.save(plugin_id, {"raw": raw, "settings": settings})


def chosen_locale(folder: JsonFolder) -> str | None:
    """The language that the user chose, None for the default."""
    _, settings = _content(folder.find(LOCALE_PLUGIN))
    locale = settings.get("locale")
    return locale if isinstance(locale, str) and locale != "default" else None


def parse(raw: str) -> dict[str, Any]:
    """What JSON with comments means. Raises BadRequest, TooLarge."""
    if len(raw) > MAX_RAW_CHARS:
        raise TooLarge(f"Settings of one plugin may have at most {MAX_RAW_CHARS} characters.")
    value = _parse(raw.strip() or "{}")
    if not isinstance(value, dict):
        raise BadRequest("Failed validating input: settings must be an object.")
    return value


@lru_cache(maxsize=64)
def _parse(raw: str) -> Any:
    try:
        return msgspec.json.decode(raw.encode("utf-8"))
    except (msgspec.DecodeError, UnicodeEncodeError):
        pass  # not strict JSON: comments, or wrong
    except RecursionError as error:
        raise BadRequest("Failed parsing settings: nested too deeply.") from error
    if len(raw) > MAX_JSON5_CHARS:
        raise TooLarge(f"Settings with comments may have at most {MAX_JSON5_CHARS} characters.")
    try:
        return json5.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"Failed parsing settings: {str(error)[:500]}") from error


def _content(stored: Stored | None) -> tuple[str, Mapping[str, Any]]:
    value = stored.value if stored is not None else None
    if not isinstance(value, dict):
        return "{}", {}
    raw, settings = value.get("raw"), value.get("settings")
    return (raw, settings) if isinstance(raw, str) and isinstance(settings, dict) else ("{}", {})
