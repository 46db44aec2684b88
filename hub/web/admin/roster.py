"""``/hub/admin/people/import``: a roster is uploaded, what it would change is shown, and then it is followed."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import ClassVar

from hub.config import Settings
from hub.domain.roster import MAX_ROSTER_BYTES, Change, Plan, Roster, Step, UnreadableRoster, plan, read_roster
from hub.domain.scopes import Scope
from hub.domain.users import Group, MemberRole, User
from hub.errors import BadRequest, Conflict, Forbidden, HubError, NotFound
from hub.http.handler import Access
from hub.http.permitted import Over
from hub.web.admin.page import AdminPage

MAX_SHOWN = 200
"""Most changes of one kind that the preview names; the others are counted."""


class RosterPage(AdminPage):
    """``/hub/admin/people/import``. Group owners may bring the lists of their groups up to date."""

    active = "people"
    access = Access.SIGNED_IN
    permission: ClassVar[Scope | Mapping[str, Scope] | None] = Scope.GROUPS
    over = Over.SOME

    @classmethod
    def body_limit(cls, settings: Settings) -> int:
        """A roster as a form sends it, each byte as three at worst."""
        return 3 * MAX_ROSTER_BYTES + 64 * 1024

    async def get(self) -> None:
        """The form."""
        await self._show(group=self.get_query_argument("group", "")[:128])

    async def post(self) -> None:
        """The first time what would change, the second time the change itself, if it is still the same."""
        text, digest = self._sent(), self.field("digest", 64)
        group_name, exact = self.field("group", 128).strip(), bool(self.field("exact"))
        try:
            group = await self._group(group_name)
            roster = read_roster(text)
            found = await self._plan(roster, group_name, exact)
            if not digest:
                await self._show(found=found, text=text, group=group_name, exact=exact)
                return
            if digest != found.digest:
                raise Conflict("Something changed since this was shown. Look at it again.")
            added = await self.services.rosters.follow(found, self.identity.user.id, self.address)
        except UnreadableRoster as error:
            await self._show(group=group_name, exact=exact, error=BadRequest(str(error)))
            return
        except Conflict as error:
            again = await self._plan(read_roster(text), group_name, exact)
            await self._show(found=again, text=text, group=group_name, exact=exact, error=error)
            return
        except (BadRequest, NotFound) as error:
            await self._show(group=group_name, exact=exact, error=error)
            return
        links = await self._links(added) if self.field("links") else []
        await self._show(group=group.name if group else group_name, followed=found, links=links)

    async def _plan(self, roster: Roster, group: str, exact: bool) -> Plan:
        known = await self.services.rosters.known(roster, group)
        found = plan(roster, known, group=group, exact=exact, may_add=self.identity.may(Scope.ADMIN_USERS))
        await self._check(found)
        return found

    async def _check(self, found: Plan) -> None:
        """Whether the asker may do all of it. Raises Forbidden, PresenceRequired."""
        if self.identity.is_admin:
            return
        services = self.services
        for step in found.steps:
            if step.change in (Change.ADD, Change.DESCRIBE):
                await self.require(Scope.ADMIN_USERS)
            group = await services.groups.get(step.group)
            await self.require(Scope.GROUPS, group=group)
            if step.change is not Change.LEAVE:
                role = MemberRole.OWNER if step.change is Change.OWN else MemberRole.MEMBER
                person = await services.users.get(step.name)
                await services.authority.check_place(self.identity, group, person, role)

    async def _group(self, name: str) -> Group | None:
        """The group chosen; None where it is to be made, which takes permission. Raises Forbidden, NotFound."""
        if not name:
            await self.require(Scope.ADMIN_USERS)
            return None
        try:
            group = await self.services.groups.get(name)
        except NotFound:
            if not self.identity.may(Scope.ADMIN_GROUPS):
                raise Forbidden(f"There is no group {name}; an administrator has to make it first.") from None
            return None
        await self.require(Scope.GROUPS, group=group)
        return group

    def _sent(self) -> bytes:
        """The file, or what was typed, or what the preview sends back."""
        files = self.request.files.get("file", [])
        if files and files[0].body:
            return bytes(files[0].body)
        return self.field("text", MAX_ROSTER_BYTES + 1).encode()

    async def _links(self, people: list[User]) -> list[tuple[str, str, str]]:
        made = []
        for user in people:
            secret = await self.services.invitations.create_for(user, self.identity.user.id, self.address)
            made.append((user.name, user.email or "", self.absolute(f"/hub/invitation/{secret}")))
        return made

    async def _show(
        self,
        *,
        found: Plan | None = None,
        text: bytes = b"",
        group: str = "",
        exact: bool = False,
        error: HubError | None = None,
        followed: Plan | None = None,
        links: list[tuple[str, str, str]] | None = None,
    ) -> None:
        async with self.services.store.reading() as unit:
            groups = await unit.groups.page(0, 500, within=self.identity.reach(Scope.GROUPS))
        self.show(
            "roster.html",
            error.status if error else 200,
            found=found,
            kinds=_kinds(found) if found else [],
            most=MAX_SHOWN,
            text=_text(text),
            group=group,
            groups=groups,
            exact=exact,
            may_add=self.identity.may(Scope.ADMIN_USERS),
            problem=error.message if error else "",
            followed=followed,
            links=links or [],
            links_csv=_csv(links or []),
        )


def _kinds(found: Plan) -> list[tuple[str, str, list[Step]]]:
    """What the preview shows: a heading and its tone for each kind of change that there is."""
    words = {
        Change.ADD: ("New people", "good"),
        Change.ENTER: ("Come into a group", "good"),
        Change.OWN: ("Become owners", "warn"),
        Change.DESCRIBE: ("Get another name or address", "warn"),
        Change.LEAVE: ("Leave the group", "bad"),
    }
    return [(*words[change], steps) for change in words if (steps := found.of(change))]


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _csv(links: list[tuple[str, str, str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([("username", "email", "link"), *links])
    return out.getvalue() if links else ""
