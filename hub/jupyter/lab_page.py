"""The page that JupyterLab and Notebook 7 start in, and what it may do. Pure.

The strict policy is as strict as JupyterLab 4.6 allows: no script but the hub's own files, so nothing that a
notebook, a file name or an output smuggles into the page can run. `unsafe-eval` is needed (settings are
checked by compiled schemas), inline styles too (the editor and every widget make some). Outputs of plotly,
bokeh, folium and many others are HTML with scripts, though, inline or from their makers' servers; where they
are to work (`output_scripts`), what keeps foreign scripts out is JupyterLab's trust: it strips them from the
outputs of every notebook that its reader has not run or trusted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import quote

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">'
    '<circle cx="8" cy="8" r="7" fill="{colour}"/>'
    '<path d="M5 4v8M11 4L6.5 8 11 12" stroke="#fff" stroke-width="2" fill="none"/></svg>'
)
STRIP_STYLE = """
body { position: fixed; inset: 0 0 38px 0; }
#kernelhub-warning { position: fixed; z-index: 100000; left: 0; right: 0; bottom: 0; height: 38px;
  box-sizing: border-box; margin: 0; padding: 2px 1em; overflow: hidden;
  font: 600 12px/17px system-ui, sans-serif; background: #8a1c1c; color: #fff; }
"""


def lab_policy(host: str, output_scripts: bool) -> str:
    """The page's content security policy; `host` is the request's, for browsers whose ``'self'`` has no ws.

    `output_scripts`: whether trusted outputs may run scripts, and load scripts, styles and data by https.
    """
    scripts, others = (" 'unsafe-inline' blob: https:", " https:") if output_scripts else ("", "")
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'unsafe-eval'{scripts}",
            f"style-src 'self' 'unsafe-inline'{others}",
            "img-src 'self' data: blob: https:",
            "media-src 'self' data: blob: https:",
            f"font-src 'self' data:{others}",
            f"connect-src 'self' ws://{host} wss://{host}{others}",
            # https: the Help menu's references open in frames, and outputs hold videos; neither runs in this page.
            "frame-src 'self' data: blob: https:",
            "worker-src 'self' blob:",
            "manifest-src 'self'",
            "object-src 'self' blob: data:",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'self'",
        )
    )


def lab_page(config: dict[str, Any], scripts: Sequence[str], static_url: str, warning: str | None) -> str:
    """JupyterLab's page. `scripts` are relative to `static_url`; `warning` is a sentence that stays in view."""
    icons = (
        f'<link rel="icon" type="image/svg+xml" class="idle favicon" href="{icon("#d2691e")}">'
        f'<link rel="" type="image/svg+xml" class="busy favicon" href="{icon("#616161")}">'
    )
    return front_end_page("JupyterLab", config, [f"{static_url}/{script}" for script in scripts], icons, warning)


def front_end_page(
    title: str, config: dict[str, Any], scripts: Sequence[str], head: str, warning: str | None, body: str = ""
) -> str:
    """The page that a front end built on JupyterLab starts in.

    `scripts` are addresses; `head` and `body` are HTML for the head and attributes of the body, our own.
    """
    # Inside a script element only "<" could end it (HTML, 4.12.1.3).
    shown = json.dumps(config, ensure_ascii=True).replace("<", "\\u003c")
    sources = "".join(f'<script defer src="{escape(script)}"></script>' for script in scripts)
    style = f"<style>{STRIP_STYLE}</style>" if warning else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<script id="jupyter-config-data" type="application/json">{shown}</script>'
        f'{head}{style}{sources}</head><body class="jp-ThemedContainer"{body}>{warning_strip(warning)}</body></html>'
    )


def warning_strip(warning: str | None) -> str:
    """The sentence that stays in view, as HTML; empty if there is none."""
    return f'<p id="kernelhub-warning" role="alert" title="{escape(warning)}">{escape(warning)}</p>' if warning else ""


def icon(colour: str) -> str:
    """The hub's mark in a colour, as the address of an image."""
    return "data:image/svg+xml," + quote(_ICON.format(colour=colour))
