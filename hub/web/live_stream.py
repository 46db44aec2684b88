"""The base of live pages: parts of a page as server-sent events, only those that changed.

A page's parts have names, and so have its rows and their cells. A stream sends one event with everything that changed
since the last, at most every `TICK_SECONDS`, and a comment every `BEAT_SECONDS` so that nobody between takes it for
dead. It ends when its sign-in ends (`hub.live.viewers`), when its reader does not read, and when the hub stops.
``?once=1`` answers everything at once as JSON, for pages that cannot have a stream.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import msgspec
from tornado.iostream import StreamClosedError

from hub.domain.scopes import Scope
from hub.errors import HubError, StoreUnavailable
from hub.live.viewers import Viewer
from hub.web.page import PageHandler

TICK_SECONDS = 2.0
CHECK_TICKS = 2
"""Every so many ticks it is asked anew whether the reader may still read what is not only their own.

That the sign-in itself has ended is found for all streams together (`hub.live.viewers`).
"""
BEAT_SECONDS = 15.0
WRITE_SECONDS = 20.0
"""A reader who takes nothing for so long is given up."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A page's changing parts as HTML: `parts` by name, `rows` by id and cell, in their order."""

    parts: dict[str, str] = field(default_factory=dict)
    rows: dict[str, dict[str, str]] = field(default_factory=dict)

    def since(self, before: Parts) -> dict[str, Any]:
        """What a reader who has `before` must be told; empty when nothing changed."""
        told: dict[str, Any] = {}
        parts = {name: str(html) for name, html in self.parts.items() if before.parts.get(name) != html}
        rows = {}
        for row_id, cells in self.rows.items():
            known = before.rows.get(row_id, {})
            changed = {name: str(html) for name, html in cells.items() if known.get(name) != html}
            if changed:
                rows[row_id] = changed
        if parts:
            told["parts"] = parts
        if rows:
            told["rows"] = rows
        if list(self.rows) != list(before.rows):
            told["order"] = list(self.rows)
        return told


class LiveStream(PageHandler):
    """A stream of one page's parts. Subclasses say what the parts are now."""

    page = False
    viewer: Viewer | None = None

    async def parts(self) -> Parts:
        """The parts as they are now."""
        raise NotImplementedError

    async def get(self, *_args: str) -> None:
        """The stream, or with ``once`` everything now."""
        self.refuse_cross_site()
        if self.get_query_argument("once", ""):
            self.write_json((await self.parts()).since(Parts()))
            return
        viewer = self.viewer = self.services.live.viewers.join(self.identity.principal, self.identity.user.id)
        try:
            await self._stream(viewer)
        finally:
            self.services.live.viewers.leave(viewer)

    async def _stream(self, viewer: Viewer) -> None:
        sent = await self.parts()
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("X-Accel-Buffering", "no")  # nginx would gather it
        if not await self._send("all", sent.since(Parts())):
            return
        quiet = 0.0
        ticks = 0
        while not await viewer.wait(TICK_SECONDS):
            ticks += 1
            try:
                if ticks % CHECK_TICKS == 0 and self.permission is not Scope.SELF:
                    await self._check_again()
                now = await self.parts()
            except StoreUnavailable:
                continue  # what is shown stays until the database is back
            except HubError as error:
                viewer.end(error.code)
                break
            told, sent = now.since(sent), now
            quiet = 0.0 if told else quiet + TICK_SECONDS
            if told and not await self._send("change", told):
                return
            if quiet >= BEAT_SECONDS:
                quiet = 0.0
                if not await self._write(": still here\n\n"):
                    return
        await self._send("end", {"reason": viewer.reason})

    async def _check_again(self) -> None:
        """Whoever watches may have lost sign-in, presence or permission since. Raises what `prepare` would."""
        await self._identify()
        self.check_access()
        await self.check_permission()
        self.check_presence()

    async def _send(self, event: str, value: dict[str, Any]) -> bool:
        return await self._write(f"event: {event}\ndata: {msgspec.json.encode(value).decode()}\n\n")

    async def _write(self, text: str) -> bool:
        """Whether the reader took it."""
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                self.write(text)
                await self.flush()
        except (StreamClosedError, TimeoutError):
            if self.request.connection is not None and not self._finished:
                self.request.connection.stream.close()  # type: ignore[attr-defined]
            return False
        return True

    def on_connection_close(self) -> None:
        """The reader left."""
        super().on_connection_close()
        if self.viewer is not None:
            self.viewer.end("left")


class LiveAction(PageHandler):
    """Base of actions that a live page sends for by script, and any other page by a form."""

    def tell_done(self, sentence: str, back: str) -> None:
        """Answer a script with the sentence; a form is led back to a page, which says so in its own words."""
        self.services.live.forget()
        if self.shows_pages():
            self.redirect(back)
            return
        self.write_json({"done": sentence})

    def shows_pages(self) -> bool:
        """Errors are told in the form in which the answer is expected."""
        return not self.request.headers.get("Accept", "").startswith("application/json")
