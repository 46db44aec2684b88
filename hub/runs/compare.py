"""Whether a notebook's outputs are those that it has in the file. Pure.

What is compared, cell by cell: what went to stdout; texts of results and displays; names and messages of errors; and
that the same kinds of rich output (pictures, HTML) are there. Addresses in memory are taken out first. What is not:
counts, stderr (warnings and progress bars), tracebacks, the bytes of pictures, HTML and widgets' states, cells that
have no outputs in the file and were never run there, and cells whose tags say so.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from typing import Any

from hub.agent.notebook_outputs import Screen

Json = dict[str, Any]

IGNORING_TAGS = frozenset({"nbverify-ignore", "nbval-ignore-output", "nbval-skip", "skip-execution"})
MAX_TEXT_CHARS = 20_000
MAX_DIFFERENCE_CHARS = 8_000
MAX_NAME_CHARS = 120
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_UNCOMPARED = ("application/vnd.jupyter.widget-view+json",)


def version_digest(notebook: Json) -> str:
    """What identifies a version of a notebook: its kernel, its code, and its outputs without their counts."""
    parts = [[_text(cell.get("source")), _tags(cell), _plain(cell)] for cell in _code_cells(notebook)]
    return hashlib.sha256(json.dumps([_kernel(notebook), parts], sort_keys=True).encode()).hexdigest()


def first_difference(kept: Json, found: Json, before: int | None = None) -> Json | None:
    """The first code cell whose outputs in `found` are not those in `kept`; None when there is none.

    Cells from the place `before` on in the notebook are not looked at; None: all are. Gives ``index``, ``cell``
    (counted from 1 among those that have code), ``name`` and the unified ``difference``.
    """
    number = 0
    ours, theirs = kept.get("cells", []), found.get("cells", [])
    for index, (cell, again) in enumerate(zip(ours, theirs, strict=False)):
        if cell.get("cell_type") != "code" or not _text(cell.get("source")).strip():
            continue
        if before is not None and index >= before:
            return None
        number += "skip-execution" not in _tags(cell)
        if _is_compared(cell):
            difference = _difference(_shown(cell), _shown(again))
            if difference:
                name = _text(cell["source"]).strip().splitlines()[0][:MAX_NAME_CHARS]
                return {"index": index, "cell": number, "name": name, "difference": difference}
    return None


def same_code(kept: Json, found: Json) -> bool:
    """Whether both have the same kernel and the same cells with the same tags, outputs aside."""
    codes = [
        [(cell.get("cell_type"), _text(cell.get("source")), _tags(cell)) for cell in notebook.get("cells", [])]
        for notebook in (kept, found)
    ]
    return codes[0] == codes[1] and _kernel(kept) == _kernel(found)


def _is_compared(cell: Json) -> bool:
    if IGNORING_TAGS & set(_tags(cell)):
        return False
    return bool(cell.get("outputs")) or cell.get("execution_count") is not None


def _shown(cell: Json) -> str:
    """A cell's outputs as the lines that are compared."""
    printed = Screen()
    parts = []
    for output in _outputs(cell):
        kind = output.get("output_type")
        if kind == "stream" and output.get("name") == "stdout":
            printed.write(_text(output.get("text")))
        elif kind == "error":
            parts.append(f"{output.get('ename')}: {output.get('evalue')}")
        elif kind in ("display_data", "execute_result"):
            parts += _bundle(output.get("data"))
    whole = "\n".join(part for part in (printed.text(), *parts) if part)
    return _ADDRESS.sub("0x…", _COLOURS.sub("", whole)).rstrip()


def _bundle(data: Any) -> list[str]:
    """A display as lines: its text, and which other kinds there are."""
    if not isinstance(data, dict):
        return []
    if any(kind in data for kind in _UNCOMPARED):
        return ["<a widget>"]
    kinds = sorted(kind for kind in data if kind != "text/plain")
    text = _text(data.get("text/plain"))
    return [*([text] if text else []), *(f"<{kind}>" for kind in kinds)]


def _difference(kept: str, found: str) -> str:
    if kept == found:
        return ""
    lines = difflib.unified_diff(
        kept[:MAX_TEXT_CHARS].splitlines(), found[:MAX_TEXT_CHARS].splitlines(), "in the file", "run anew", lineterm=""
    )
    text = "\n".join(lines) or "They differ far below their beginnings."
    return text if len(text) <= MAX_DIFFERENCE_CHARS else text[:MAX_DIFFERENCE_CHARS] + "\n…"


def _kernel(notebook: Json) -> Any:
    metadata = notebook.get("metadata")
    spec = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    return spec.get("name") if isinstance(spec, dict) else None


def _plain(cell: Json) -> list[Json]:
    """Outputs in a form that does not depend on how texts are split, without counts."""
    plain = []
    for output in _outputs(cell):
        part = {name: value for name, value in output.items() if name != "execution_count"}
        if "text" in part:
            part["text"] = _text(part["text"])
        if isinstance(part.get("data"), dict):
            part["data"] = {kind: _joined(value) for kind, value in part["data"].items()}
        plain.append(part)
    return plain


def _outputs(cell: Json) -> list[Json]:
    outputs = cell.get("outputs")
    return [output for output in outputs if isinstance(output, dict)] if isinstance(outputs, list) else []


def _code_cells(notebook: Json) -> list[Json]:
    cells = notebook.get("cells")
    found = [cell for cell in cells if isinstance(cell, dict)] if isinstance(cells, list) else []
    return [cell for cell in found if cell.get("cell_type") == "code"]


def _tags(cell: Json) -> list[str]:
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []


def _joined(value: Any) -> Any:
    return "".join(value) if isinstance(value, list) and all(isinstance(line, str) for line in value) else value


def _text(value: Any) -> str:
    joined = _joined(value)
    return joined if isinstance(joined, str) else ""
