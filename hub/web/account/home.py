"""A user's own pages: container and kernels, sign-ins, password, API tokens."""

from __future__ import annotations

from typing import Any

from hub.auth.tokens import parse_lifetime
from hub.domain.ids import SignInId, TokenId
from hub.domain.workspace import WorkspaceState
from hub.errors import BadRequest, Conflict, HubError, NotFound, PasswordRefused, TooManyRequests, WrongPassword
from hub.web.account.my_containers import my_containers
from hub.web.page import PageHandler, lab_path

_DONE = {
    "stopped": "Your containers were stopped.",
    "stopped-one": "The container was stopped.",
    "signed-out": "That browser is signed out.",
    "password": "Your password is changed; every other browser is signed out.",
    "revoked": "The token is revoked.",
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
            tokens=await services.tokens.list(user),
            **await my_containers(services, user),
        )


class HomeWorkspace(HomePage):
    """``/hub/home/workspace``: the part of the home page that changes by itself."""

    async def get(self) -> None:
        """Show the part alone."""
        self.show("_workspace.html", **await my_containers(self.services, self.identity.user))


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


class TokensPage(PageHandler):
    """``/hub/token``."""

    active = "tokens"

    async def get(self) -> None:
        """List the user's tokens."""
        await self._show(done=_DONE.get(self.get_query_argument("done", ""), ""))

    async def post(self) -> None:
        """Create one and show its value, this once."""
        user = self.identity.user
        try:
            lifetime = parse_lifetime(self.field("expires", 16))
            token, value = await self.services.tokens.create(
                user, self.field("name"), lifetime, actor=user.id, address=self.address
            )
        except (BadRequest, Conflict) as error:
            await self._show(error=error)
            return
        await self._show(value=value, new_token=token)

    async def _show(self, done: str = "", error: HubError | None = None, **created: Any) -> None:
        user = self.identity.user
        self.show(
            "tokens.html",
            error.status if error else 200,
            done=done,
            problem=error.message if error else "",
            tokens=await self.services.tokens.list(user),
            base_address=self.absolute(lab_path(user).removesuffix("lab")),
            **{"value": "", "new_token": None, **created},
        )


class RevokeToken(PageHandler):
    """``/hub/token/<id>/revoke``."""

    async def post(self, token_id: str) -> None:
        """Revoke one of the user's tokens."""
        user = self.identity.user
        await self.services.tokens.revoke(user, TokenId(token_id), actor=user.id, address=self.address)
        self.redirect("/hub/token?done=revoked")
