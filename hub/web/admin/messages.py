"""Messages to people: written by those in charge, shown in JupyterLab and in the hub's pages."""

from __future__ import annotations

from urllib.parse import quote

from hub.domain.audit import AuditEvent
from hub.domain.ids import new_id
from hub.domain.messages import LIFETIMES, MAX_TEXT_CHARS, Message, clean_text
from hub.domain.scopes import Scope
from hub.domain.users import User
from hub.errors import BadRequest, HubError
from hub.http.permitted import Over
from hub.web.admin.page import AdminPage
from hub.web.live_stream import LiveAction
from hub.web.notices import announce

MAX_AUDITED_CHARS = 300


class MessagePage(LiveAction, AdminPage):
    """``/hub/admin/users/<name>/message``."""

    active = "people"
    permission = Scope.MESSAGE_USERS
    over = Over.USER

    async def get(self, name: str) -> None:
        """The form, and what was said before."""
        await self._show(await self.services.users.get(name), done=self.done())

    async def post(self, name: str) -> None:
        """Send it."""
        person = await self.services.users.get(name)
        try:
            await self._send(person)
        except BadRequest as error:
            if not self.shows_pages():
                raise
            await self._show(person, error=error)
            return
        self.tell_done(
            f"{person.name} sees your message now.",
            f"/hub/admin/users/{quote(person.name, safe='@+')}/message?done=message-sent",
        )

    async def _send(self, person: User) -> None:
        services, sender = self.services, self.identity.user
        text, lasts = clean_text(self.field("text", MAX_TEXT_CHARS + 1)), self.field("lasts", 8)
        if not text or len(text) > MAX_TEXT_CHARS or lasts not in LIFETIMES:
            raise BadRequest(f"Write between 1 and {MAX_TEXT_CHARS} characters, and say how long to show them.")
        now = services.clock.now()
        message = Message(new_id(), person.id, sender.id, sender.name, text, now, now + LIFETIMES[lasts])
        async with services.store.unit() as unit:
            await unit.messages.add([message])
            details = {"user": person.id, "text": text[:MAX_AUDITED_CHARS]}
            await unit.audit.add(AuditEvent(now, "message.sent", sender.id, message.id, self.address, details))
        announce(services, person.id)

    async def _show(self, person: User, done: str = "", error: HubError | None = None) -> None:
        async with self.services.store.reading() as unit:
            sent = await unit.messages.list_for(person.id)
        self.show(
            "message.html",
            error.status if error else 200,
            person=person,
            sent=sent,
            done=done,
            problem=error.message if error else "",
        )
