"""Pages of other origins in a real browser: an allowed one drives a kernel with a token, and nothing else is possible.

The pages hold the browser's build of @jupyterlab/services. Cookies do not know ports, so the pages here even get the
user's cookies sent along (``credentials: include``), as pages of a neighbouring subdomain would.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.conftest import missing
from tests.harness.accounts import Account, add_account
from tests.harness.browser import Person
from tests.harness.node import PACKAGES
from tests.harness.running import RunningHub, running_hub

LIBRARY = PACKAGES / "@jupyterlab" / "services" / "dist" / "dist" / "index.js"
PAGE = b'<!doctype html><meta charset="utf-8"><title>elsewhere</title><script src="/services.js"></script>'

DRIVE = """async ({base, token}) => {
    const {ServerConnection, KernelManager, ContentsManager, EventManager} = self['@jupyterlab/services'];
    const init = {cache: 'no-store', credentials: 'include'};
    const serverSettings = ServerConnection.makeSettings(
        {baseUrl: base, wsUrl: base.replace(/^http/, 'ws'), token, appendToken: true, init});
    const contents = new ContentsManager({serverSettings});
    await contents.save('from elsewhere.txt', {type: 'file', format: 'text', content: 'hello'});
    const saved = await contents.get('from elsewhere.txt');
    const kernels = new KernelManager({serverSettings, standby: 'never'});
    await kernels.ready;
    const kernel = await kernels.startNew({name: 'python3'});
    const future = kernel.requestExecute({code: 'print(6 * 7)'});
    let printed = '';
    future.onIOPub = message => { printed += message.content.text || ''; };
    await future.done;
    return {kernel: kernel.id, saved: saved.content, printed};
}"""

ASK = """async ({url, options}) => {
    try {
        const answer = await fetch(url, options);
        return {status: answer.status, type: answer.type, text: await answer.text()};
    } catch (error) {
        return {error: String(error)};
    }
}"""

OPEN = """url => new Promise(resolve => {
    const socket = new WebSocket(url);
    socket.onopen = () => resolve('open');
    socket.onerror = () => resolve('refused');
})"""


class Elsewhere(BaseHTTPRequestHandler):
    """A site that has nothing to do with the hub."""

    def do_GET(self) -> None:
        is_library = self.path == "/services.js"
        data = LIBRARY.read_bytes() if is_library else PAGE
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if is_library else "text/html")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def sites() -> Iterator[list[str]]:
    """The addresses of two other sites."""
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [f"http://127.0.0.1:{server.server_address[1]}" for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def hub(sites: list[str]) -> Iterator[RunningHub]:
    """A hub that allows the first of them."""
    if not LIBRARY.exists():
        missing("@jupyterlab/services", "bash tests/prepare.sh")
    with running_hub("process", {"KERNELHUB_ALLOWED_ORIGINS": f'["{sites[0]}"]'}) as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


@pytest.fixture(scope="module")
def person(hub: RunningHub, browser: Browser, ada: Account) -> Iterator[Person]:
    """Ada at her browser, signed in to the hub."""
    ada_there = Person(browser, hub.address, ada.name)
    ada_there.sign_in(ada.password)
    yield ada_there
    ada_there.close()


@pytest.fixture
def allowed(person: Person, sites: list[str]) -> Iterator[Page]:
    yield from page_of(person, sites[0])


@pytest.fixture
def foreign(person: Person, sites: list[str]) -> Iterator[Page]:
    yield from page_of(person, sites[1])


def page_of(person: Person, site: str) -> Iterator[Page]:
    page = person.context.new_page()
    page.goto(site)
    yield page
    page.close()


@pytest.fixture(scope="module")
def socket_address(hub: RunningHub, ada: Account, person: Person) -> str:
    """The channels of a kernel that runs, without a token."""
    made = person.context.request.post(
        f"{hub.address}/user/ada/api/kernels", headers={"Authorization": f"token {ada.token}"}, data={}
    )
    kernel_id = made.json()["id"]
    return f"{hub.address.replace('http', 'ws', 1)}/user/ada/api/kernels/{kernel_id}/channels?session_id=1"


def ask(page: Page, url: str, **options: Any) -> dict[str, Any]:
    answer: dict[str, Any] = page.evaluate(ASK, {"url": url, "options": {"credentials": "include", **options}})
    return answer


def test_an_allowed_page_drives_a_kernel_by_token(hub: RunningHub, ada: Account, allowed: Page) -> None:
    done = allowed.evaluate(DRIVE, {"base": f"{hub.address}/user/ada/", "token": ada.token})
    assert (done["saved"], done["printed"]) == ("hello", "42\n")
    assert (ada.home / "from elsewhere.txt").read_text() == "hello"


def test_an_allowed_page_opens_sockets_by_token(
    hub: RunningHub, ada: Account, allowed: Page, socket_address: str
) -> None:
    assert allowed.evaluate(OPEN, f"{socket_address}&token={ada.token}") == "open"
    events = f"{hub.address.replace('http', 'ws', 1)}/user/ada/api/events/subscribe"
    assert allowed.evaluate(OPEN, f"{events}?token={ada.token}") == "open"
    assert allowed.evaluate(OPEN, f"{events}?token=wrong") == "refused"


def test_an_allowed_page_gets_nothing_by_the_users_cookie(
    hub: RunningHub, ada: Account, allowed: Page, socket_address: str
) -> None:
    (ada.home / "private.txt").write_text("very private")
    for path in ("api/contents/private.txt", "api/kernels", "files/private.txt"):
        answer = ask(allowed, f"{hub.address}/user/ada/{path}")
        assert answer.get("status") == 403, (path, answer)
        assert "private." not in answer["text"]
    changed = ask(allowed, f"{hub.address}/user/ada/api/contents/private.txt", method="DELETE")
    assert changed["status"] == 403
    assert (ada.home / "private.txt").exists()
    assert allowed.evaluate(OPEN, socket_address) == "refused"
    assert allowed.evaluate(OPEN, f"{hub.address.replace('http', 'ws', 1)}/user/ada/api/events/subscribe") == "refused"


def test_any_other_page_gets_nothing_by_token_or_cookie(
    hub: RunningHub, ada: Account, foreign: Page, socket_address: str
) -> None:
    url = f"{hub.address}/user/ada/api/kernels"
    by_token = {"Authorization": f"token {ada.token}"}
    assert "error" in ask(foreign, url)
    assert "error" in ask(foreign, url, headers=by_token)
    assert "error" in ask(foreign, url, headers=by_token, method="POST", body="{}")
    assert "error" in ask(foreign, f"{url}?token={ada.token}")
    opaque = ask(foreign, url, mode="no-cors")
    assert opaque.get("text", "") == ""
    assert foreign.evaluate(OPEN, socket_address) == "refused"
    assert foreign.evaluate(OPEN, f"{socket_address}&token={ada.token}") == "refused"


def test_no_page_elsewhere_reads_the_hubs_own_pages(hub: RunningHub, allowed: Page) -> None:
    for path in ("/hub/home", "/hub/api/user", "/user/ada/lab"):
        assert "error" in ask(allowed, hub.address + path), path


def test_the_hubs_own_page_works_as_ever(hub: RunningHub, person: Person) -> None:
    answer = ask(person.page, f"{hub.address}/user/ada/api/kernels")
    assert answer["status"] == 200
