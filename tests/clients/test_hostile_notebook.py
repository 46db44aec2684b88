"""An administrator opens a hostile notebook that is trusted: its script does all a script can, and administers nothing.

The scripts run in JupyterLab's own page, on the hub's origin, with the cookie of an administrator who has proven
presence a moment ago: the most that a notebook can have.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.harness.accounts import PASSWORD, add_account, audit, in_thread, services
from tests.harness.browser import Person
from tests.harness.running import RunningHub, running_hub

pytestmark = [pytest.mark.browser]

PLANTED = "mallory"
TARGETS = ["/hub/admin", "/hub/admin/people", "/hub/account/security", "/hub/api/users", "/hub/admin/audit"]

FETCHES = """async ([targets, planted]) => {
  const cookie = document.cookie.match(/_xsrf=([^;]+)/)?.[1] ?? "";
  const login = await (await fetch("/hub/home", { headers: { Accept: "text/html" } })).text();
  const form = login.match(/name="_xsrf" value="([^"]+)"/)?.[1] ?? "";
  const meta = login.match(/name="presence" content="([^"]+)"/)?.[1] ?? "";
  const seen = [];
  for (const token of [null, cookie, form, meta, ""]) {
    const headers = token === null ? {} : { "X-XSRFToken": token };
    const lies = { "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", Accept: "text/html" };
    for (const target of targets) {
      for (const more of [{}, lies]) {
        const answer = await fetch(target, { headers: { ...headers, ...more }, redirect: "follow" });
        seen.push([`GET ${target}`, answer.status, (await answer.text()).includes(planted), answer.url]);
      }
    }
    for (const [method, path, body] of [
      ["POST", "/hub/api/users/evil", "{}"],
      ["PATCH", `/hub/api/users/${planted}`, '{"admin": true}'],
      ["DELETE", `/hub/api/users/${planted}`, null],
      ["POST", "/hub/api/groups/evil", "{}"],
    ]) {
      const type = { "Content-Type": "application/json" };
      const answer = await fetch(path, { method, body, headers: { ...headers, ...type } });
      seen.push([`${method} ${path}`, answer.status, answer.ok, answer.url]);
    }
    for (const path of ["/hub/admin/people", `/hub/admin/users/${planted}/promote`, "/hub/account/security/app"]) {
      const body = new URLSearchParams({ name: "evil2", _xsrf: token ?? "" });
      const answer = await fetch(path, { method: "POST", body, headers, redirect: "manual" });
      seen.push([`form ${path}`, answer.status, answer.ok || answer.type === "opaqueredirect", path]);
    }
  }
  return { seen, tokens: [cookie, form, meta] };
}"""

FRAMES = """async (targets) => {
  const read = [];
  for (const target of targets) {
    for (const kind of ["iframe", "embed", "object"]) {
      const element = document.createElement(kind);
      element[kind === "object" ? "data" : "src"] = target;
      const done = new Promise((resolve) => {
        element.onload = element.onerror = resolve;
        setTimeout(resolve, 500);
      });
      document.body.append(element);
      await done;
      let text = "";
      try { text = element.contentDocument?.documentElement?.outerHTML ?? ""; } catch {}
      read.push([kind, target, text]);
      element.remove();
    }
  }
  return read;
}"""

FORM = """([path, fields]) => {
  const form = document.createElement("form");
  form.method = "post";
  form.action = path;
  for (const [name, value] of Object.entries(fields)) {
    const input = document.createElement("input");
    input.name = name;
    input.value = value;
    form.append(input);
  }
  document.body.append(form);
  HTMLFormElement.prototype.submit.call(form);
}"""

POPUP = """async (target) => {
  const opened = window.open(target, "stolen");
  const seen = [];
  for (let turn = 0; turn < 30; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    try {
      seen.push(opened.closed ? "closed" : opened.document.documentElement.outerHTML);
    } catch (error) {
      seen.push(error.name);
    }
  }
  return seen;
}"""

WORKER = """async () => {
  const outcomes = [];
  const source = "self.addEventListener('fetch', () => {})";
  for (const [address, options] of [
    [URL.createObjectURL(new Blob([source], { type: "text/javascript" })), {}],
    ["/hub/static/hub.js", { scope: "/hub/" }],
    ["/hub/static/hub.js", { scope: "/" }],
    [`${location.pathname.split("/lab")[0]}/files/worker.js`, { scope: "/hub/" }],
    [`${location.pathname.split("/lab")[0]}/files/worker.js`, { scope: "/" }],
  ]) {
    try {
      const made = await navigator.serviceWorker.register(address, options);
      outcomes.push(made.scope);
    } catch (error) {
      outcomes.push(error.name);
    }
  }
  return outcomes;
}"""


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process", {"KERNELHUB_START_WORKSPACE": "kernel"}) as hub:
        add_account(hub, "root1", admin=True)
        add_account(hub, PLANTED)
        yield hub


@pytest.fixture(scope="module")
def victim(hub: RunningHub, browser: Browser) -> Iterator[Person]:
    """An administrator in JupyterLab, with the hub's pages open in another tab, and proof of presence."""
    person = Person(browser, hub.address, "root1")
    person.sign_in(PASSWORD)
    person.prove_presence(PASSWORD, "/hub/admin/people")
    assert PLANTED in person.page.content()
    yield person
    person.close()


@pytest.fixture
def lab(victim: Person) -> Iterator[Page]:
    """JupyterLab's page, in which the hostile script runs."""
    page = victim.context.new_page()
    page.goto(f"{victim.address}/user/root1/lab")
    page.locator("#jp-main-dock-panel").wait_for()
    yield page
    page.close()


def is_secret(text: str) -> bool:
    """Whether a text shows an administrator's page, or the token of a presence."""
    return PLANTED in text or 'name="presence"' in text


def test_nothing_that_a_script_fetches_is_an_administrators(lab: Page) -> None:
    found: dict[str, Any] = lab.evaluate(FETCHES, [TARGETS, PLANTED])
    assert [call for call in found["seen"] if call[2]] == []
    assert found["tokens"][2] == "", "a page that was fetched holds no token of the presence"
    assert len(found["seen"]) >= 80


def test_no_frame_shows_an_administrators_page(lab: Page) -> None:
    read = lab.evaluate(FRAMES, TARGETS[:3])
    assert [kind for kind, _, text in read if is_secret(text)] == []


@pytest.mark.parametrize("target", ["/hub/admin/people", "/hub/home"])
def test_no_window_that_a_script_opens_can_be_read(lab: Page, target: str) -> None:
    with lab.context.expect_page() as opened:
        seen = lab.evaluate(POPUP, target)
    opened.value.wait_for_load_state()
    assert [text for text in seen if is_secret(text)] == []
    assert opened.value.evaluate("() => window.opener") is None, "the two share no browsing context group"
    assert (
        lab.evaluate("() => { const again = window.open('', 'stolen'); return again.location.href }") == "about:blank"
    )
    for page in lab.context.pages:
        if page.url == "about:blank":
            page.close()
    opened.value.close()


@pytest.mark.parametrize("path", ["/hub/admin/people", f"/hub/admin/users/{PLANTED}/promote", "/hub/token"])
def test_a_form_that_a_script_sends_changes_nothing_of_others(lab: Page, path: str) -> None:
    token = lab.evaluate("() => document.cookie.match(/_xsrf=([^;]+)/)[1]")
    with lab.expect_navigation():
        lab.evaluate(FORM, [path, {"_xsrf": token, "name": "evil3", "expires": "30d", "scopes": "inherit"}])
    assert not is_secret(lab.content())


def test_no_service_worker_comes_between_the_hub_and_its_pages(lab: Page) -> None:
    outcomes = lab.evaluate(WORKER)
    assert all(outcome.endswith("Error") for outcome in outcomes), outcomes


def test_what_went_before_a_navigation_shows_nothing(lab: Page) -> None:
    """The referrer, the history and the timings of pages that a script leads to tell it nothing it could use."""
    told = lab.evaluate("() => performance.getEntriesByType('navigation').map((entry) => entry.name).join(' ')")
    assert "presence" not in told + lab.evaluate("() => document.referrer")


def test_after_all_that_nobody_was_made_or_changed(hub: RunningHub, victim: Person) -> None:
    people, tokens, actions = in_thread(_state(hub))
    assert people == {"root1": "admin", PLANTED: "user"}
    granted = {scope for name, scopes in tokens if name == "evil3" for scope in scopes}
    assert {scope for scope in granted if not scope.endswith("!user")} <= {"self", "jupyter"}
    assert not actions & {"user.deleted", "user.role_changed", "group.created", "second_factor.added"}


def test_the_administrators_own_page_may_do_all_that(hub: RunningHub, victim: Person) -> None:
    made = victim.page.evaluate(
        """async () => {
          const headers = { "X-XSRFToken": document.querySelector('meta[name="presence"]').content };
          const listed = await fetch("/hub/api/users", { headers });
          const type = { "Content-Type": "application/json" };
          const wanted = { method: "POST", headers: { ...headers, ...type }, body: "{}" };
          const made = await fetch("/hub/api/users/invited", wanted);
          return [listed.status, made.status];
        }"""
    )
    assert made == [200, 201]


async def _state(hub: RunningHub) -> tuple[dict[str, str], list[tuple[str, tuple[str, ...]]], set[str]]:
    async with services(hub) as made:
        people = {user.name: user.role for user in await made.auth.users.list()}
        tokens = await made.auth.tokens.list(await made.auth.users.get("root1"))
    actions = {event.action for event in await audit(hub)}
    return people, [(token.name, token.scopes) for token in tokens], actions
