"""A program that uses kernelhub as a browser's scripts do: cookies, form tokens, kernel WebSockets."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import struct
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, TypeVar

import aiohttp

Message = dict[str, Any]
T = TypeVar("T")


async def eventually(ask: Callable[[], Awaitable[T | None]], seconds: float = 60.0) -> T:
    """Ask until the answer is true, and give it. Raises TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while not (answer := await ask()):
            await asyncio.sleep(0.05)
        return answer


class HubClient:
    """One user at one address, by cookie after `sign_in`, or by `token`."""

    def __init__(self, address: str, name: str, token: str | None = None) -> None:
        self.address = address
        self.name = name
        headers = {"Authorization": f"token {token}"} if token else {}
        self.http = aiohttp.ClientSession(headers=headers, cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def __aenter__(self) -> HubClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.http.close()

    @property
    def base(self) -> str:
        """Where this user's Jupyter API is."""
        return f"{self.address}/user/{self.name}"

    async def sign_in(self, password: str) -> int:
        """Sign in by the form; gives the status of the page that follows (JupyterLab's)."""
        return await self.send_form(await self.open_form(), password)

    async def open_form(self) -> str:
        """Open the sign-in page; gives its form token."""
        async with self.http.get(f"{self.address}/hub/login") as page:
            found = re.search(r'name="_xsrf" value="([^"]+)"', await page.text())
        assert found is not None
        return found[1]

    async def send_form(self, form_token: str, password: str) -> int:
        """Send the sign-in page's form and follow to JupyterLab's page; gives its status."""
        form = {"_xsrf": form_token, "username": self.name, "password": password, "next": ""}
        async with self.http.post(f"{self.address}/hub/login", data=form, allow_redirects=False) as answer:
            assert answer.status in (302, 303), await answer.text()
            place = answer.headers["Location"]
        async with self.http.get(f"{self.address}{place}", headers={"Accept": "text/html"}) as page:
            await page.read()
            return page.status

    async def prove_presence(self, password: str) -> str:
        """Confirm that somebody sits here; gives the token that administrators' requests carry from then on."""
        await self._post_confirmation(await self._form_token("/hub/confirm"), password)
        return await self._form_token("/hub/home")

    async def _form_token(self, path: str) -> str:
        headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"}
        async with self.http.get(f"{self.address}{path}", headers=headers) as page:
            found = re.search(r'name="_xsrf" value="([^"]+)"', await page.text())
        assert found is not None
        return found[1]

    async def _post_confirmation(self, token: str, password: str) -> None:
        form = {"_xsrf": token, "password": password, "next": "/hub/home"}
        async with self.http.post(f"{self.address}/hub/confirm", data=form, allow_redirects=False) as answer:
            assert answer.status in (302, 303), await answer.text()

    async def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """A request to the user's Jupyter API; gives the status and the JSON, or None if there is none."""
        headers = {}
        for cookie in self.http.cookie_jar:
            if cookie.key == "_xsrf":
                headers["X-XSRFToken"] = cookie.value
        async with self.http.request(method, f"{self.base}/{path}", json=body, headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text and "json" in answer.content_type else None

    async def start_session(self, path: str = "bench.ipynb", kernel: str = "python3") -> Message:
        """A session with a new kernel."""
        body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": kernel}}
        status, session = await self.request("POST", "api/sessions", body)
        assert status == 201, (status, session)
        result: Message = session
        return result

    @asynccontextmanager
    async def kernel(self, kernel_id: str) -> AsyncIterator[KernelConnection]:
        """The kernel's channels, as JupyterLab opens them."""
        session = uuid.uuid4().hex
        async with self.http.ws_connect(
            f"{self.base}/api/kernels/{kernel_id}/channels?session_id={session}",
            protocols=["v1.kernel.websocket.jupyter.org"],
            origin=self.address,
            max_msg_size=0,
        ) as socket:
            yield KernelConnection(socket, session)


class KernelConnection:
    """One WebSocket with the framing ``v1.kernel.websocket.jupyter.org``."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session: str) -> None:
        self.socket = socket
        self.session = session

    async def send(self, kind: str, content: Message, channel: str = "shell", metadata: Message | None = None) -> str:
        """Send a message; gives its id."""
        message_id = uuid.uuid4().hex
        header = {
            "msg_id": message_id,
            "msg_type": kind,
            "session": self.session,
            "username": "",
            "version": "5.3",
            "date": "2026-01-01T00:00:00Z",
        }
        parts = [channel.encode(), json.dumps(header).encode(), b"{}", json.dumps(metadata or {}).encode()]
        parts.append(json.dumps(content).encode())
        offsets = [8 * (2 + len(parts))]
        for part in parts:
            offsets.append(offsets[-1] + len(part))
        await self.socket.send_bytes(struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets) + b"".join(parts))
        return message_id

    async def receive(self, seconds: float = 30.0) -> tuple[str, Message]:
        """The next message: its channel, and header, parent_header and content."""
        data = await self.socket.receive_bytes(timeout=seconds)
        count = struct.unpack_from("<Q", data)[0]
        offsets = struct.unpack_from(f"<{count}Q", data, 8)
        parts = [data[start:end] for start, end in itertools.pairwise(offsets)]
        names = ("header", "parent_header", "metadata", "content")
        return parts[0].decode(), {name: json.loads(part) for name, part in zip(names, parts[1:5], strict=True)}

    async def execute(self, code: str, seconds: float = 30.0) -> list[Message]:
        """Run code; gives its IOPub messages, once both the reply and the idle state have come."""
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        message_id = await self.send("execute_request", content)
        replied = idle = False
        seen: list[Message] = []
        async with asyncio.timeout(seconds):
            while not (replied and idle):
                channel, message = await self.receive(seconds)
                if message["parent_header"].get("msg_id") != message_id:
                    continue
                kind = message["header"]["msg_type"]
                replied |= channel == "shell"
                idle |= kind == "status" and message["content"]["execution_state"] == "idle"
                if channel == "iopub":
                    seen.append(message)
        return seen


def text_of(messages: list[Message]) -> str:
    """Everything that went to the streams."""
    return "".join(m["content"]["text"] for m in messages if m["header"]["msg_type"] == "stream")
