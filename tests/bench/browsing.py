"""One browser over one kept connection, for benchmarks: it signs in, proves presence, and says what a page took.

It asks the hub directly as its proxy does, so that what is measured is the server. `cost` says what the server itself
worked for an answer, which on a machine that does other things as well says more than what the clock on the wall does.
"""

from __future__ import annotations

import http.client
import re
import time
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

NAVIGATION = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
PAGINATED = {"Accept": "application/jupyterhub-pagination+json"}


@dataclass(frozen=True, slots=True)
class Cost:
    """What an answer took on the wall and of the server's processor, in milliseconds, and how long it is."""

    wall: float
    cpu: float
    size: int


def cpu_ms(process_id: int) -> float:
    """What a process has worked until now, all threads together, in milliseconds (Linux keeps nanoseconds)."""
    threads = Path(f"/proc/{process_id}/task").iterdir()
    return sum(_worked_ns(thread) for thread in threads) / 1e6


def _worked_ns(thread: Path) -> int:
    try:
        return int((thread / "schedstat").read_text().split()[0])
    except OSError:  # it has ended
        return 0


@dataclass
class Browser:
    """A browser at `port` of this machine; `headers` go with every request. Whoever makes it closes it."""

    port: int
    process_id: int
    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    presence: str = ""
    _connection: http.client.HTTPConnection | None = None

    def send(self, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, bytes]:
        """One request; the status, and the body of the answer. A redirection is not followed."""
        answer = self._ask(method, path, body, headers)
        return answer.status, answer.read()

    def cost(self, path: str, fields: dict[str, str] | None = None, *, first_event: bool = False) -> Cost:
        """Ask for a page, or send a form, and say what that took. Raises RuntimeError for any other answer than 200."""
        body, headers = None, dict(NAVIGATION if self.cookies else PAGINATED)
        if fields is not None:
            body = urlencode({**fields, "_xsrf": self.presence})
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if first_event:
            headers = {"Accept": "text/event-stream", "X-XSRFToken": self.presence}
        worked, began = cpu_ms(self.process_id), time.perf_counter()
        answer = self._ask("GET" if fields is None else "POST", path, body, headers)
        received = _first_event(answer) if first_event else answer.read()
        wall = (time.perf_counter() - began) * 1000
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}: {received[:2000].decode(errors='replace')}")
        cost = Cost(wall, cpu_ms(self.process_id) - worked, len(received))
        if first_event:
            self.close()
        return cost

    def sign_in(self, name: str, password: str) -> None:
        """Sign in by the form, and prove presence."""
        form = {"_xsrf": self.value_of("_xsrf", "/hub/login"), "username": name, "password": password, "next": ""}
        self.post("/hub/login", form)
        self.post("/hub/confirm", {"_xsrf": self.value_of("_xsrf", "/hub/confirm"), "password": password})
        self.presence = self.value_of("_xsrf", "/hub/home")

    def value_of(self, name: str, path: str) -> str:
        """What a page's first input of this name holds."""
        page = self.send("GET", path, **NAVIGATION)[1].decode()
        found = re.search(rf'name="{name}"[^>]*value="([^"]*)"', page)
        if found is None:
            raise RuntimeError(f"{path} has no input {name}: {page[:2000]}")
        return unescape(found[1])

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def post(self, path: str, fields: dict[str, str]) -> None:
        """Send a form that is answered by a redirection. Raises RuntimeError for any other answer."""
        origin = {"Origin": f"http://127.0.0.1:{self.port}", "Content-Type": "application/x-www-form-urlencoded"}
        status, body = self.send("POST", path, urlencode(fields), **NAVIGATION, **origin)
        if status not in (302, 303):
            raise RuntimeError(f"{path} answered {status}: {body[:2000].decode(errors='replace')}")

    def _ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> http.client.HTTPResponse:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        sent = {**self.headers, **headers}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self._connection.request(method, path, body, sent)
        answer = self._connection.getresponse()
        for line in answer.headers.get_all("Set-Cookie", []):
            name, _, rest = line.partition("=")
            if re.search(r"; *path=/(hub/)?(;|$)", rest, re.IGNORECASE):
                self.cookies[name] = rest.partition(";")[0]
        return answer


def _first_event(answer: http.client.HTTPResponse) -> bytes:
    lines = b""
    while not lines.endswith(b"\n\n"):
        line = answer.readline()
        if not line:
            break
        lines += line
    return lines
