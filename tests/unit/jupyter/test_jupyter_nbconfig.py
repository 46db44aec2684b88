"""What the installation brings along for the classic Notebook, and what makes a catalogue stale."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub.jupyter.catalogue import fingerprint
from hub.jupyter.installed_files import find_beneath
from hub.jupyter.nbconfig import read_nbconfig


def put(file: Path, value: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(value if isinstance(value, str) else json.dumps(value))


def test_sections_are_merged_the_last_folder_winning(tmp_path: Path) -> None:
    system, own = tmp_path / "system", tmp_path / "own"
    put(system / "notebook.d" / "a.json", {"load_extensions": {"a/x": True, "nbdime/index": True}, "n": 1})
    put(system / "notebook.json", {"n": 2, "gone": 1})
    put(own / "notebook.json", {"load_extensions": {"a/x": False, "b/y": True}, "gone": None})
    put(own / "tree.json", "no json")
    put(own / "edit.json", [1])
    put(own / "common.json", {"c": {"d": 1}})
    assert read_nbconfig([system, own, tmp_path / "none"]) == {
        "common": {"c": {"d": 1}},
        "notebook": {"load_extensions": {"a/x": False, "b/y": True}, "n": 2},
    }


@pytest.mark.parametrize("installed", ["nbextensions/x/main.js", "labextensions/x/package.json"])
def test_what_is_installed_makes_the_catalogue_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: str
) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    before = fingerprint()
    assert fingerprint() == before
    put(tmp_path / installed, {})
    assert fingerprint() != before


def test_a_language_pack_makes_the_catalogue_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint()
    put(tmp_path / "pack-1.dist-info" / "METADATA", "Metadata-Version: 2.1\nName: pack\nVersion: 1\n")
    put(tmp_path / "pack-1.dist-info" / "entry_points.txt", "[jupyterlab.languagepack]\nxx_XX = pack\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert fingerprint() != before


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "x\0", "link", "x" * 5000, "a"])
def test_only_files_beneath_the_folders_are_found(tmp_path: Path, path: str) -> None:
    put(tmp_path / "x", "")
    (tmp_path / "root" / "a").mkdir(parents=True)
    (tmp_path / "root" / "link").symlink_to(tmp_path / "x")
    put(tmp_path / "root" / "a" / "b.js", "")
    assert find_beneath([str(tmp_path / "root")], path) is None
    found = find_beneath([str(tmp_path / "none"), str(tmp_path / "root")], "a/b.js")
    assert found is not None and found.name == "b.js"
