"""Administrators' pages about learning platforms."""

from __future__ import annotations

from hub.auth.lti.assemble import Lti
from hub.auth.lti.platforms import CONFIGURATION, Trial
from hub.auth.lti.tool import Tool
from hub.config.lti import LtiPlatform
from hub.domain.lti import Link, Platform
from hub.domain.scopes import Scope
from hub.errors import BadRequest, Conflict, Forbidden, HubError, NotFound, PlatformSilent
from hub.web.admin.page import AdminPage

SCORES_SHOWN = 20
_FIELDS = ("issuer", "client_id", "authorize_url", "token_url", "jwks_url", "audience")


class _PlatformsPage(AdminPage):
    active = "platforms"
    permission = Scope.ADMIN_SETTINGS

    @property
    def lti(self) -> Lti:
        """Everything of learning platforms."""
        return self.services.lti

    @property
    def tool(self) -> Tool:
        """What this hub is to platforms."""
        return Tool(self.absolute(""), self.lti.settings.tool_name)

    async def require_administrator(self) -> None:
        """Refuse whoever does not hold everything. Raises Forbidden, which is audited.

        A platform says who people are: with one's own keys for an issuer whose people the hub knows, one could come in
        as any of them, administrators too.
        """
        if not self.identity.is_admin:
            await self.refuse(Scope.ADMIN_USERS, message="Only administrators change who says who people are.")

    async def show_platforms(self, error: HubError | None = None, link: str = "") -> None:
        """The list, with what went wrong, or a new registration link."""
        async with self.services.store.reading() as unit:
            counts = await unit.lti_courses.counts()
        self.show(
            "lti_platforms.html",
            error.status if error else 200,
            enabled=self.lti.settings.enabled,
            platforms=await self.lti.platforms.list(),
            counts=counts,
            tool=self.tool,
            problem=error.message if error else "",
            done=self.done(),
            link=link,
            typed={name: self.field(name) if error else "" for name in (*_FIELDS, "name", "deployments", "host")},
        )


class PlatformsPage(_PlatformsPage):
    """``/hub/admin/platforms``: which there are, and how to add one."""

    async def get(self) -> None:
        """The list."""
        await self.show_platforms()

    async def post(self) -> None:
        """Add a platform by its addresses; a mistake shows the form again."""
        await self.require_administrator()
        given = self._given()
        actor = self.identity.user.id
        try:
            platform = await self.lti.platforms.add(self.field("name").strip(), given, "hub", actor, self.address)
        except (BadRequest, Conflict) as error:
            await self.show_platforms(error)
            return
        self.redirect(f"/hub/admin/platforms/{platform.id}")

    def _given(self) -> LtiPlatform:
        """The form's values as they are: `Platforms.add` judges them, one mistake at a time, in words."""
        return LtiPlatform.model_construct(
            None,
            issuer=self.field("issuer").strip(),
            client_id=self.field("client_id").strip(),
            authorize_url=self.field("authorize_url").strip(),
            token_url=self.field("token_url").strip(),
            jwks_url=self.field("jwks_url").strip(),
            audience=self.field("audience").strip(),
            deployments=self.field("deployments").replace(",", "\n").split("\n"),
            groups=bool(self.field("groups")),
            frame_origins=self.field("frame_origins").split(),
        )


class InvitePlatform(_PlatformsPage):
    """``/hub/admin/platforms/invite``: a link with which a platform registers itself."""

    async def get(self) -> None:
        """The form is on the list's page."""
        self.redirect("/hub/admin/platforms")

    async def post(self) -> None:
        """Make a link."""
        await self.require_administrator()
        name, host = self.field("name").strip(), self.field("host").strip()
        try:
            secret = await self.lti.registrations.invite(name, host, self.identity.user.id, self.address)
        except (BadRequest, Conflict) as error:
            await self.show_platforms(error)
            return
        await self.show_platforms(link=self.absolute(f"/hub/lti/register/{secret}"))


class RotatePlatformKey(_PlatformsPage):
    """``/hub/admin/platforms/key``: the hub's key towards platforms."""

    async def get(self) -> None:
        """The form is on the list's page."""
        self.redirect("/hub/admin/platforms")

    async def post(self) -> None:
        """Make a new key."""
        await self.lti.keys.rotate(self.identity.user.id, self.address)
        self.redirect("/hub/admin/platforms?done=changed")


class PlatformPage(_PlatformsPage):
    """``/hub/admin/platforms/<id>``: one platform, its courses, links and scores."""

    async def get(self, platform_id: str) -> None:
        """Show it."""
        await self.show_platform(await self.lti.platforms.get(platform_id))

    async def show_platform(
        self, platform: Platform, error: HubError | None = None, trials: list[Trial] | None = None, done: str = ""
    ) -> None:
        """The page, with what was tried and what came of it."""
        async with self.services.store.reading() as unit:
            contexts = await unit.lti_courses.list(platform.id)
            groups = await unit.lti_courses.group_names([context.id for context in contexts])
            links: list[Link] = []
            for context in contexts:
                links += await unit.lti_courses.links(context.id)
            scores = await unit.lti_scores.latest(platform.id, SCORES_SHOWN)
            people = {score.user_id: await unit.users.find(score.user_id) for score in scores}
        self.show(
            "lti_platform.html",
            error.status if error else 200,
            platform=platform,
            fixed=platform.source == CONFIGURATION,
            contexts=contexts,
            groups=groups,
            links=links,
            scores=scores,
            people=people,
            titles={link.id: link.title or link.link for link in links},
            trials=trials or [],
            done=done or self.done(),
            problem=error.message if error else "",
        )


class PlatformAction(PlatformPage):
    """``/hub/admin/platforms/<id>/<action>``."""

    async def get(self, platform_id: str, action: str = "") -> None:
        """The forms are on the platform's page."""
        self.redirect(f"/hub/admin/platforms/{platform_id}")

    async def post(self, platform_id: str, action: str) -> None:
        """Do it; a refusal is shown on the platform's page."""
        platform = await self.lti.platforms.get(platform_id)
        if action in ("deployments", "delete"):
            await self.require_administrator()
        try:
            await self._perform(action, platform)
        except (BadRequest, Conflict, Forbidden, NotFound, PlatformSilent) as error:
            await self.show_platform(platform, error)

    async def _perform(self, action: str, platform: Platform) -> None:
        actor, lti = self.identity.user.id, self.lti
        match action:
            case "test":
                await self.show_platform(platform, trials=await lti.platforms.test(platform))
                return
            case "roster":
                results = await lti.rosters.sync_all(platform, actor, self.address)
                said = "; ".join(f"{title}: {words}" for title, words in results.items())
                await self.show_platform(platform, done=said or "No course has told of a list of members yet.")
                return
            case "deployments":
                chosen = tuple(self.field("deployments").replace(",", "\n").split("\n"))
                await lti.platforms.set_deployments(platform.id, chosen, actor, self.address)
            case "score":
                await self._send_score(actor)
            case "delete":
                await lti.platforms.delete(platform.id, actor, self.address)
                self.redirect("/hub/admin/platforms?done=changed")
                return
        self.redirect(f"/hub/admin/platforms/{platform.id}?done=changed")

    async def _send_score(self, actor: str) -> None:
        async with self.services.store.reading() as unit:
            link = await unit.lti_courses.find_link(self.field("link", 64))
        if link is None:
            raise NotFound("There is no such link.")
        user = await self.services.users.get(self.field("user"))
        try:
            score, most = float(self.field("score", 20)), float(self.field("max", 20))
        except ValueError as error:
            raise BadRequest("A score and its maximum are numbers.") from error
        await self.lti.scores.send(user, link, score, most, self.field("comment"), actor)
        await self.lti.scores.send_due()
