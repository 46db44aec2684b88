"""Launches: somebody is announced, comes, and goes on to what the link leads to."""

from __future__ import annotations

import functools

from hub.auth.lti.arriving import Arrival
from hub.auth.lti.launches import Answered, CookieMissing
from hub.errors import LaunchRefused
from hub.web.lti.chooser import show_chooser
from hub.web.lti.copies import copy_for
from hub.web.lti.page import LtiPage
from hub.web.lti.places import local_target, place_of

_ERROR_CHARS = 100


class LtiLogin(LtiPage):
    """``/hub/lti/login``: a platform announces somebody (GET or POST); they are sent back to say who they are."""

    async def get(self) -> None:
        """Ask the platform."""
        target = self.sent("target_link_uri")
        own = (self.tool.launch_url, self.tool.origin)
        if target and target.rstrip("/") not in own and not local_target(target, self.tool.origin):
            raise LaunchRefused("The link leads to an address that is not this hub's.", "a foreign target_link_uri")
        question = await self.lti.launches.begin(self.sent, self.tool.launch_url, self.browser_cookie())
        self.set_browser_cookie(question.cookie)
        self.redirect_outside(question.address)

    async def post(self) -> None:
        """See `get`."""
        await self.get()


class LtiLaunch(LtiPage):
    """``/hub/lti/launch``: a platform says who it is."""

    def get(self) -> None:
        """Somebody opened the address by hand."""
        self.redirect("/hub/home")

    async def post(self) -> None:
        """Believe it or not, and go on: here, or from a frame in a tab of its own."""
        state = self.sent("state", 128)
        self.allow_frames(await self.lti.launches.platform_of(state))
        if code := self.sent("error", _ERROR_CHARS):
            said = code if code.isascii() and code.isprintable() else "an error"
            raise LaunchRefused(f"The learning platform did not sign you in: it answered {said}.", said)
        try:
            answered = await self.lti.launches.believe(
                state, self.sent("id_token"), self.browser_cookie(), self.address
            )
        except CookieMissing as error:
            if not self.is_framed() or not error.retry:
                raise
            # A link, not a form: browsers apply `form-action` to where a form's answer leads, too.
            self.show("lti_again.html", fields={name: value for name, value in error.retry.items() if value})
            return
        place = functools.partial(place_of, origin=self.tool.origin)
        arrival = await self.lti.arriving.arrive(answered, place, self.address)
        deep_linking = answered.launch.deep_linking
        self.allow_frames(
            answered.platform, answered.launch.return_url, deep_linking.return_url if deep_linking else ""
        )
        if deep_linking is not None:
            secret = await self.lti.deep_links.begin(answered, arrival)
            await show_chooser(self, await self.lti.deep_links.get(secret), secret)
            return
        await self._go_on(answered, arrival)

    async def _go_on(self, answered: Answered, arrival: Arrival) -> None:
        if arrival.target is not None:
            await copy_for(self.services, arrival.target, arrival.user)
        if self.is_framed():
            code = await self.lti.handoffs.give(arrival.user, arrival.assertion, arrival.place)
            title = answered.launch.link_title or answered.launch.context_title
            self.show("lti_continue.html", code=code, title=title, name=arrival.user.name)
            return
        await self.begin_sign_in(arrival.user, arrival.assertion, proves_presence=True)
        self.redirect(arrival.place)


class LtiContinue(LtiPage):
    """``/hub/lti/continue``: a launch that came in a frame goes on in a tab of its own."""

    def get(self) -> None:
        """Somebody reloaded the tab."""
        self.redirect("/hub/home")

    async def post(self) -> None:
        """Use the code up, sign in, and go on."""
        self.require_own_form()
        if self.is_framed():
            raise LaunchRefused("This goes on in a tab of its own; your browser opened it in a frame.")
        user, assertion, place = await self.lti.handoffs.take(self.field("code", 128))
        await self.begin_sign_in(user, assertion, proves_presence=True)
        self.redirect(place)
