"""What a user must be told wherever they are: messages, open views of their files, announcements, ends to come.

Shown as banners by the hub's pages (base.html) and by JupyterLab (static/lab-notices.js).
"""

from __future__ import annotations

from dataclasses import dataclass

from hub.domain.ids import UserId
from hub.domain.messages import Message
from hub.domain.users import User
from hub.domain.views import View
from hub.errors import StoreUnavailable
from hub.http.services import Services
from hub.web.ends import End, warned_of

NOTICES_SCHEMA = "https://kernelhub.example/notices/v1"
"""Of the event that tells JupyterLab to ask for its notices now."""


@dataclass(frozen=True, slots=True)
class Notices:
    """What is to be shown now."""

    messages: tuple[Message, ...] = ()
    views: tuple[View, ...] = ()
    ends: tuple[End, ...] = ()
    """What ends soon by itself, the nearest first."""


NO_NOTICES = Notices()


async def notices_of(services: Services, user: User) -> Notices:
    """The user's notices; none while the database does not answer, since a page must not fail for them."""
    now = services.clock.now()
    try:
        async with services.store.reading() as unit:
            messages = await unit.messages.list_open(user.id, now)
            views = await unit.views.list_open(user.id, now)
    except StoreUnavailable:
        return NO_NOTICES
    return Notices(tuple(messages), tuple(views), await warned_of(services, user))


def tell_everybody(services: Services) -> None:
    """Tell all open tabs of JupyterLab that there is something new, such as another announcement."""
    for user_id in services.frontends.events.listening():
        announce(services, user_id)


def announce(services: Services, user_id: UserId) -> None:
    """Tell the user's open tabs of JupyterLab that there is something new."""
    services.frontends.events.publish(user_id, NOTICES_SCHEMA, {"data": {}})
