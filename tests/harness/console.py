"""What a browser complains about while a front end is used: errors, refused scripts, answers that are none."""

from __future__ import annotations

import re
from collections.abc import Sequence

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Response

HARMLESS = (
    # JupyterLab 4.6 and Notebook 7.6 say these on plain `jupyter notebook` too (compared on 2026-11-22):
    r"Cannot read properties of undefined \(reading 'schema'\)",  # settings of plugins that Notebook leaves out
    r"Cannot convert undefined or null to object",  # the same
    # A terminal is told the theme while its xterm is still being loaded (jupyterlab/packages/terminal, setOption).
    r"Cannot read properties of undefined \(reading 'options'\)\s+at \S+\.setOption ",
    r"^page: Disposed$",  # the tree, whose tab opened a notebook elsewhere
    r"Comm not found for comm id",  # the widget manager asks after widgets of another client
    r"GL Driver Message|WebGL",  # the terminal's renderer on a machine without a graphics card
    r"font 'about:blank'",  # MathJax 2 in the classic Notebook measures with a font that is none; it always fails
    # A page that is left while it loads something.
    r"net::ERR_ABORTED",
)
"""Patterns of what may be in a console, with the reason."""


class Watch:
    """Notes the complaints of all pages that a browser context opens from now on."""

    def __init__(self, context: BrowserContext) -> None:
        self._said: list[str] = []
        context.on("page", self._watch)
        for page in context.pages:
            self._watch(page)

    def complaints(self, expected: Sequence[str] = ()) -> list[str]:
        """What was said since the last call and is neither harmless nor matches one of the `expected` patterns."""
        known = re.compile("|".join((*HARMLESS, *expected)))
        said, self._said = self._said, []
        return [line for line in said if not known.search(line)]

    def _watch(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._said.append(f"page: {error}"))
        page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        # That a resource failed to load is noted with its address by `_response`.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self._said.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self._said.append(f"{response.status} {response.request.method} {response.url}")
