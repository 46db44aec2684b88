"""What the sanitized export keeps, and what it takes out."""

from __future__ import annotations

import pytest

from hub.jupyter.clean_html import clean_html

KEPT = [
    '<h1 id="Title">Title</h1>',
    "<p>text<br>more</p>",
    "<table><thead><tr><th>a</th></tr></thead></table>",
    '<div class="highlight"><pre><span class="k">def</span></pre></div>',
    '<img alt="a" src="https://example.org/a.png">',
    '<a href="https://example.org">x</a>',
]
HOSTILE = [
    "<script>alert(1)</script>",
    "<iframe src='https://example.org'></iframe>",
    "<style>body{display:none}</style>",
    "<form action='https://example.org'><input name=a></form>",
    "<svg onload=alert(1)></svg>",
    "<object data=x></object>",
    "<base href='https://example.org'>",
    "<meta http-equiv=refresh content=0>",
]


@pytest.mark.parametrize("element", KEPT)
def test_what_markdown_makes_is_kept(element: str) -> None:
    assert clean_html(element) == element


@pytest.mark.parametrize("element", HOSTILE)
def test_what_could_run_is_shown_as_text(element: str) -> None:
    assert "<" not in clean_html(element)


@pytest.mark.parametrize(
    "element",
    [
        "<p onclick='alert(1)'>x</p>",
        "<a href='javascript:alert(1)'>x</a>",
        "<img src='data:text/html,x' onerror='alert(1)'>",
        "<p style='background: url(https://example.org/a)'>x</p>",
        "<p style='position: fixed'>x</p>",
    ],
)
def test_attributes_that_could_run_or_ask_elsewhere_go(element: str) -> None:
    cleaned = clean_html(element)
    assert not any(word in cleaned for word in ("alert", "javascript", "data:", "url", "fixed", "onerror"))


def test_bytes_are_text() -> None:
    assert clean_html("<p>größe</p>".encode()) == "<p>größe</p>"
