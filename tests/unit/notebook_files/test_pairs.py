"""What jupytext's ``formats`` mean in paths, and what this hub does not keep."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.errors import BadRequest
from hub.notebook_files.pairs import pair_of, parse_formats


@pytest.mark.parametrize(
    "formats, text",
    [
        ("ipynb,py:percent", "a/b.py"),
        ("py:light,ipynb", "a/b.py"),
        ("ipynb,auto:percent", "a/b.R"),
        ("ipynb,percent", "a/b.R"),
        ("notebook,markdown", "a/b.md"),
        ("ipynb,.nb.py", "a/b.nb.py"),
        ("ipynb,nb_/py", "a/nb_b.py"),
        ("ipynb,scripts//py:percent", "a/scripts/b.py"),
        ("ipynb,x/y//nb_/md:myst", None),
    ],
)
def test_a_pair_is_found_from_either_side(formats: str, text: str | None) -> None:
    if text is None:
        with pytest.raises(BadRequest):
            parse_formats(formats, ".R")
        return
    parsed = parse_formats(formats, ".R")
    pair = pair_of("a/b.ipynb", parsed)
    assert pair is not None
    assert (pair.notebook, [one.path for one in pair.texts]) == ("a/b.ipynb", [text])
    assert pair_of(text, parsed) == pair


@pytest.mark.parametrize("formats", ["ipynb", "py:percent", "", "ipynb,auto", "ipynb,ipynb"])
def test_one_file_is_no_pair(formats: str) -> None:
    assert pair_of("a.ipynb", parse_formats(formats, None)) is None


REFUSED = [
    *("ipynb,../py", "ipynb,../x//py", "/etc//py,ipynb", "ipynb,.ssh//py", "notebooks///ipynb,scripts///py"),
    *("ipynb,md:pandoc", "ipynb,py:marimo", "ipynb,qmd", "ipynb,exe", "ipynb,py,md,R,jl,sh"),
]


@pytest.mark.parametrize("formats", [*REFUSED, "ipynb," + "x" * 200])
def test_what_leads_elsewhere_or_starts_programs_is_refused(formats: str) -> None:
    with pytest.raises(BadRequest):
        parse_formats(formats, ".py")


@settings(deadline=None)
@given(st.text("ipynb,./:x_ -md", max_size=40), st.sampled_from(["a.ipynb", "f/a.ipynb", "f/x_a.py", "a.md"]))
def test_no_format_leads_above_the_notebooks_folder(formats: str, path: str) -> None:
    try:
        pair = pair_of(path, parse_formats(formats, ".py"))
    except BadRequest:
        return
    for name in [] if pair is None else [pair.notebook, *(one.path for one in pair.texts)]:
        assert not name.startswith("/")
        assert ".." not in name.split("/")
        assert not any(part.startswith(".") for part in name.split("/"))
