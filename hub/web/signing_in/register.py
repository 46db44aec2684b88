"""``/hub/register``: people make an account themselves, where the settings let them."""

from __future__ import annotations

from hub.auth.registrations import Wish
from hub.errors import BadRequest, Conflict, HubError, NotFound, PasswordRefused, TooManyRequests
from hub.web.page import lab_path
from hub.web.signing_in.second_factor import PasswordDoor

_NOTHING = Wish("", "")


class RegisterPage(PasswordDoor):
    """The form, and what becomes of it."""

    async def get(self) -> None:
        """Show the form."""
        self._require_open()
        self._show(_NOTHING)

    async def post(self) -> None:
        """Make the account, or let it wait for an administrator's word; a mistake shows the form again."""
        self._require_open()
        wish = Wish(
            name=self.field("username"),
            password=self.field("password"),
            display_name=self.field("display_name"),
            email=self.field("email"),
            message=self.field("message"),
        )
        try:
            if wish.password != self.field("again"):
                raise BadRequest("The two passwords are not the same.")
            user = await self.services.registrations.ask(wish, self.address)
        except (PasswordRefused, BadRequest, Conflict, TooManyRequests) as error:
            if isinstance(error, TooManyRequests):
                self.set_header("Retry-After", str(error.retry_after_seconds))
            self._show(wish, error)
            return
        if user is not None:
            await self.after_password(user, lab_path(user))
            return
        self._show(_NOTHING, waiting=True)

    def _require_open(self) -> None:
        if self.services.registrations.rule == "closed" or not self.services.settings.password_sign_in:
            raise NotFound("Nobody can register here; ask an administrator for an account.")

    def _show(self, typed: Wish, error: HubError | None = None, waiting: bool = False) -> None:
        self.show(
            "register.html",
            error.status if error else 200,
            problem=error.message if error else "",
            typed=typed,
            waiting=waiting,
            approval=self.services.registrations.rule == "approval",
        )
