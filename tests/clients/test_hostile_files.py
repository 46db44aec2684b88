"""Hostile files and notebooks, opened every way there is by an administrator who sits there: they get nothing.

What they got is told by the browser (`tests.clients.hostile.watch`) and, at the end, by the hub's own records.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Error, FrameLocator, Page, TimeoutError, expect

from tests.clients.hostile.deed import ELSEWHERE, deed
from tests.clients.hostile.files import hostile_files
from tests.clients.hostile.notebooks import hostile_notebooks, notebook, trusted_script
from tests.clients.hostile.watch import HostileWatch
from tests.harness.accounts import PASSWORD, Account, add_account, audit, in_thread, services
from tests.harness.browser import Person
from tests.harness.client import HubClient
from tests.harness.plain_http import ask
from tests.harness.running import RunningHub, running_hub

pytestmark = [pytest.mark.browser]

CLICKABLE = (
    "a, button, input, area, summary, rect, [data-commandlinker-command], .MathJax, mjx-container *[href], mjx-mtr"
)
STAY = f"""addEventListener("click", event => {{
  const link = event.target.closest("a");
  if (link?.href === "{ELSEWHERE}/opener" && !link.target) event.preventDefault();
}}, true)"""
"""An honest link, as MathJax 2 makes one in the page itself: who follows it leaves the page, and knows it."""
SEVENTH = ("06-forms", "11-scripts", "12-diagrams")
"""The notebooks that are opened in Notebook 7 in place of JupyterLab."""
WANTED = (
    "user.deleted",
    "user.role",
    "user.disabled",
    "group.",
    "token.created_by",
    "sign_in.ended",
    "password.changed",
)
CELLS = ".jp-RenderedMarkdown, .jp-OutputArea-output, .rendered_html, .output_area"


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process") as hub:
        yield hub


@pytest.fixture(scope="module")
def names(hub: RunningHub) -> list[str]:
    return list(hostile_files(hub.address, "root1"))


@pytest.fixture(scope="module")
def notebooks(hub: RunningHub) -> list[str]:
    return list(hostile_notebooks(hub.address, "root1"))


@pytest.fixture(scope="module")
def root(hub: RunningHub) -> Account:
    """The victim; both homes hold everything."""
    root, mallory = add_account(hub, "root1", admin=True), add_account(hub, "mallory")
    for account in (root, mallory):
        assert ask(hub.address, f"/user/{account.name}/api/contents", token=account.token).status == 200
        fill(hub, account.home)
    return root


def fill(hub: RunningHub, home: Path) -> None:
    """Files in h, notebooks in n, and one notebook of all cells, which keeps to the format."""
    for folder in ("h", "n"):
        (home / folder).mkdir()
    for name, data in hostile_files(hub.address, "root1").items():
        (home / "h" / name).write_bytes(data)
    made = hostile_notebooks(hub.address, "root1")
    for name, content in made.items():
        (home / "n" / name).write_text(json.dumps(content))
    metadata: dict[str, Any] = {}
    for content in made.values():
        metadata |= content["metadata"]
    everything = notebook(*(cell for content in made.values() for cell in content["cells"]), **metadata)
    for cell in everything["cells"]:
        cell["metadata"].pop("collapsed", None)
    (home / "all.ipynb").write_text(json.dumps(everything))
    (home / "trusted.ipynb").write_text(json.dumps(trusted_script(hub.address, "root1")))
    (home / "precious-evil.txt").write_text("mine")
    owner = home.stat()
    for path in home.rglob("*"):
        os.chown(path, owner.st_uid, owner.st_gid)


@pytest.fixture(scope="module")
def victim(hub: RunningHub, root: Account, browser: Browser) -> Iterator[Person]:
    """The administrator, whose first tab is an administrators' page."""
    person = Person(browser, hub.address, "root1")
    person.sign_in(PASSWORD, expect_lab=False)
    person.prove_presence(PASSWORD, "/hub/admin/people")
    yield person
    person.close()


@pytest.fixture(scope="module")
def watch(victim: Person) -> HostileWatch:
    return HostileWatch(victim.context, victim.address)


@pytest.fixture
def page(victim: Person, watch: HostileWatch) -> Iterator[Page]:
    page = victim.context.new_page()
    yield page
    for opened in set(victim.context.pages) - {victim.page}:
        opened.close()


def visit(page: Page, watch: HostileWatch, address: str) -> None:
    """Open an address, as a page or as a download, and let what runs there come to its end."""
    try:
        page.goto(address, wait_until="commit")
    except Error as error:
        assert "Download is starting" in error.message or "ERR_ABORTED" in error.message, (address, error.message)
        return
    with contextlib.suppress(TimeoutError):  # a page may see to it itself that it is never loaded
        page.wait_for_load_state("load", timeout=500)
    watch.settle(page)


def test_the_watch_sees_what_a_script_on_the_hubs_origin_gets(hub: RunningHub, root: Account, browser: Browser) -> None:
    mallory = Person(browser, hub.address, "mallory")
    mallory.sign_in(PASSWORD, expect_lab=False)
    watch = HostileWatch(mallory.context, hub.address)
    body = f"<script>{deed('control', hub.address, 'mallory')}</script>"
    mallory.context.route("**/control.html", lambda route: route.fulfill(body=body, content_type="text/html"))
    visit(mallory.page, watch, f"{hub.address}/user/mallory/control.html")
    found = "\n".join(watch.problems())
    for expected in (
        "ran on",
        "got cookie",
        "got cookie-set",
        "got storage",
        "got read-files",
        "dialog",
    ):
        assert expected in found
    assert "read-user" not in found, "not even there may a script call the hub's API by the cookie alone"
    mallory.close()


@pytest.mark.parametrize("way", ["files/h/{}", "files/h/{}?download=1", "view/h/{}", "api/contents/h/{}", "edit/h/{}"])
def test_a_hostile_file_gets_nothing(page: Page, watch: HostileWatch, names: list[str], way: str) -> None:
    base = f"{watch.hub}/user/root1"
    if way.startswith("edit"):
        names = [name for name in names if "<" in name or "{{" in name]
    for name in names:
        visit(page, watch, f"{base}/{way.format(quote(name))}")
    if way == "files/h/{}":
        assert len(watch.ran()) > 10, "in their own origin scripts do run: else this test would show nothing"
    assert watch.problems() == []


def test_files_that_are_embedded_get_nothing_from_the_page_around_them(
    page: Page, watch: HostileWatch, names: list[str]
) -> None:
    addresses = [f"{watch.hub}/user/root1/files/h/{quote(name)}" for name in names]
    kinds = (("iframe", "src"), ("object", "data"), ("embed", "src"), ("img", "src"))
    body = "".join(f'<{kind} {name}="{address}"></{kind}>' for address in addresses for kind, name in kinds)
    page.route("**/around.html", lambda route: route.fulfill(body=body, content_type="text/html"))
    visit(page, watch, f"{watch.hub}/user/root1/around.html")
    assert len(watch.ran()) > 10
    assert watch.problems() == []


@pytest.mark.parametrize("kind", ["html", "slides", "markdown"])
def test_a_notebook_that_is_exported_gets_nothing(page: Page, watch: HostileWatch, kind: str) -> None:
    visit(page, watch, f"{watch.hub}/user/root1/nbconvert/{kind}/all.ipynb")
    if kind == "html":
        click_everything(page, watch, "body")
    assert watch.problems() == []


def test_a_notebook_that_does_not_keep_to_the_format_is_not_exported(hub: RunningHub, root: Account) -> None:
    answer = ask(hub.address, "/user/root1/nbconvert/html/n/10-metadata.ipynb", token=root.token)
    assert answer.status == 400
    assert b"does not keep to the notebook format at cells.0.metadata.collapsed" in answer.body
    assert b"<img" not in answer.body


def test_an_audited_view_shows_files_and_runs_none(page: Page, watch: HostileWatch, names: list[str]) -> None:
    place = f"{watch.hub}/hub/admin/users/mallory/view"
    page.goto(place)
    page.get_by_label("Reason").fill("asked for help <script>alert(1)</script>")
    page.get_by_role("button", name="Open the view").click()
    expect(page.get_by_role("link", name="precious-evil.txt")).to_be_visible()
    for folder in ("h", "n"):
        visit(page, watch, f"{place}?path={folder}")
    for path in [*(f"h/{name}" for name in names), "all.ipynb"]:
        visit(page, watch, f"{place}/file?path={quote(path)}")
        expect(page.get_by_role("heading", level=1)).to_have_text(path)
    click_everything(page, watch, "body", page.frame_locator("iframe"))
    visit(page, watch, f"{watch.hub}/hub/admin/users/mallory")
    assert watch.ran() == set()
    assert watch.problems() == []


def test_the_hubs_own_pages_show_what_is_hostile_as_text(
    hub: RunningHub, root: Account, page: Page, watch: HostileWatch, names: list[str]
) -> None:
    base = f"/user/root1/api/contents/{quote('h/' + names[-1])}"
    assert ask(hub.address, f"{base}/checkpoints", "POST", token=root.token, body={}).status == 201
    assert (
        ask(hub.address, "/user/root1/api/contents/n/10-metadata.ipynb/checkpoints", "POST", token=root.token).status
        == 201
    )
    changed = json.loads((root.home / "n/10-metadata.ipynb").read_text())
    for cell in changed["cells"]:
        cell["source"] += "\nchanged"
    (root.home / "n/10-metadata.ipynb").write_text(json.dumps(changed))
    markup = quote("\"><img src=x onerror=console.log('HOSTILE [1,2]')><script>alert(1)</script>", safe="")
    for address in (
        f"{base}/checkpoints",
        f"/user/root1/diff?path={quote('n/10-metadata.ipynb')}",
        "/user/root1/state?path=all.ipynb",
        f"/user/root1/state?path={quote('n/10-metadata.ipynb')}",
        "/hub/home/notebooks",
        f"/user/root1/diff?path={markup}",
        f"/user/root1/state?path={markup}",
        f"/user/root1/view/{markup}",
        f"/user/root1/files/{markup}",
        f"/user/root1/nbconvert/{markup}/all.ipynb",
        f"/user/root1/git-pull?repo=https://elsewhere.invalid/{markup}&branch=x&urlpath=lab/tree/{markup}",
        f"/user/root1/git-pull?repo=javascript:alert(1)&branch={markup}&targetPath={markup}",
        "/user/root1/git-pull?repo=https://elsewhere.invalid/x&urlpath=javascript:alert(1)//&app=x",
        f"/hub/login?next={markup}",
        f"/hub/confirm?next=javascript:alert(1)//{markup}",
        f"/hub/admin/people?search={markup}",
        f"/hub/admin/audit?search={markup}",
        f"/user/root1/directories/h?archiveFormat={markup}",
        "/user/root1/directories/h?archiveFormat=zip",
        f"/user/root1/lab/tree/{markup}",
    ):
        visit(page, watch, watch.hub + address)
    assert watch.ran() == set()
    assert watch.problems() == []


def click_everything(page: Page, watch: HostileWatch, within: str, frame: FrameLocator | None = None) -> None:
    """Click all that can be clicked; windows that open may load and are closed."""
    before = set(page.context.pages)
    for found in (frame or page).locator(within).locator(CLICKABLE).all():
        with contextlib.suppress(Error):  # a click may remove others
            if found.is_visible():
                found.click(force=True, no_wait_after=True, timeout=300)
            else:
                found.dispatch_event("click", timeout=300)
    watch.settle(page)
    for opened in set(page.context.pages) - before:
        with contextlib.suppress(Error):  # a link that was followed into a window of its own, maybe to nowhere
            opened.wait_for_load_state("domcontentloaded", timeout=2000)
        opened.close()


def idle(page: Page) -> None:
    expect(page.locator('.jp-NotebookPanel:visible [data-status="idle"]').first).to_be_visible(timeout=60_000)


def test_a_hostile_notebook_gets_nothing_in_jupyterlab(page: Page, watch: HostileWatch, notebooks: list[str]) -> None:
    for name in notebooks:
        if name.startswith(SEVENTH):
            continue
        page.goto(f"{watch.hub}/user/root1/lab/tree/n/{name}?reset", wait_until="commit")
        idle(page)
        click_everything(page, watch, f".jp-NotebookPanel:visible :is({CELLS})")
        expect(page.locator(".jp-Dialog")).to_have_count(0)
    page.screenshot(path="tests/artefacts/hostile-lab.png")
    assert watch.problems() == []


def test_a_hostile_notebook_gets_nothing_in_notebook_7(page: Page, watch: HostileWatch, notebooks: list[str]) -> None:
    """It draws as JupyterLab does, so each of the two gets its share of the notebooks, and some both."""
    for name in notebooks:
        if not name.startswith((*SEVENTH, "01-commands", "02-links")):
            continue
        page.goto(f"{watch.hub}/user/root1/notebooks/n/{name}", wait_until="commit")
        idle(page)
        click_everything(page, watch, f".jp-NotebookPanel:visible :is({CELLS})")
    assert watch.problems() == []


def test_a_hostile_notebook_gets_nothing_in_the_classic_notebook(page: Page, watch: HostileWatch) -> None:
    """It draws all cells, so the notebook of them all will do."""
    page.goto(f"{watch.hub}/user/root1/nbclassic/notebooks/all.ipynb", wait_until="commit")
    expect(page.locator("#kernel_indicator_icon.kernel_idle_icon")).to_be_visible(timeout=60_000)
    expect(page.locator("#notebook .cell")).to_have_count(24)
    page.evaluate(STAY)
    click_everything(page, watch, f"#notebook :is({CELLS})")
    assert watch.problems() == []


def test_the_hub_has_recorded_nothing_that_a_script_wanted(hub: RunningHub, root: Account, victim: Person) -> None:
    people, actions = in_thread(state(hub))
    assert people == {"root1": "admin", "mallory": "user"}
    assert not {action for action in actions if action.startswith(WANTED)}
    assert (root.home / "precious-evil.txt").read_text() == "mine"
    victim.page.reload()
    expect(victim.page.get_by_role("link", name="mallory").first).to_be_visible()  # signed in, and present, still
    assert not [cookie for cookie in victim.context.cookies() if "evil" in f"{cookie.get('name')}{cookie.get('value')}"]


async def state(hub: RunningHub) -> tuple[dict[str, str], set[str]]:
    async with services(hub) as made:
        people = {user.name: str(user.role) for user in await made.auth.users.list()}
    return people, {event.action for event in await audit(hub)}


def test_no_kernel_has_run_anything(hub: RunningHub, root: Account) -> None:
    sessions = json.loads(ask(hub.address, "/user/root1/api/sessions", token=root.token).body)
    assert {session["type"] for session in sessions} == {"notebook"}, "no console was opened"
    assert json.loads(ask(hub.address, "/user/root1/api/terminals", token=root.token).body) == []
    counts = in_thread(execution_counts(hub, root))
    assert len(counts) > 6
    assert set(counts) == {1}


async def execution_counts(hub: RunningHub, account: Account) -> list[int]:
    """How many cells each kernel has run, counting one that is run to find out."""
    async with HubClient(hub.address, account.name, account.token) as client:
        _, sessions = await client.request("GET", "api/sessions")
        counts = []
        for session in sessions:
            async with client.kernel(session["kernel"]["id"]) as kernel:
                seen = await kernel.execute("print(1)")
                counts += [m["content"]["execution_count"] for m in seen if m["header"]["msg_type"] == "execute_input"]
        return counts
