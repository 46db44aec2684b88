"""The licences of what is inside JupyterLab's bundles, as JSON, Markdown or CSV. Pure but for reading the files."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from hub.errors import BadRequest, NotFound

Bundles = dict[str, dict[str, Any]]
_FIELDS = ("name", "versionInfo", "licenseId", "extractedText")


@dataclass(frozen=True, slots=True)
class Report:
    """A report, its type and the ending of its file's name."""

    text: str
    content_type: str
    extension: str


def read_bundles(files: Sequence[str]) -> Bundles:
    """The packages in each bundle, by the bundle's name. Raises NotFound when they cannot be read."""
    bundles: Bundles = {}
    for file in map(Path, files):
        try:
            packages = msgspec.json.decode(file.read_bytes())["packages"]
        except (OSError, msgspec.DecodeError, KeyError, TypeError) as error:
            raise NotFound("The licences are not installed.") from error
        bundles[_bundle_name(file)] = {"packages": packages}
    return bundles


def report(files: Sequence[str], wanted: str) -> Report:
    """The licences in one of the formats. Raises BadRequest for another one, and what `read_bundles` raises."""
    if wanted not in _WRITERS:
        raise BadRequest(f"Unsupported report format {wanted[:40]}.")
    write, content_type, extension = _WRITERS[wanted]
    return Report(write(read_bundles(files)), content_type, extension)


def _bundle_name(file: Path) -> str:
    folder = file.parent.parent if file.parent.name == "static" else file.parent
    if folder.name == "lab":
        return "@jupyterlab/application-top"
    return f"{folder.parent.name}/{folder.name}" if folder.parent.name.startswith("@") else folder.name


def _json(bundles: Bundles) -> str:
    return msgspec.json.encode({"bundles": bundles}).decode()


def _csv(bundles: Bundles) -> str:
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(("bundle", *_FIELDS))
    for name, bundle in bundles.items():
        writer.writerows((name, *(package.get(field, "") for field in _FIELDS)) for package in bundle["packages"])
    return table.getvalue()


def _markdown(bundles: Bundles) -> str:
    parts = []
    for name, bundle in bundles.items():
        parts.append(f"# {name}\n")
        for package in bundle["packages"]:
            shown, version, license_id, text = (str(package.get(field) or "") for field in _FIELDS)
            indented = "\n".join(f"    {line}" for line in text.splitlines())
            parts.append(f"## {shown} {version}\n\n{license_id}\n\n{indented}\n")
    return "\n".join(parts)


_WRITERS: dict[str, tuple[Callable[[Bundles], str], str, str]] = {
    "json": (_json, "application/json", ".json"),
    "csv": (_csv, "text/csv; charset=utf-8", ".csv"),
    "markdown": (_markdown, "text/markdown; charset=utf-8", ".md"),
}
