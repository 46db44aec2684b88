"""A user's own pages: container and kernels, sign-ins, password."""

from __future__ import annotations

from typing import Any

from hub.domain.ids import KernelId, SignInId
from hub.domain.views import View
from hub.domain.workspace import WorkspaceState
from hub.errors import BadRequest, HubError, NotFound, PasswordRefused, TooManyRequests, WrongPassword
from hub.http.services import Services
from hub.live.picture import Place
from hub.web.account.my_containers import my_containers
from hub.web.account.my_past import my_past
from hub.web.lines import lines_of_place
from hub.web.live_stream import LiveAction, LiveStream, Parts
from hub.web.page import PageHandler, lab_path
from hub.web.rendering import macros, render
from hub.workspaces.profiles import profiles_of

REDRAW_TICKS = 15
_DONE = {
    "starting": "Your container is starting.",
    "kept": "It is kept for longer.",
    "kernel-interrupted": "The kernel was interrupted.",
    "kernel-stopped": "The kernel was stopped.",
    "kernel-restarted": "The kernel was restarted.",
    "stopped": "Your containers were stopped.",
    "stopped-one": "The container was stopped.",
    "signed-out": "That browser is signed out.",
    "password": "Your password is changed; every other browser is signed out.",
}


class HomePage(PageHandler):
    """``/hub/home``."""

    active = "home"

    async def get(self) -> None:
        """Show it."""
        await self.show_home(_DONE.get(self.get_query_argument("done", ""), ""))

    async def show_home(self, done: str = "", error: HubError | None = None) -> None:
        """The page, with what was done or what was wrong with a form."""
        user, services = self.identity.user, self.services
        self.show(
            "home.html",
            error.status if error else 200,
            done=done,
            problem_form=error.message if error else "",
            lab_url=lab_path(user),
            files_url=f"{lab_path(user).removesuffix('lab')}directories/",
            principal=self.identity.principal,
            sign_ins=await services.sign_ins.list(user),
            standing=await services.quotas.standing(user),
            tokens=await services.tokens.list(user),
            figures=await self.figures(is_opened=True),
            past=await my_past(services, user),
            past_views=await self.past_views(),
            **await self.containers(),
        )

    async def containers(self) -> dict[str, Any]:
        """The values of ``_workspace.html``."""
        return await my_containers(self.services, self.identity.user)

    async def past_views(self) -> list[View]:
        """Who looked at the user's files."""
        async with self.services.store.reading() as unit:
            return await unit.views.list_for(self.identity.user.id, 5)

    async def figures(self, *, is_opened: bool = False) -> dict[str, str]:
        """The page's changing figures: what each container uses, and what the files take."""
        live, user, template = self.services.live, self.identity.user, macros("_my_figures.html")
        shown = {f"use-{place.workspace.id}": template.use(place) for place in await live.places_of(user.id)}
        size = await live.sizes.look(user) if is_opened else live.sizes.find(user)
        shown["size"] = template.size_of(size, self.services.clock.now())
        return shown


class HomeWorkspace(HomePage):
    """``/hub/home/workspace``: the user's containers alone."""

    async def get(self) -> None:
        """Show the part."""
        self.show("_workspace.html", figures=await self.figures(), **await self.containers())


class HomeEvents(LiveStream, HomePage):
    """``/hub/home/events``: what changes on the home page, as server-sent events.

    Figures come from the picture that all share. The part with the containers is drawn anew only when it says something
    else, or after `REDRAW_TICKS`, since for that the user's own agents are asked.
    """

    page = False
    _drawn: str = ""
    _of: object = None
    _age = 0

    async def parts(self) -> Parts:
        """See LiveStream."""
        user = self.identity.user
        places = await self.services.live.places_of(user.id)
        state = [(_outline(place), _warnings(self.services, place)) for place in places]
        start = [self.services.live.start_of(user.id, name) for name in self.services.running.profiles]
        self._age += 1
        if self._of != (state, start) or self._age >= REDRAW_TICKS:
            self._of, self._age = (state, start), 0
            values = {**self.common_values(), **await self.containers()}
            self._drawn = render("_workspace.html", figures={}, **values)
        return Parts({"workspace": self._drawn, **await self.figures()})


def _outline(place: Place) -> object:
    """What of a container makes the page look different."""
    kernels = [
        (seen.kernel.id, seen.health.state, seen.health.words, seen.serves, seen.connections) for seen in place.kernels
    ]
    return place.workspace.state, place.workspace.paused_at, kernels, place.is_silent


def _warnings(services: Services, place: Place) -> object:
    """What is warned of, and how often it was put off."""
    _, decisions = services.culler.decisions_for([place.workspace.id])
    return [(one.kernel_id, one.is_warned, one.facts.standing.times) for one in decisions]


class HomeLines(PageHandler):
    """``/hub/home/lines/<workspace>``: half an hour of one of the user's own containers."""

    page = False

    async def get(self, workspace_id: str) -> None:
        """Figures, as NowLines gives them. Raises NotFound for another's."""
        places = await self.services.live.places_of(self.identity.user.id)
        place = next((each for each in places if each.workspace.id == workspace_id), None)
        self.write_json(lines_of_place(place))


class StartMine(PageHandler):
    """``/hub/home/start``."""

    async def post(self) -> None:
        """Start the container of a profile, the default one if none is named; the page shows how far it is."""
        user = self.identity.user
        profiles = profiles_of(self.services.running, user)
        wanted = self.field("profile", 64) or next(iter(profiles))
        if wanted not in profiles:
            raise NotFound("There is no such profile for you.")
        self.services.workspaces.ensure_soon(user, wanted)
        self.services.live.forget()
        self.redirect("/hub/home?done=starting")


class MyKernelAction(LiveAction, PageHandler):
    """``/hub/home/kernels/<id>/<action>``: interrupt, restart or stop one of the user's own kernels."""

    access = PageHandler.access
    permission = PageHandler.permission

    async def post(self, kernel_id: str, action: str) -> None:
        """Do it. Raises NotFound for another's."""
        user, kernels = self.identity.user, self.services.kernels
        if action == "interrupt":
            await kernels.interrupt(user, KernelId(kernel_id))
            self.tell_done("The kernel was interrupted.", "/hub/home?done=kernel-interrupted")
            return
        if action == "stop":
            await kernels.shutdown(user, KernelId(kernel_id))
            self.tell_done("The kernel was stopped.", "/hub/home?done=kernel-stopped")
            return
        await kernels.restart(user, KernelId(kernel_id))
        self.tell_done("The kernel was restarted.", "/hub/home?done=kernel-restarted")


class StopMine(PageHandler):
    """``/hub/home/stop``."""

    async def post(self) -> None:
        """Stop the container that `workspace` names, or all of the user's without it."""
        user, wanted = self.identity.user, self.field("workspace", 64)
        workspaces = await self.services.workspaces.list_for(user)
        chosen = [workspace for workspace in workspaces if wanted in ("", workspace.id)]
        if wanted and not chosen:
            raise NotFound("There is no such container of yours.")
        for workspace in chosen:
            if workspace.state is not WorkspaceState.STOPPED:
                await self.services.workspaces.stop(workspace.id, "stopped by its user", actor=user.id)
        self.services.live.forget()
        self.redirect("/hub/home?done=" + ("stopped-one" if wanted else "stopped"))


class EndSignIn(PageHandler):
    """``/hub/home/sign-ins/<id>/end``."""

    async def post(self, sign_in_id: str) -> None:
        """Sign one of the user's browsers out."""
        await self.services.sign_ins.revoke(self.identity.user, SignInId(sign_in_id), self.address)
        self.redirect("/hub/home?done=signed-out")


class SignOutEverywhere(PageHandler):
    """``/hub/home/sign-out-everywhere``."""

    async def post(self) -> None:
        """End all sign-ins, this one included."""
        user = self.identity.user
        await self.services.sign_ins.revoke_all(user.id, user.id, self.address)
        self.end_sign_in_here()
        self.redirect("/hub/login?signed_out=1")


class ChangePassword(HomePage):
    """``/hub/home/password``."""

    async def get(self) -> None:
        """The form is on the home page."""
        self.redirect("/hub/home")

    async def post(self) -> None:
        """Change it, end all sign-ins, and begin a new one here."""
        user = self.identity.user
        try:
            if self.field("password") != self.field("again"):
                raise BadRequest("The two new passwords are not the same; nothing was changed.")
            current, new = self.field("current"), self.field("password")
            await self.services.passwords.change(user, current, new, self.address)
        except WrongPassword:
            await self.show_home(error=WrongPassword("The current password is wrong; nothing was changed."))
            return
        except (BadRequest, PasswordRefused, TooManyRequests) as error:
            await self.show_home(error=error)
            return
        await self.begin_sign_in(user)
        self.redirect("/hub/home?done=password")
