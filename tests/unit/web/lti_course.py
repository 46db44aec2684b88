"""A hub and a learning platform that know each other, and what browsers do between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from hub.config.lti import LtiPlatform
from hub.domain.lti import Platform as Registered
from tests.harness.lti_platform import Asked, Platform
from tests.unit.web.conftest import Answer, Browser, Site

FRAME = {"Sec_Fetch_Dest": "iframe", "Sec_Fetch_Site": "cross-site"}
TAB = {"Sec_Fetch_Dest": "document", "Sec_Fetch_Site": "cross-site"}


@dataclass
class Course:
    """What a test of launches needs."""

    site: Site
    platform: Platform
    registered: Registered

    async def announce(self, browser: Browser, user: str, hint: str, **changes: str) -> Answer:
        """The platform announces somebody."""
        fields = {**self.platform.announcement(user, hint), **changes}
        return await browser.get(f"/hub/lti/login?{urlencode(fields)}", **TAB)

    async def asked(self, browser: Browser, user: str, hint: str) -> Asked:
        """What the hub asks the platform then."""
        answer = await self.announce(browser, user, hint)
        assert answer.status == 302, answer.text
        query = parse_qs(urlsplit(answer.location).query)
        return Asked(query["state"][0], query["nonce"][0])

    async def answer(self, browser: Browser, token: str, state: str, **headers: str | None) -> Answer:
        """The platform's answer, as the browser posts it."""
        body = urlencode({"id_token": token, "state": state})
        sent = {"Content_Type": "application/x-www-form-urlencoded", "Origin": self.platform.address, **TAB}
        return await browser.send("POST", "/hub/lti/launch", body, **{**sent, **headers})

    async def launch(self, browser: Browser, user: str, hint: str, **headers: str | None) -> Answer:
        """A whole launch."""
        asked = await self.asked(browser, user, hint)
        token = self.platform.sign(self.platform.claims(user, hint, asked.nonce))
        return await self.answer(browser, token, asked.state, **headers)

    async def attack(self, change: dict[str, Any] | None = None, remove: str = "", **signing: Any) -> Answer:
        """A launch of Sam's whose claims are changed."""
        browser = self.site.browser()
        asked = await self.asked(browser, "sam", "link-1")
        claims = {**self.platform.claims("sam", "link-1", asked.nonce), **(change or {})}
        claims.pop(remove, None)
        return await self.answer(browser, self.platform.sign(claims, **signing), asked.state)

    async def roles(self) -> dict[str, str]:
        """Who is in the course's group, and as what."""
        async with self.site.store.reading() as unit:
            [context] = await unit.lti_courses.list(self.registered.id)
            assert context.group_id is not None
            return {
                subject: role
                for subject, (_, role) in (
                    await unit.lti_courses.roster(
                        context.group_id, self.registered.membership_source, f"lti {self.platform.address}"
                    )
                ).items()
            }


async def know_tool(course: Course) -> None:
    """Give the platform the keys of the hub, which is reached through its proxy only."""
    keys = await course.site.auth.lti.keys.key_set()
    course.platform.tool_keys = lambda: keys


async def make_course(site: Site, platform: Platform) -> Course:
    """Register the platform at the hub, and the hub at the platform, with one link in the course."""
    platform.hub = site.address
    platform.now = lambda: site.clock.now().timestamp()
    given = LtiPlatform(**platform.settings())
    registered = await site.auth.lti.platforms.add("school", given, "hub", "test")
    platform.link("First steps")
    return Course(site, platform, registered)
