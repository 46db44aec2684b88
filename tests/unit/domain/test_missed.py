"""Results without a place: by which name their notebook is known."""

from __future__ import annotations

import pytest

from hub.domain.missed import is_elsewhere, known_as

ID = "b926919d-8282-4bd1-ab3d-159d49ac7fd2"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"analysis-jvsc-{ID}{ID}.ipynb", "analysis.ipynb"),
        (f"of work/analysis-jvsc-{ID}.ipynb", "of work/analysis.ipynb"),
        ("analysis-jvsc-notes.ipynb", "analysis-jvsc-notes.ipynb"),
        (f"analysis-jvsc-{ID}.ipynb/x.ipynb", f"analysis-jvsc-{ID}.ipynb/x.ipynb"),
        ("", ""),
    ],
)
def test_what_vs_code_adds_to_a_name_is_left_out(path: str, name: str) -> None:
    assert known_as(path) == name
    assert is_elsewhere(path) is (path != name)
