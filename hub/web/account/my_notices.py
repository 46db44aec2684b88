"""A user's notices for JupyterLab, and dismissing messages."""

from __future__ import annotations

from hub.errors import NotFound
from hub.web.ends import End
from hub.web.live_stream import LiveAction
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
        shown += [_of_end(end) for end in found.ends]
        self.write_json({"notices": shown})


def _of_end(end: End) -> dict[str, str]:
    """`at_text` is the part of the text that says when; who knows the user's time zone puts `at` in its place."""
    shown = {
        "id": f"end-{end.key}",
        "kind": "end",
        "tone": "warning" if end.loses else "info",
        "text": end.notice,
        "at": end.at.isoformat() if end.at is not None else "",
        "at_text": end.clock,
        "workspace_id": end.workspace_id,
        "kernel_id": end.kernel_id or "",
    }
    if end.keep:
        shown |= {"keep": f"/hub/home/keep/{end.key}", "keep_label": end.keep, "title": end.title}
    return shown


class KeepMine(LiveAction, PageHandler):
    """``/hub/home/keep/<kernel or container>``: put off an end that was warned of."""

    async def post(self, key: str) -> None:
        """Do it. Raises NotFound for another's, Conflict when nothing may be put off."""
        services, user = self.services, self.identity.user
        ids = [workspace.id for workspace in await services.workspaces.list_for(user)]
        _, decisions = services.culler.decisions_for(ids)
        found = next((one for one in decisions if key == (one.kernel_id or one.workspace_id)), None)
        if found is None:
            raise NotFound("There is no such kernel or container of yours that runs.")
        await services.postponing.postpone(found.workspace_id, found.kernel_id, user.id, self.address)
        announce(services, user.id)
        self.tell_done("It is kept for longer.", "/hub/home?done=kept")


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
