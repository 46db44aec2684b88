"""What the installed front ends consist of: scripts, extensions, schemas, languages, export formats.

It is found out by `hub.jupyter.build_catalogue` in a child process and kept as one JSON file per installation
and locale, so that later starts only read it. `fingerprint` names that file: it changes when a package or an
extension is installed, removed or reconfigured.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import msgspec
from jupyter_core.paths import jupyter_config_path, jupyter_path

DEFAULT_LOCALE = "en"
_FORMAT = 5  # grows with every change of `Catalogue` or of how it is built
_PACKAGES = ("jupyterlab", "jupyterlab_server", "jupyter_server", "nbconvert", "notebook", "nbclassic")
_LANGUAGES = ("jupyterlab.languagepack", "jupyterlab.locale")
"""Groups of entry points by which packages bring translations."""


class Schema(msgspec.Struct, frozen=True):
    """A settings schema with the installation's overrides applied, and the version of its package."""

    schema: dict[str, Any]
    version: str


class Catalogue(msgspec.Struct, frozen=True):
    """The front ends of this installation, in one locale.

    `entry_scripts` and `notebook_scripts` are relative to the static folders of JupyterLab and Notebook;
    `page_config` is the part that does not depend on the user (extensions, which are disabled or deferred, what
    an administrator put into page_config.json); `export_formats` maps nbconvert's names to MIME types;
    `licenses` are files. `files_version` (16 hexadecimal characters) changes whenever a front end's file may
    have. `nbconfig` are the sections that the classic Notebook starts with; `custom_folders` may hold an
    administrator's custom.css and custom.js, and `has_custom_css` says that one does.
    """

    locale: str
    lab_version: str
    server_version: str
    static_folder: str
    theme_folders: list[str]
    entry_scripts: list[str]
    page_config: dict[str, Any]
    schemas: dict[str, Schema]
    languages: dict[str, Any]
    language_pack: dict[str, Any]
    export_formats: dict[str, str]
    licenses: list[str]
    notebook_version: str
    notebook_scripts: list[str]
    classic_version: str
    files_version: str
    nbconfig: dict[str, dict[str, Any]]
    custom_folders: list[str]
    has_custom_css: bool


_decoder = msgspec.json.Decoder(Catalogue)


def encode(catalogue: Catalogue) -> bytes:
    """As JSON, for the file and for the child process's output."""
    return msgspec.json.encode(catalogue)


def decode(data: bytes) -> Catalogue:
    """The opposite of `encode`. Raises msgspec.DecodeError when `data` is something else."""
    return _decoder.decode(data)


def fingerprint() -> str:
    """A name for the present state of the installation: 16 hexadecimal characters."""
    digest = hashlib.sha256(f"{_FORMAT}\0{sys.prefix}\0{sys.version}".encode())
    for package in _PACKAGES:
        digest.update(f"\0{package} {version(package)}".encode())
    for group in _LANGUAGES:
        for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
            digest.update(f"\0{entry.name} {entry.value} {entry.dist.version if entry.dist else ''}".encode())
    for file in _inputs():
        stat = file.stat()
        digest.update(f"\0{file} {stat.st_mtime_ns} {stat.st_size}".encode())
    return digest.hexdigest()[:16]


def _inputs() -> Iterator[Path]:
    """The files whose change makes a catalogue stale."""
    for folder in jupyter_path():
        extensions = Path(folder, "labextensions")
        yield from sorted(extensions.glob("[!@]*/package.json"))
        yield from sorted(extensions.glob("@*/*/package.json"))
        yield from sorted(Path(folder, "lab", "settings").glob("**/*.json*"))
        yield from sorted(file for file in Path(folder, "nbextensions").glob("**/*") if file.is_file())
    for folder in jupyter_config_path():
        yield from sorted(Path(folder, "labconfig").glob("*.json"))
        yield from sorted(Path(folder, "nbconfig").glob("**/*.json"))
        yield from sorted(Path(folder, "custom").glob("custom*.*"))
