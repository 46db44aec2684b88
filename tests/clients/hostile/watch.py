"""What hostile scripts got, told by the browser: what they said, what was asked of the hub, dialogs, kernels' work."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Frame, Page, Request, Response, Route, WebSocket

from tests.clients.hostile.deed import ELSEWHERE, SIGN

_ELSEWHERE_PAGE = f"""<!doctype html><title>elsewhere</title><script>
if (opener) {{ console.log('{SIGN}["elsewhere","opener","held"]'); opener.location = '{ELSEWHERE}/taken'; }}
</script>"""


@dataclass(frozen=True, order=True)
class Said:
    """A line of a deed: its case, what it is about (``start``, ``done``, or what it got), and a value."""

    case: str
    kind: str
    value: str


class HostileWatch:
    """Watches a browser context from its beginning; `hub` is the hub's address."""

    def __init__(self, context: BrowserContext, hub: str) -> None:
        self.hub = hub
        self.said: list[Said] = []
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        self.executions: list[str] = []
        self.elsewhere: list[str] = []
        self._context = context
        self._were_on_hub: set[Page] = set()
        context.on("console", self._console)
        context.on("dialog", self._dialog)
        context.on("response", self._response)
        context.on("page", self._page)
        context.route(f"{ELSEWHERE}/**", self._answer_elsewhere)
        for page in context.pages:
            self._page(page)

    def settle(self, page: Page) -> None:
        """Until every deed that has begun in this browser is done, and the page has drawn what it has."""
        page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)))")
        while waiting := self._unfinished():
            page.context.wait_for_event(
                "console", predicate=lambda message, cases=waiting: _is_end(message, cases), timeout=10_000
            )

    def ran(self) -> set[str]:
        """The cases whose script ran, anywhere."""
        return {line.case for line in self.said if line.kind in ("start", "begin")}

    def problems(self) -> list[str]:
        """Everything that should not have been possible, in words; forgets it."""
        found = [f"{line.case} ran on {line.value}" for line in self.said if _is_ours(line, self.hub)]
        found += [f"{s.case} got {s.kind}: {s.value}" for s in self.said if s.kind not in ("start", "begin", "done")]
        found += [f"asked: {line}" for line in self.requests]
        found += [f"dialog: {line}" for line in self.dialogs]
        found += [f"executed: {line}" for line in self.executions]
        found += [f"told elsewhere: {line}" for line in self.elsewhere if "leak" in line or "taken" in line]
        found += [f"led to {page.url}" for page in self._context.pages if self._is_led_away(page)]
        found += [f"service worker {worker.url}" for worker in self._context.service_workers]
        for kept in (self.said, self.requests, self.dialogs, self.executions, self.elsewhere):
            kept.clear()
        return sorted(set(found))

    def _unfinished(self) -> set[str]:
        begun, done = [], []
        for line in self.said:
            (begun if line.kind == "start" else done if line.kind == "done" else []).append(line.case)
        return {case for case in begun if begun.count(case) > done.count(case)}

    def _is_led_away(self, page: Page) -> bool:
        """Whether a tab that showed the hub shows another site; one that a link opened there was never led."""
        is_away = page.url.startswith("http") and not page.url.startswith(f"{self.hub}/")
        return is_away and page in self._were_on_hub

    def _console(self, message: ConsoleMessage) -> None:
        if message.text.startswith(SIGN):
            self.said.append(Said(*json.loads(message.text.removeprefix(SIGN))))

    def _dialog(self, dialog: Dialog) -> None:
        if dialog.type == "beforeunload":
            dialog.accept()
            return
        self.dialogs.append(f"{dialog.type} {dialog.message}")
        dialog.dismiss()

    def _response(self, response: Response) -> None:
        if not response.url.startswith(f"{self.hub}/") or response.status >= 400:
            return
        request = response.request
        leads_to_sign_in = "/hub/login" in response.headers.get("location", "")
        is_api = urlsplit(response.url).path.startswith("/hub/api")
        if is_api or (_changes(request) and "evil" in request.url and not leads_to_sign_in):
            self.requests.append(f"{request.method} {response.url} = {response.status}")

    def _page(self, page: Page) -> None:
        page.on("websocket", self._socket)
        page.on("framenavigated", self._navigated)

    def _navigated(self, frame: Frame) -> None:
        if frame.parent_frame is None and frame.url.startswith(f"{self.hub}/"):
            self._were_on_hub.add(frame.page)

    def _socket(self, socket: WebSocket) -> None:
        socket.on("framesent", lambda payload: self._frame(socket.url, payload))

    def _frame(self, address: str, payload: str | bytes) -> None:
        data = payload.encode() if isinstance(payload, str) else payload
        if b'"execute_request"' in data:
            self.executions.append(address)

    def _answer_elsewhere(self, route: Route) -> None:
        self.elsewhere.append(f"{route.request.method} {route.request.url}")
        route.fulfill(body=_ELSEWHERE_PAGE, content_type="text/html")


def _changes(request: Request) -> bool:
    return request.method not in ("GET", "HEAD", "OPTIONS")


def _is_ours(line: Said, hub: str) -> bool:
    return line.kind in ("start", "begin") and line.value == hub


def _is_end(message: ConsoleMessage, cases: set[str]) -> bool:
    if not message.text.startswith(SIGN):
        return False
    case, kind, _ = json.loads(message.text.removeprefix(SIGN))
    return kind == "done" and case in cases
