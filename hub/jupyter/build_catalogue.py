"""The program that asks the installed JupyterLab what it consists of, and prints it as JSON.

``python -m hub.jupyter.build_catalogue [LOCALE]`` runs as a child process of the hub, once per installation
and locale, because what it imports (jupyterlab_server, jsonschema, nbconvert) costs two seconds and 50 MB,
which the hub then never spends. The result is a `hub.jupyter.catalogue.Catalogue`.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jupyterlab
from jupyter_core.paths import ENV_JUPYTER_PATH, jupyter_config_path, jupyter_path
from jupyterlab.commands import get_app_dir
from jupyterlab_server.config import get_federated_extensions, get_page_config, get_static_page_config
from jupyterlab_server.settings_utils import get_settings
from jupyterlab_server.translation_utils import get_language_pack, get_language_packs, translator
from nbconvert.exporters.base import get_export_names, get_exporter

from hub.jupyter.catalogue import DEFAULT_LOCALE, Catalogue, Schema, encode, fingerprint
from hub.jupyter.databricks_exporter import OWN_EXPORTS
from hub.jupyter.nbconfig import read_nbconfig

SAFE_EXPORTS = frozenset({"html", "slides", "markdown", "script", "python", "notebook"})
"""Exports that start no other program. LaTeX, pandoc and browsers would run a stranger's text on the hub."""

_ENTRY_SCRIPT = re.compile(r"""<script[^>]+src="\{\{\s*page_config\.fullStaticUrl\s*\}\}/([^"]+)"[^>]*></script>""")

_SERVED_HERE = frozenset({"jupyterlab-jupytext"})
"""Extensions whose server part the hub has itself."""


def build(locale: str) -> Catalogue:
    """Everything the hub needs to know of the installed front ends, in the words of `locale`."""
    app_dir = Path(get_app_dir())
    extensions = [*ENV_JUPYTER_PATH, *jupyter_path()]
    labextensions = [f"{folder}/labextensions" for folder in dict.fromkeys(extensions)]
    settings_dir = str(app_dir / "settings")
    page_config = get_static_page_config(level="all") | get_page_config(labextensions, settings_dir)
    off = _without_server(labextensions)
    page_config["disabledExtensions"] = [*page_config.get("disabledExtensions", []), *off]
    page_config["federated_extensions"] = [e for e in page_config["federated_extensions"] if e["name"] not in off]
    if locale != DEFAULT_LOCALE:
        translator.set_locale(locale)
    listed, _warnings = get_settings(
        settings_dir,
        str(app_dir / "schemas"),
        "/nonexistent",
        labextensions_path=labextensions,
        translator=None if locale == DEFAULT_LOCALE else translator.translate_schema,
    )
    languages, _message = get_language_packs(locale)
    pack = {} if locale == DEFAULT_LOCALE else get_language_pack(locale)[0]
    return Catalogue(
        locale=locale,
        lab_version=jupyterlab.__version__,
        server_version=version("jupyter_server"),
        static_folder=str(app_dir / "static"),
        theme_folders=_theme_folders(labextensions, app_dir),
        entry_scripts=_ENTRY_SCRIPT.findall((app_dir / "static" / "index.html").read_text("utf-8")),
        page_config=page_config,
        schemas={entry["id"]: Schema(entry["schema"], entry["version"]) for entry in listed["settings"]},
        languages=languages,
        language_pack=pack,
        export_formats=_export_formats(),
        licenses=_licenses(app_dir, labextensions),
        notebook_version=version("notebook"),
        notebook_scripts=_ENTRY_SCRIPT.findall((_package("notebook") / "templates" / "tree.html").read_text("utf-8")),
        classic_version=version("nbclassic"),
        files_version=fingerprint(),
        nbconfig=read_nbconfig([Path(folder, "nbconfig") for folder in reversed(jupyter_config_path())]),
        custom_folders=[*_custom_folders(), str(_package("nbclassic") / "static" / "custom")],
        has_custom_css=any(Path(folder, "custom.css").is_file() for folder in _custom_folders()),
    )


def _package(name: str) -> Path:
    """The folder of an installed package, which is not imported."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"The package {name} is not installed.")
    return Path(next(iter(spec.submodule_search_locations)))


def _custom_folders() -> list[str]:
    return [str(custom) for folder in jupyter_config_path() if (custom := Path(folder, "custom")).is_dir()]


def _without_server(labextensions: list[str]) -> list[str]:
    """Extensions that say that they need a package on the server, of which there is none here.

    An administrator who knows better says so with ``"disabledExtensions": {"NAME": false}`` in page_config.json.
    """
    said = get_static_page_config(level="all").get("disabledExtensions", {})
    wanted = {name for name, off in said.items() if not off} if isinstance(said, dict) else set()
    found: dict[str, Any] = get_federated_extensions(labextensions)
    needy = {e["name"] for e in found.values() if e["jupyterlab"].get("discovery", {}).get("server")}
    return sorted(needy - wanted - _SERVED_HERE)


def _theme_folders(labextensions: list[str], app_dir: Path) -> list[str]:
    found = [str(p) for folder in labextensions for p in sorted(Path(folder).glob("**/themes")) if p.is_dir()]
    return [*found, str(app_dir / "themes")]


def _export_formats() -> dict[str, str]:
    names = sorted([*OWN_EXPORTS, *SAFE_EXPORTS.intersection(get_export_names())])  # type: ignore[no-untyped-call]
    return {name: _mime_type(name) for name in names}


def _mime_type(name: str) -> str:
    exporter = get_exporter(OWN_EXPORTS.get(name, name))  # type: ignore[no-untyped-call]
    return str(exporter.output_mimetype)


def _licenses(app_dir: Path, labextensions: list[str]) -> list[str]:
    """Files with the licences of what is inside the JavaScript bundles."""
    files = [app_dir / "static" / "third-party-licenses.json"]
    for folder in labextensions:
        files += sorted(Path(folder).glob("**/third-party-licenses.json"))
    return [str(file) for file in files if file.is_file()]


if __name__ == "__main__":
    wanted = sys.argv[1] if len(sys.argv) > 1 else DEFAULT_LOCALE
    sys.stdout.buffer.write(encode(build(wanted)))
