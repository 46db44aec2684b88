"""Following a link to a repository: ``/user/<name>/git-pull?repo=…`` and the page that shows how far it is.

Following the link changes nothing yet: the page says what will be fetched and where to, and has the form that begins
it, with the token of the sign-in as every form. Where the administrators said which hosts links may lead to, the page
sends it by itself. Elsewhere its reader has to: any page of the web can lead there, and code that lies in a home is
what ``import`` finds. The program runs in the user's container; what it says is shown as text, never believed.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from hub.errors import BadRequest, HubError, NotFound
from hub.http.user_handler import UserHandler
from hub.web.git_links import FIELDS, MAX_ADDRESS_CHARS, GitLink, read_link
from hub.web.page import PageHandler

PROGRAM = "git_pull"
LINES_SHOWN = 12
MAX_CHARS = 128 * 1024
MAX_LINES = 2_000
"""So much of the end of what a job said is looked at: an agent may say megabytes, again and again, to stop the hub."""
Text = Annotated[str, msgspec.Meta(max_length=2000)]
Names = Annotated[list[Text], msgspec.Meta(max_length=20)]


class Event(msgspec.Struct, frozen=True):
    """A line of what the program says; see hub/agent/programs/git_pull.py."""

    text: Text = ""
    percent: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    done: bool = False
    failed: Text = ""
    message: Text = ""
    moved: Names = []
    merged: Names = []
    kept: Names = []


class Progress(msgspec.Struct, frozen=True):
    """How far it is, for the page. `state`: starting, running, done or failed."""

    state: str
    text: str = ""
    percent: int | None = None
    lines: list[str] = []
    message: str = ""
    moved: list[str] = []


class _GitPage(UserHandler, PageHandler):
    """Base of both pages: only the user whose name is in the path."""

    page = True

    def link(self) -> GitLink:
        """The link that was followed, from the query. Raises BadRequest."""
        return read_link(lambda name: self.get_query_argument(name, ""), self.services.settings.git_pull_hosts)

    def show_failure(self, error: HubError) -> None:
        """Say why nothing can be fetched, and what is left to do."""
        progress = Progress("failed", message=error.message)
        self.show("git_pull.html", error.status, link=None, progress=progress, again="", **self.places(None))

    def places(self, link: GitLink | None) -> dict[str, Any]:
        """Where the page's buttons lead."""
        return {"files_url": self.base_url + "lab", "open_url": self.base_url + (link.place if link else "lab")}


class GitPullPage(_GitPage):
    """``/user/<name>/git-pull?repo=…``."""

    def get(self, _name: str) -> None:
        """Say what the link asks for, and begin."""
        try:
            link = self.link()
        except BadRequest as error:
            self.show_failure(error)
            return
        fields = {name: self.get_query_argument(name, "")[:MAX_ADDRESS_CHARS] for name in FIELDS}
        self.show(
            "git_pull_begin.html",
            link=link,
            fields={name: value for name, value in fields.items() if value},
            action=self.base_url + "git-pull",
            begins_itself=bool(self.services.settings.git_pull_hosts),
            **self.places(link),
        )

    def post(self, _name: str) -> None:
        """Begin, and go to the page that shows how far it is."""
        settings = self.services.settings
        try:
            link = read_link(lambda name: self.field(name, MAX_ADDRESS_CHARS), settings.git_pull_hosts)
            job_id = self.services.jobs.start_soon(self.identity.user, PROGRAM, link.arguments())
        except HubError as error:
            self.show_failure(error)
            return
        self.redirect(f"{self.base_url}git-pull/{job_id}?{link.without_secrets()}", status=303)


class GitPullProgress(_GitPage):
    """``/user/<name>/git-pull/<job>``: how far it is; asked for again and again by the page that it is."""

    async def get(self, _name: str, job_id: str) -> None:
        """The page, or for htmx only the part that changes; at the end it leads on."""
        try:
            link = self.link()
        except BadRequest as error:
            self.show_failure(error)
            return
        progress = await self._progress(job_id)
        places = self.places(link)
        part = self.request.headers.get("HX-Request") == "true"
        if progress.state == "done" and not progress.moved:
            if part:
                self.set_header("HX-Redirect", places["open_url"])
                self.finish()
            else:
                self.redirect(places["open_url"])
            return
        again = f"{self.base_url}git-pull?{link.without_secrets()}"
        template = "_git_pull_progress.html" if part else "git_pull.html"
        self.show(template, link=link, progress=progress, again=again, **places)

    async def _progress(self, job_id: str) -> Progress:
        try:
            output = await self.services.jobs.look(self.identity.user, job_id)
        except NotFound:
            return Progress("failed", message="This is over: it is not known any more what became of it. Try it again.")
        except HubError as error:
            return Progress("failed", message=error.message)
        if output is None:
            return Progress("starting", text="Your container is starting")
        return read_progress(output.text, output.job.exit_status)


def read_progress(text: str, exit_status: int | None) -> Progress:
    """How far a job is by what it wrote. What is not of the program's shape is passed over; pure."""
    events: list[Event] = []
    for line in text[-MAX_CHARS:].split("\n")[-MAX_LINES:]:
        try:
            events.append(msgspec.json.decode(line, type=Event))
        except (ValueError, RecursionError):
            continue
    last = events[-1] if events else Event(text="Beginning")
    lines = _log(events)
    if last.failed:
        return Progress("failed", lines=lines, message=last.message)
    if last.done:
        return Progress("done", percent=100, lines=lines, moved=last.moved)
    if exit_status is not None:
        return Progress("failed", lines=lines, message="It ended without saying why. Try it again.")
    return Progress("running", last.text, last.percent, lines)


def _log(events: list[Event]) -> list[str]:
    """The last lines for people: of a step that counts its percents only the newest."""
    lines: dict[str, str] = {}
    for event in events:
        if event.text:
            step = event.text.partition(":")[0]
            lines.pop(step, None)
            lines[step] = event.text
    return list(lines.values())[-LINES_SHOWN:]
