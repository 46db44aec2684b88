"""The pages of the classic Notebook (nbclassic): the package's own templates with this hub's values.

The templates are an administrator's installation, like the JavaScript that they load; what users say comes in
as values only, which are escaped. Their scripts are inline, so each `<script` of a template, not of a value, is
given the answer's nonce when the template is read, and the policy allows no other.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import BaseLoader, ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup

from hub.jupyter.catalogue import Catalogue
from hub.jupyter.lab_page import STRIP_STYLE, lab_policy, warning_strip

STATIC_URL = "/static/nbclassic"
NBEXTENSIONS_URL = "/static/nbextensions"
_MATHJAX_CONFIG = "TeX-AMS-MML_HTMLorMML-full,Safe"
_TRANSLATIONS = {"domain": "nbjs", "locale_data": {"nbjs": {"": {"domain": "nbjs"}}}}
_FORMATS = {
    "asciidoc": "AsciiDoc (.asciidoc)",
    "html": "HTML (.html)",
    "markdown": "Markdown (.md)",
    "notebook": "Notebook (.ipynb)",
    "pdf": "PDF (.pdf)",
    "python": "Python (.py)",
    "script": "Script (.txt)",
    "slides": "Reveal.js slides (.slides.html)",
}


class _Nonced(BaseLoader):
    """Templates of another loader, each of whose script elements carries the nonce."""

    def __init__(self, loader: BaseLoader) -> None:
        self._loader = loader

    def get_source(self, environment: Environment, template: str) -> Any:
        """See jinja2.BaseLoader."""
        source, name, is_current = self._loader.get_source(environment, template)
        return source.replace("<script", "<script{{ nonce_attribute }}"), name, is_current


@lru_cache(maxsize=1)
def _environment() -> Environment:
    spec = importlib.util.find_spec("nbclassic")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("The package nbclassic is not installed.")
    theirs = FileSystemLoader(Path(next(iter(spec.submodule_search_locations))) / "templates")
    ours = FileSystemLoader(Path(__file__).parent / "templates")
    loader = _Nonced(ChoiceLoader([ours, PrefixLoader({"nbclassic": theirs}), theirs]))
    environment = Environment(loader=loader, autoescape=True, extensions=["jinja2.ext.i18n"], undefined=StrictUndefined)
    environment.install_null_translations(newstyle=False)  # type: ignore[attr-defined]
    return environment


def classic_policy(host: str, output_scripts: bool, nonce: str) -> str:
    """The policy of a page: JupyterLab's, and the page's own inline scripts.

    A nonce switches ``'unsafe-inline'`` off (CSP 3, 6.7.3.2), so where `output_scripts` asks for that, the
    page has none.
    """
    policy = lab_policy(host, output_scripts)
    return policy if output_scripts else policy.replace("script-src 'self'", f"script-src 'self' 'nonce-{nonce}'", 1)


def classic_page(
    template: str, catalogue: Catalogue, base_url: str, nonce: str, warning: str | None, values: Mapping[str, Any]
) -> str:
    """A page. `template` is one of the package's; `values` are those that only it asks for."""
    style = f"<style>{STRIP_STYLE}</style>" if warning else ""
    common = {
        "base_url": base_url,
        "contents_js_source": "services/contents",
        "default_url": base_url + "nbclassic/tree",
        "logged_in": True,
        "login_available": True,
        "nbclassic_path": lambda: "/nbclassic",
        "nbextensions_url": NBEXTENSIONS_URL,
        "nbjs_translations": json.dumps(_TRANSLATIONS),
        "nonce_attribute": Markup(f' nonce="{nonce}"'),  # noqa: S704 - made by us
        "show_banner": False,
        "static_url": lambda path, include_version=True: _static(path, catalogue.files_version, include_version),
        "sys_info": _sys_info(catalogue),
        "token": "",
        "version_hash": catalogue.files_version,
        "warning": Markup(style + warning_strip(warning)),  # noqa: S704 - escaped there
        "ws_url": "",
    }
    return _environment().get_template(template).render({**common, **values})


def notebook_values(catalogue: Catalogue, path: str) -> dict[str, Any]:
    """What the page of a notebook asks for."""
    formats = [
        {"name": name, "display": _FORMATS.get(name, name)} for name in sorted(catalogue.export_formats, key=str.lower)
    ]
    return {
        "get_frontend_exporters": lambda: formats,
        "kill_kernel": False,
        "mathjax_config": _MATHJAX_CONFIG,
        "mathjax_url": f"{STATIC_URL}/components/MathJax/MathJax.js",
        "notebook_name": path.rsplit("/", 1)[-1],
        "notebook_path": path,
    }


def tree_values(base_url: str, path: str, home: str) -> dict[str, Any]:
    """What the page of a folder asks for."""
    names = [part for part in path.split("/") if part]
    crumbs = [(base_url + "nbclassic/tree", "")]
    for count, name in enumerate(names, 1):
        crumbs.append((base_url + "nbclassic/tree/" + quote("/".join(names[:count])), name))
    return {
        "breadcrumbs": crumbs,
        "notebook_path": path,
        "page_title": "/".join(names[-2:]) + "/" if names else "Home",
        "server_root": home,
        "shutdown_button": False,
        "terminals_available": True,
    }


def edit_values(path: str) -> dict[str, Any]:
    """What the page of a text file asks for."""
    name = path.rsplit("/", 1)[-1]
    return {"basename": name, "file_path": quote(path), "page_title": f"{name} (editing)"}


def terminal_values(name: str) -> dict[str, Any]:
    """What the page of a terminal asks for."""
    return {"page_title": f"Terminal {name}", "ws_path": f"terminals/websocket/{name}"}


def _static(path: str, version: str, include_version: bool) -> str:
    return f"{STATIC_URL}/{path}?v={version}" if include_version else f"{STATIC_URL}/{path}"


def _sys_info(catalogue: Catalogue) -> str:
    """What "About" shows, as JSON."""
    python = ".".join(map(str, sys.version_info[:3]))
    info = {"jupyter_server_version": catalogue.server_version, "sys_version": f"{python} (the hub's)"}
    return json.dumps(info).replace("<", "\\u003c")
