"""The program that converts one notebook: ``python -m hub.jupyter.export_notebook``.

A line of JSON and the notebook come on the standard input, a line of JSON and the result go to the standard
output (`Asked` and `Exported` in hub.jupyter.exports). Before the notebook is read, everything needed is
loaded, then rights are given up: what is read is hostile.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import tempfile
from typing import Any, NoReturn

import nbformat
from nbconvert.exporters.base import get_exporter

from hub.jupyter.clean_html import clean_html
from hub.jupyter.databricks_exporter import OWN_EXPORTS

MAX_MEMORY_BYTES = 2 * 1024**3
MAX_CPU_SECONDS = 60
NOTEBOOK_INVALID = 3
"""The status that says that the notebook is at fault, not the program; hub.jupyter.exports knows it, too."""
MATHJAX = "/mathjax/"
_NAMES = {**OWN_EXPORTS, "pdf": "html"}
"""Formats that nbconvert does not have under this name; a PDF is a page that is printed (hub.jupyter.print_pdf)."""


def main() -> None:
    """Convert, then exit. Any error ends the process with a message."""
    asked = json.loads(sys.stdin.buffer.readline())
    exporter: Any = get_exporter(_NAMES.get(asked["format"], asked["format"]))()  # type: ignore[no-untyped-call]
    if asked["format"] == "pdf":
        exporter.mathjax_url = f"{MATHJAX}MathJax.js?config=TeX-AMS-MML_HTMLorMML-full,Safe"
        exporter.require_js_url = exporter.jquery_url = ""
    if asked["format"] == "html" and asked["sanitize"]:
        exporter.sanitize_html = True
        exporter.register_filter("clean_html", clean_html)
    # Templates and lexers are loaded at their first use, and may not be readable afterwards.
    for minor in range(6) if asked["uid"] is not None else ():
        exporter.from_notebook_node(_parse(_sample(minor)), resources=_resources("sample"))
    _give_up_rights(asked["uid"])
    notebook = _parse(sys.stdin.buffer.read().decode("utf-8"))
    try:
        output, resources = exporter.from_notebook_node(notebook, resources=_resources(asked["title"]))
    except nbformat.ValidationError as error:
        _refuse(error)
    head = {"extension": resources.get("output_extension") or ".txt", "mime_type": exporter.output_mimetype or ""}
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + output.encode("utf-8", "replace"))


def _refuse(error: nbformat.ValidationError) -> NoReturn:
    """End where the notebook is at fault, and say only where in it: what it holds there is hostile."""
    place = ".".join(re.sub(r"\W", "?", str(part)) for part in error.absolute_path)
    print(place, file=sys.stderr)
    sys.exit(NOTEBOOK_INVALID)


def _resources(title: str) -> dict[str, Any]:
    # The folder in which exporters look for what a notebook refers to: one that holds nothing.
    return {"metadata": {"name": title, "path": "/nonexistent"}, "config_dir": "/nonexistent"}


def _parse(text: str) -> Any:
    return nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]


def _sample(minor: int) -> str:
    """A notebook with something of everything, in one of the versions of the format."""
    shown = {"text/html": "<b>x</b>", "text/plain": "x", "image/png": "", "image/svg+xml": "<svg/>"}
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": "\x1b[31mx\x1b[0m"},
        {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["t"]},
        {"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": shown},
    ]
    cells: list[dict[str, Any]] = [
        {"cell_type": "markdown", "metadata": {}, "source": "# x\n```python\nx\n```\n$x$"},
        {"cell_type": "raw", "metadata": {}, "source": "x"},
        {"cell_type": "code", "metadata": {}, "source": "x", "execution_count": 1, "outputs": outputs},
    ]
    named = [{**cell, "id": f"c{number}"} if minor >= 5 else cell for number, cell in enumerate(cells)]
    return json.dumps({"nbformat": 4, "nbformat_minor": minor, "metadata": {}, "cells": named})


def _give_up_rights(uid: int | None) -> None:
    os.chdir(tempfile.gettempdir())
    for kind, most in (
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_CPU, MAX_CPU_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


if __name__ == "__main__":
    main()
