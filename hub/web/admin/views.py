"""Looking into somebody's files: with a reason, for a quarter of an hour, on the record, and never changing anything.

The user sees a banner while it lasts and a list of past views on their own page. Each file that is opened is in the
audit log. What a file holds is hostile: notebooks are turned into HTML without scripts in a child process, and shown in
a frame with a sandbox that permits nothing (HTML, "sandbox"); nothing is offered for download.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

import msgspec

from hub.contents.models import Model
from hub.domain.audit import AuditEvent
from hub.domain.ids import new_id
from hub.domain.scopes import Scope
from hub.domain.users import User
from hub.domain.views import MAX_REASON_CHARS, MIN_REASON_CHARS, VIEW_LASTS, View
from hub.errors import BadRequest, Forbidden, HubError, NotFound
from hub.http.headers import PAGE_POLICY
from hub.http.permitted import Over
from hub.web.admin.page import AdminPage
from hub.web.notices import announce

MAX_NOTEBOOK_BYTES = 8 * 1024**2
MAX_TEXT_BYTES = 512 * 1024
MAX_IMAGE_BYTES = 4 * 1024**2
MAX_ENTRIES = 1000
_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
FRAME_POLICY = PAGE_POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'") + "; frame-src 'self'"
"""For the page with the frame, whose document inherits it: notebooks as HTML have their styles in them."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of a file: exactly one of `html` (for the sandboxed frame), `text` and `image` (a data: URL)."""

    html: str | None = None
    text: str | None = None
    image: str | None = None


class ViewBase(AdminPage):
    """What the pages of a view share: the person looked at, and the view that is open."""

    active = "people"
    permission = Scope.VIEW_USERS
    over = Over.USER

    async def person_and_view(self, name: str) -> tuple[User, View | None]:
        """Who is looked at, and this person's open view of them. Raises NotFound for an unknown user."""
        person = await self.services.users.get(name)
        async with self.services.store.reading() as unit:
            now = self.services.clock.now()
            return person, await unit.views.find_open(person.id, self.identity.user.id, now)

    async def audit(self, action: str, person: User, view: View, **details: str) -> None:
        """Put a line on the record."""
        now, viewer = self.services.clock.now(), self.identity.user.id
        async with self.services.store.unit() as unit:
            more = {"user": person.id, **details}
            await unit.audit.add(AuditEvent(now, action, viewer, view.id, self.address, more))

    def place(self, person: User) -> str:
        """The address of the views of a user."""
        return f"/hub/admin/users/{quote(person.name, safe='@+')}/view"


class ViewPage(ViewBase):
    """``/hub/admin/users/<name>/view``: open a view; while it is open, folders and what runs."""

    async def get(self, name: str) -> None:
        """The form that asks for a reason, or the folder that ``?path=`` names."""
        person, view = await self.person_and_view(name)
        if view is None:
            await self._show_form(person, done=self.done())
            return
        path = self.get_query_argument("path", "").strip("/")
        folder = await self.services.contents.of(person).get(path, type="directory")
        entries = folder.content if isinstance(folder.content, list) else []
        entries.sort(key=lambda entry: (entry.type != "directory", entry.name.casefold()))
        await self.audit("view.folder_listed", person, view, path=path[:300])
        self.show(
            "view.html",
            person=person,
            view=view,
            address=self.place(person),
            path=path,
            parents=_parents(path),
            entries=entries[:MAX_ENTRIES],
            more=max(0, len(entries) - MAX_ENTRIES),
            places=await self.services.live.places_of(person.id),
            done=self.done(),
        )

    async def post(self, name: str) -> None:
        """Open a view. Raises Forbidden for one's own files: those are in JupyterLab."""
        person, view = await self.person_and_view(name)
        if person.id == self.identity.user.id:
            raise Forbidden("These are your own files; open JupyterLab to see them.")
        reason = " ".join(self.field("reason", MAX_REASON_CHARS + 1).split())
        if not MIN_REASON_CHARS <= len(reason) <= MAX_REASON_CHARS or not reason.isprintable():
            error = BadRequest(f"Say why, in {MIN_REASON_CHARS} to {MAX_REASON_CHARS} characters.")
            await self._show_form(person, error=error, typed=reason[:MAX_REASON_CHARS])
            return
        if view is None:
            await self._open(person, reason)
        self.redirect(self.place(person))

    async def _open(self, person: User, reason: str) -> None:
        now, viewer = self.services.clock.now(), self.identity.user
        view = View(new_id(), person.id, viewer.id, viewer.name, reason, now, now + VIEW_LASTS)
        async with self.services.store.unit() as unit:
            await unit.views.add(view)
            details = {"user": person.id, "reason": reason}
            await unit.audit.add(AuditEvent(now, "view.opened", viewer.id, view.id, self.address, details))
        announce(self.services, person.id)

    async def _show_form(self, person: User, done: str = "", error: HubError | None = None, typed: str = "") -> None:
        async with self.services.store.reading() as unit:
            past = await unit.views.list_for(person.id)
        self.show(
            "view_open.html",
            error.status if error else 200,
            person=person,
            address=self.place(person),
            past=past,
            typed=typed,
            done=done,
            problem=error.message if error else "",
        )


class ViewFile(ViewBase):
    """``/hub/admin/users/<name>/view/file?path=``: one file, read-only."""

    def content_security_policy(self) -> str:
        """The frame's document inherits it."""
        return FRAME_POLICY

    async def get(self, name: str) -> None:
        """Show it; without an open view, the form for one."""
        person, view = await self.person_and_view(name)
        path = self.get_query_argument("path", "").strip("/")
        if view is None:
            self.redirect(self.place(person))
            return
        await self.audit("view.file_opened", person, view, path=path[:300])
        problem, shown = "", Shown()
        try:
            shown = await self._read(person, path)
        except NotFound:
            raise
        except HubError as error:
            problem = error.message
        self.show(
            "view_file.html",
            person=person,
            view=view,
            address=self.place(person),
            path=path,
            parents=_parents(path),
            shown=shown,
            problem=problem,
        )

    async def _read(self, person: User, path: str) -> Shown:
        contents = self.services.contents.of(person)
        about = await contents.get(path, content=False)
        size = about.size or 0
        if about.type == "notebook" and size <= MAX_NOTEBOOK_BYTES:
            return Shown(html=await self._notebook(person, await contents.get(path)))
        if about.type == "file" and (about.mimetype or "") in _IMAGES and size <= MAX_IMAGE_BYTES:
            image = await contents.get(path, type="file", format="base64")
            data = "".join(image.content.split()) if isinstance(image.content, str) else ""
            base64.b64decode(data, validate=True)
            return Shown(image=f"data:{about.mimetype};base64,{data}")
        if about.type == "file" and size <= MAX_TEXT_BYTES:
            try:
                text = await contents.get(path, type="file", format="text")
            except BadRequest as error:
                raise BadRequest("This file is not text, so it cannot be shown here.") from error
            return Shown(text=text.content if isinstance(text.content, str) else "")
        raise BadRequest("This is too large, or not of a kind that can be shown here.")

    async def _notebook(self, person: User, model: Model) -> str:
        if not isinstance(model.content, msgspec.Raw):
            raise BadRequest("This notebook cannot be read.")
        title = PurePosixPath(model.name).stem
        return await self.services.notebook_html(self.identity.user, person, title, bytes(model.content))


class CloseView(ViewBase):
    """``/hub/admin/users/<name>/view/close``."""

    async def post(self, name: str) -> None:
        """End the open view; none is fine."""
        person, view = await self.person_and_view(name)
        if view is not None:
            now, viewer = self.services.clock.now(), self.identity.user.id
            async with self.services.store.unit() as unit:
                await unit.views.close(view.id, now)
                details = {"user": person.id}
                await unit.audit.add(AuditEvent(now, "view.closed", viewer, view.id, self.address, details))
            announce(self.services, person.id)
        self.redirect(f"{self.place(person)}?done=view-closed")


def _parents(path: str) -> list[tuple[str, str]]:
    """The folders above a path: names and their paths, the outermost first."""
    parts = path.split("/") if path else []
    return [(part, "/".join(parts[: number + 1])) for number, part in enumerate(parts)]
