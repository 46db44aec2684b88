"""Deep linking's page: a teacher chooses a notebook or folder of their own, or a repository, for a new link."""

from __future__ import annotations

from typing import Any

from hub.auth.lti.deep_linking import Choice, Response
from hub.contents.models import Model
from hub.domain.lti import TargetKind
from hub.errors import BadRequest, HubError, NotFound
from hub.web.git_links import MAX_ADDRESS_CHARS, read_link
from hub.web.lti.page import LtiPage

MAX_SHOWN = 500
MAX_PATH_CHARS = 1024
_GIT_FIELDS = ("repo", "branch", "urlpath")


async def show_chooser(
    page: LtiPage, choice: Choice, secret: str, folder: str = "", error: HubError | None = None
) -> None:
    """The page, with what is in `folder` of the teacher's files."""
    try:
        listed = (await page.services.contents.of(choice.user).get(folder, type="directory")).content
    except NotFound:
        folder, listed = "", []
    entries = [entry for entry in listed if isinstance(entry, Model)] if isinstance(listed, list) else []
    entries.sort(key=lambda entry: (entry.type != "directory", entry.type != "notebook", entry.name.casefold()))
    page.show(
        "lti_choose.html",
        error.status if error else 200,
        session=secret,
        folder=folder,
        above=folder.rpartition("/")[0],
        entries=entries[:MAX_SHOWN],
        more=len(entries) > MAX_SHOWN,
        accepts_points=choice.accepts_line_item,
        problem=error.message if error else "",
        typed={name: page.field(name) if error else "" for name in (*_GIT_FIELDS, "title", "points")},
        name=choice.user.name,
    )


class LtiChoose(LtiPage):
    """``/hub/lti/choose``: the chooser's form: into another folder, or a choice, or none."""

    def get(self) -> None:
        """Somebody reloaded the page."""
        self.redirect("/hub/home")

    async def post(self) -> None:
        """Do what the button says; a mistake shows the page again."""
        self.require_own_form()
        secret = self.field("session", 128)
        choice = await self.lti.deep_links.get(secret)
        self.allow_frames(choice.platform, choice.return_url)
        folder = self.field("folder", MAX_PATH_CHARS)
        if "open" in self.request.body_arguments:
            await show_chooser(self, choice, secret, self.field("open", MAX_PATH_CHARS))
            return
        try:
            response = await self._respond(choice, secret)
        except (BadRequest, NotFound) as error:
            await show_chooser(self, choice, secret, folder, error)
            return
        self.form_target = " ".join(self.frame_origins)
        self.set_header("Content-Security-Policy", self.content_security_policy())
        self.show("lti_chosen.html", address=response.return_url, jwt=response.jwt)

    async def _respond(self, choice: Choice, secret: str) -> Response:
        if "cancel" in self.request.body_arguments:
            return await self.lti.deep_links.cancel(secret)
        kind, path, title = await self._chosen(choice)
        points = _points(self.field("points", 20)) if self.field("graded") else None
        answer = self.lti.deep_links.answer
        return await answer(secret, self.tool.launch_url, kind, path, self.field("title") or title, points)

    async def _chosen(self, choice: Choice) -> tuple[TargetKind, str, str]:
        if "git" in self.request.body_arguments:
            given: dict[str, str] = {name: self.field(name, MAX_ADDRESS_CHARS) for name in _GIT_FIELDS}
            link = read_link(lambda name: given.get(name, ""), self.services.settings.git_pull_hosts)
            return TargetKind.GIT, link.without_secrets(), link.target.rpartition("/")[2]
        path = self.field("choose", MAX_PATH_CHARS).strip("/")
        if not path or not await self.services.contents.of(choice.user).exists(path):
            raise NotFound("Choose a notebook or a folder that is in your files.")
        return TargetKind.COPY, path, path.rpartition("/")[2].removesuffix(".ipynb")


def _points(text: str) -> float:
    try:
        points: Any = float(text)
    except ValueError:
        points = 0.0
    if not 0 < points <= 1_000_000:
        raise BadRequest("The points are a number above 0.")
    return float(points)
