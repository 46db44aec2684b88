"""A user's own pages: container and kernels, sign-ins, password, API tokens."""

from __future__ import annotations

from typing import Any

from hub.auth.tokens import parse_lifetime
from hub.domain.ids import SignInId, TokenId
from hub.domain.workspace import WorkspaceState
from hub.errors import BadRequest, Conflict, HubError, PasswordRefused, TooManyRequests, WrongPassword
from hub.web.page import PageHandler, lab_path

_DONE = {
    "stopped": "Your container was stopped.",
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
            principal=self.identity.principal,
            sign_ins=await services.sign_ins.list(user),
            tokens=await services.tokens.list(user),
            **await self.workspace_values(),
        )

    async def workspace_values(self) -> dict[str, Any]:
        """The user's container and kernels; where they cannot be known, a sentence that says so."""
        user, services = self.identity.user, self.services
        workspaces = await services.workspaces.list_for(user)
        running = [w for w in workspaces if w.state is not WorkspaceState.STOPPED]
        values: dict[str, Any] = {"workspace": next(iter([*running, *workspaces]), None), "kernels": []}
        try:
            return {**values, "kernels": await services.kernels.list(user), "problem": ""}
        except HubError as error:
            return {**values, "problem": error.message}


class HomeWorkspace(HomePage):
    """``/hub/home/workspace``: the part of the home page that changes by itself."""

    async def get(self) -> None:
        """Show the part alone."""
        self.show("_workspace.html", **await self.workspace_values())


class StopMine(PageHandler):
    """``/hub/home/stop``."""

    async def post(self) -> None:
        """Stop the user's containers."""
        user = self.identity.user
        for workspace in await self.services.workspaces.list_for(user):
            if workspace.state is not WorkspaceState.STOPPED:
                await self.services.workspaces.stop(workspace.id, "stopped by its user", actor=user.id)
        self.redirect("/hub/home?done=stopped")


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
