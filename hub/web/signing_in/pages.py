"""Signing in and out, and the two one-time links: first administrator, and setting a password."""

from __future__ import annotations

from hub.domain.ids import SignInId
from hub.domain.users import User
from hub.errors import BadRequest, Conflict, Forbidden, HubError, PasswordRefused, TooManyRequests, WrongPassword
from hub.http.redirect import safe_redirect
from hub.web.page import PageHandler, lab_path
from hub.web.signing_in.gateway import gateway_assertion
from hub.web.signing_in.oidc import provider_logout_address
from hub.web.signing_in.second_factor import PasswordDoor


class SignInPage(PasswordDoor):
    """``/hub/login``."""

    async def get(self) -> None:
        """Show the form; who is signed in already, or by a gateway, goes where they wanted to."""
        wanted = self.get_query_argument("next", "")
        if self.found_identity is not None:
            self.redirect(safe_redirect(wanted, "/hub/home"))
            return
        assertion = gateway_assertion(self.services.settings.header_sign_in, self.request.headers)
        if assertion is not None:
            may_be_new = self.services.settings.header_sign_in.new_users
            user = await self.services.arrivals.arrive(assertion, self.address, may_be_new=may_be_new)
            await self.begin_sign_in(user, assertion)
            self.redirect(safe_redirect(wanted, lab_path(user)))
            return
        signed_out = bool(self.get_query_argument("signed_out", ""))
        self._show(wanted, signed_out=signed_out)

    async def post(self) -> None:
        """Sign in; on failure the form again, with one sentence."""
        name, wanted = self.field("username"), self.field("next", 8192)
        if not self.services.settings.password_sign_in:
            raise Forbidden("People sign in by a provider here, not with a password of the hub.")
        try:
            user = await self.services.passwords.check(name, self.field("password"), self.address)
        except (WrongPassword, TooManyRequests) as error:
            if isinstance(error, TooManyRequests):
                self.set_header("Retry-After", str(error.retry_after_seconds))
            self._show(wanted, name=name[:64], problem=error.message, status=error.status)
            return
        await self.after_password(user, wanted)

    def _show(
        self, wanted: str, *, name: str = "", problem: str = "", signed_out: bool = False, status: int = 200
    ) -> None:
        target = safe_redirect(wanted, "")
        settings = self.services.settings
        self.show(
            "login.html",
            status,
            next=target,
            name=name,
            problem=problem,
            signed_out=signed_out,
            providers=self.services.providers.offers(),
            password_sign_in=settings.password_sign_in,
            may_register=self.services.registrations.rule != "closed" and settings.password_sign_in,
        )


class SignOutPage(PageHandler):
    """``/hub/logout``. A GET changes nothing: any page could make a browser send one."""

    def get(self) -> None:
        """Ask. Where one of our own pages led here, such as JupyterLab's menu, the page answers by itself."""
        self.show("logout.html", now_please=self.request.headers.get("Sec-Fetch-Site") == "same-origin")

    async def post(self) -> None:
        """End this sign-in, in the database and in the browser; its tabs and sockets die with it."""
        identity = self.identity
        if not identity.xsrf:
            self.redirect("/hub/login?signed_out=1")
            return
        sign_in_id = SignInId(identity.principal)
        sign_in = await self.services.sign_ins.get(sign_in_id)
        address = await provider_logout_address(self, sign_in_id)
        await self.services.sign_ins.revoke(identity.user, sign_in_id, self.address)
        self.end_sign_in_here()
        if address is None:
            self.redirect("/hub/login?signed_out=1")
            return
        shown_name = self.services.providers.shown_name(sign_in.provider or "")
        self.show("leaving.html", address=address, provider=shown_name)


class _LinkPage(PasswordDoor):
    """A one-time link that ends in a password and a sign-in."""

    heading = ""
    explanation = ""
    button = ""
    fixed_name = False

    async def name_for(self, secret: str) -> str:
        """The user name to show, empty if it is to be chosen. Raises LinkExpired."""
        raise NotImplementedError

    async def accept(self, secret: str, name: str, password: str) -> User:
        """Use the link up."""
        raise NotImplementedError

    async def get(self, secret: str) -> None:
        """Show the form; the link stays usable."""
        self._show(await self.name_for(secret))

    async def post(self, secret: str) -> None:
        """Set the password and sign in; a mistake shows the form again and leaves the link usable."""
        name = await self.name_for(secret) or self.field("username")
        try:
            self._check_typed_twice()
            user = await self.accept(secret, name, self.field("password"))
        except (PasswordRefused, BadRequest, Conflict) as error:
            self._show(name[:64], error)
            return
        await self.after_password(user, lab_path(user))

    def _check_typed_twice(self) -> None:
        if self.field("password") != self.field("again"):
            raise BadRequest("The two passwords are not the same.")

    def _show(self, name: str, error: HubError | None = None) -> None:
        self.show(
            "set_password.html",
            error.status if error else 200,
            heading=self.heading,
            explanation=self.explanation,
            button=self.button,
            fixed_name=self.fixed_name,
            name=name,
            problem=error.message if error else "",
        )


class SetupPage(_LinkPage):
    """``/hub/setup/<secret>``: the first administrator chooses name and password."""

    heading = "Welcome"
    explanation = "You are about to become this hub's first administrator. Choose a name and a password."
    button = "Create the administrator"

    async def name_for(self, secret: str) -> str:
        """See _LinkPage."""
        await self.services.invitations.check_setup(secret)
        return ""

    async def accept(self, secret: str, name: str, password: str) -> User:
        """See _LinkPage."""
        return await self.services.invitations.accept_setup(secret, name, password, self.address)


class InvitationPage(_LinkPage):
    """``/hub/invitation/<secret>``: a user whom an administrator added sets a password."""

    heading = "Choose a password"
    explanation = "With it you sign in from now on."
    button = "Set password and sign in"
    fixed_name = True

    async def name_for(self, secret: str) -> str:
        """See _LinkPage."""
        return (await self.services.invitations.invited(secret)).name

    async def accept(self, secret: str, name: str, password: str) -> User:
        """See _LinkPage."""
        return await self.services.invitations.accept(secret, password, self.address)
