"""HTML without what could run: what "Sanitize HTML output" leaves of Markdown cells and outputs. Pure.

nbconvert's own filter knows neither paragraphs nor headings, and shows their tags as text; this one keeps what
Markdown makes. Scripts, styles, frames, forms, event handlers and addresses other than http, https and mailto go.
"""

from __future__ import annotations

import bleach  # type: ignore[import-untyped]
from bleach.css_sanitizer import CSSSanitizer  # type: ignore[import-untyped]

_MARKDOWN = (
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "div", "span", "pre", "code", "img", "details", "summary"),
    *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "dl", "dt", "dd"),
    *("del", "ins", "s", "sub", "sup", "kbd", "samp", "var", "mark", "small", "u"),
)
_TAGS = frozenset((*bleach.ALLOWED_TAGS, *_MARKDOWN))
_ATTRIBUTES = {
    **bleach.ALLOWED_ATTRIBUTES,
    "*": ["class", "id", "style"],
    "a": ["href", "title"],
    "img": ["src", "alt", "title", "width", "height"],
    "td": ["colspan", "rowspan", "align"],
    "th": ["colspan", "rowspan", "align", "scope"],
}
_STYLES = CSSSanitizer(allowed_css_properties=["text-align", "font-weight", "font-style", "color", "background-color"])


def clean_html(element: object) -> str:
    """What of `element` (text, or bytes in UTF-8) may stay; other tags are shown as text."""
    text = element.decode("utf-8", "replace") if isinstance(element, bytes) else str(element)
    return str(bleach.clean(text, tags=_TAGS, attributes=_ATTRIBUTES, css_sanitizer=_STYLES))
