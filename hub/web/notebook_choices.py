"""The page on which people choose what their notebook files hold: outputs or not, and a text beside each."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import quote

from hub.contents.service import Contents
from hub.errors import BadRequest, HubError
from hub.notebook_files.choices import STRIPS, Choices, Strip
from hub.notebook_files.pairs import parse_formats
from hub.web.page import PageHandler, lab_path

_ADDRESS = "/hub/home/notebooks"
_DONE = {"all": "Chosen for all your notebooks.", "folder": "Chosen for this folder."}
PAIRS = ("", "ipynb,py:percent", "ipynb,md", "ipynb,md:myst")
MAX_PATH_CHARS = 4096


class NotebookChoicesPage(PageHandler):
    """``/hub/home/notebooks``, and ``?folder=`` for one folder."""

    active = "home"

    @property
    def contents(self) -> Contents:
        """The user's files."""
        return self.services.contents.of(self.identity.user)

    async def get(self) -> None:
        """Show what is chosen."""
        folder = self.get_query_argument("folder", "")[:MAX_PATH_CHARS].strip("/")
        try:
            await self.show_choices(folder, _DONE.get(self.get_query_argument("done", ""), ""))
        except HubError as error:
            await self.show_choices("", error=error)

    async def show_choices(self, folder: str, done: str = "", error: HubError | None = None) -> None:
        """The page, with what was done or what was wrong with a form."""
        user = self.identity.user
        async with self.services.store.reading() as unit:
            sessions = await unit.sessions.list_for(user.id)
        base = lab_path(user).removesuffix("lab")
        notebooks = sorted({one.path for one in sessions if one.type == "notebook" and one.path.endswith(".ipynb")})
        said = await self.contents.look_up_choices(folder) if folder else []
        self.show(
            "notebook_choices.html",
            error.status if error else 200,
            done=done,
            problem=error.message if error else "",
            own=await self.contents.own_choices(),
            folder=folder,
            here=said[0] if said else None,
            said=said,
            pairs=PAIRS,
            open_notebooks=[(path, f"{base}diff?path={quote(path, safe='')}") for path in notebooks[:100]],
        )

    def strip_field(self) -> Strip | None:
        """The choice about outputs in the form; None: as above. Raises BadRequest."""
        value = self.field("strip", 16)
        if value not in ("", *STRIPS):
            raise BadRequest("Choose when outputs are left out.")
        return cast("Strip", value) if value else None

    def pair_field(self) -> str | None:
        """The choice about pairing in the form; None: as above. Raises BadRequest."""
        value = self.field("pair", 64)
        if value == "inherit":
            return None
        parse_formats(value, ".py")
        return value


class ChooseForAll(NotebookChoicesPage):
    """``/hub/home/notebooks/all``."""

    async def get(self) -> None:
        """The form is on the page."""
        self.redirect(_ADDRESS)

    async def post(self) -> None:
        """Keep it."""
        try:
            await self.contents.choose(Choices(strip=self.strip_field(), pair=self.pair_field()))
        except HubError as error:
            await self.show_choices("", error=error)
            return
        self.redirect(f"{_ADDRESS}?done=all")


class ChooseForFolder(NotebookChoicesPage):
    """``/hub/home/notebooks/folder``."""

    async def get(self) -> None:
        """The form is on the page."""
        self.redirect(_ADDRESS)

    async def post(self) -> None:
        """Write it into the folder's files."""
        folder = self.field("folder", MAX_PATH_CHARS).strip("/")
        given: dict[str, Any] = {}
        try:
            if not folder:
                raise BadRequest("Name a folder; for all notebooks use the form above.")
            given = {"strip": self.strip_field(), "pair": self.pair_field()}
            await self.contents.choose_for_folder(folder, **given)
        except HubError as error:
            await self.show_choices("", error=error)
            return
        self.redirect(f"{_ADDRESS}?done=folder&folder={quote(folder, safe='')}")
