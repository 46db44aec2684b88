"""A user's notices for JupyterLab, and dismissing messages."""

from __future__ import annotations

from hub.errors import NotFound
from hub.web.notices import announce, notices_of
from hub.web.page import PageHandler


class NoticesHandler(PageHandler):
    """``/hub/home/notices``: one's own notices as JSON, for JupyterLab."""

    page = False

    async def get(self) -> None:
        """Notices, the most important first."""
        found = await notices_of(self.services, self.identity.user)
        shown: list[dict[str, str]] = [
            {
                "id": view.id,
                "kind": "view",
                "tone": "warning",
                "text": f"{view.viewer_name} is looking at your files and notebooks. Reason: {view.reason}",
            }
            for view in found.views
        ]
        shown += [
            {"id": f"announcement-{number}", "kind": "announcement", "tone": each.kind, "text": each.text}
            for number, each in enumerate(self.common_values().get("announcements", ()))
        ]
        shown += [
            {
                "id": message.id,
                "kind": "message",
                "tone": "info",
                "text": message.text,
                "from": message.sender_name,
                "dismiss": f"/hub/home/messages/{message.id}/dismiss",
            }
            for message in found.messages
        ]
        self.write_json({"notices": shown})


class DismissMessage(PageHandler):
    """``/hub/home/messages/<id>/dismiss``."""

    page = False

    async def post(self, message_id: str) -> None:
        """The user has read it. Raises NotFound for another's, or one that was dismissed."""
        user = self.identity.user
        async with self.services.store.unit() as unit:
            known = await unit.messages.dismiss(user.id, message_id, self.services.clock.now())
        if not known:
            raise NotFound("There is no such message to you, or you have dismissed it.")
        announce(self.services, user.id)
        if "application/json" in self.request.headers.get("Accept", ""):
            self.write_json({"done": "Dismissed."})
            return
        self.redirect("/hub/home")
