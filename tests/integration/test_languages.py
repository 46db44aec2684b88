"""Kernels of other languages, each in its image of deploy/images, all of them profiles of one hub.

What every kernel of a hub has to do, by the code that does it in its language. What a kernel cannot do is said
here (None) and in docs/how-to/languages.md.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

import pytest

from tests.harness.accounts import Account, add_account
from tests.harness.client import HubClient, KernelConnection, Message, text_of
from tests.harness.running import RunningHub, running_hub
from tests.integration.images import image_of, image_of_registry


@dataclass(frozen=True)
class Language:
    """A kernel and the code that shows what it can do. None: the kernel does not do this."""

    image: str
    kernel: str
    says_hi: str
    fails: str
    error: str
    begun: str
    completes: str
    shows: str | None
    mime: str | None
    waits: str
    asks: str | None
    error_is_a_message: bool = True


LANGUAGES = [
    Language(
        "minimal", "python3", 'print("hi")', "1 / 0", "ZeroDivisionError", "prin", "print",
        "from IPython.display import HTML; HTML('<b>x</b>')", "text/html",
        "print('waiting', flush=True); import time; time.sleep(60)", "print('got ' + input('name? '))",
    ),
    Language(
        "r", "ir", 'cat("hi\\n")', 'stop("boom")', "boom", "data.fram", "data.frame",
        "plot(1:3)", "image/png", 'cat("waiting\\n"); flush(stdout()); Sys.sleep(60)',
        'cat(paste("got", readline("name? ")))',
    ),
    Language(
        "bash", "bash", "echo hi", "ls /nothing-here", "No such file", "ech", "echo",
        None, None, "echo waiting; sleep 60", None,
    ),
    Language(
        "octave", "octave", 'disp("hi")', 'error("boom")', "boom", "linspac", "linspace",
        "plot(1:3)", "image/png", 'disp("waiting"); pause(60)', None, error_is_a_message=False,
    ),
    Language(
        "xeus-python", "xpython", 'print("hi")', "1 / 0", "ZeroDivisionError", "prin", "print",
        "from IPython.display import HTML, display; display(HTML('<b>x</b>'))", "text/html",
        "print('waiting', flush=True); import time; time.sleep(60)", "print('got ' + input('name? '))",
    ),
    Language(
        "javascript", "jslab", 'console.log("hi")', 'throw new Error("boom")', "boom", "conso", "console",
        'require("tslab").display.html("<b>x</b>")', "text/html",
        'console.log("waiting"); await new Promise(done => setTimeout(done, 60000))', None, error_is_a_message=False,
    ),
]  # fmt: skip
IDS = [language.kernel for language in LANGUAGES]
FROM_REGISTRIES = [
    Language(
        "julia", "julia-1.11", 'println("hi")', 'error("boom")', "boom", "printl", "println",
        'display("text/html", "<b>x</b>")', "text/html", 'println("waiting"); flush(stdout); sleep(60)', None,
    ),
    replace(LANGUAGES[0], image="conda"),
]  # fmt: skip
"""Built on images, or with packages, that only the internet has."""


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    profiles = {
        language.image: {
            "display_name": language.image.capitalize(),
            "image": image_of(language.image),
            "kernels": [language.kernel],
            "spare_kernels": 0,
        }
        for language in LANGUAGES
    }
    environment = {"KERNELHUB_PROFILES": json.dumps(profiles), "KERNELHUB_DEFAULT_PROFILE": "minimal"}
    with running_hub("docker", environment) as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


@pytest.fixture
async def client(hub: RunningHub, ada: Account) -> AsyncIterator[HubClient]:
    async with HubClient(hub.address, ada.name, ada.token) as client:
        yield client
        for kernel in (await client.request("GET", "api/kernels"))[1]:
            await client.request("DELETE", f"api/kernels/{kernel['id']}")


@pytest.mark.parametrize("language", LANGUAGES, ids=IDS)
async def test_a_language_does_what_notebooks_need(client: HubClient, language: Language) -> None:
    await does_what_notebooks_need(client, language)


@pytest.mark.parametrize("language", FROM_REGISTRIES, ids=["julia", "conda"])
async def test_images_of_registries_do_too_where_one_answers(language: Language) -> None:
    profile = {"image": image_of_registry(language.image), "memory_bytes": 4 * 1024**3}
    settings = {"KERNELHUB_PROFILES": json.dumps({"it": profile}), "KERNELHUB_DEFAULT_PROFILE": "it"}
    with running_hub("docker", settings) as hub:
        account = await asyncio.to_thread(add_account, hub, "ada")
        async with HubClient(hub.address, account.name, account.token) as client:
            await does_what_notebooks_need(client, language)


async def test_the_launcher_shows_every_language_before_anything_of_it_ran(hub: RunningHub) -> None:
    bob = add_account(hub, "bob")
    async with HubClient(hub.address, bob.name, bob.token) as client:
        async with asyncio.timeout(120):
            while True:
                _, found = await client.request("GET", "api/kernelspecs")
                if set(found["kernelspecs"]) == set(IDS):
                    break
                await asyncio.sleep(0.5)
        assert found["default"] == "python3"
        assert found["kernelspecs"]["ir"]["spec"]["display_name"] == "R (R)"
        for spec in found["kernelspecs"].values():
            for address in spec["resources"].values():
                async with client.http.get(f"{client.address}{address}") as answer:
                    assert answer.status == 200


async def ask(kernel: KernelConnection, kind: str, content: Message) -> Message:
    """A request on the shell channel; gives the reply's content."""
    return await reply_to(kernel, await kernel.send(kind, content))


async def reply_to(kernel: KernelConnection, message_id: str) -> Message:
    """The content of the reply to a request."""
    async with asyncio.timeout(20):
        while True:
            channel, message = await kernel.receive()
            if channel == "shell" and message["parent_header"].get("msg_id") == message_id:
                content: Message = message["content"]
                return content


def cell(code: str, *, asks: bool = False) -> Message:
    """The content of a request to run code, which may ask for input."""
    return {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": asks}


async def begun(kernel: KernelConnection, code: str) -> str:
    """Run code and return, with the request's id, when it says that it is waiting."""
    message_id = await kernel.send("execute_request", cell(code))
    async with asyncio.timeout(30):
        while True:
            _, message = await kernel.receive()
            if message["header"]["msg_type"] == "stream" and "waiting" in message["content"]["text"]:
                return message_id


async def goes_on(kernel: KernelConnection, code: str) -> None:
    """Run code after an error or an interrupt. For a moment some kernels answer that they abort what was queued."""
    async with asyncio.timeout(20):
        while (await ask(kernel, "execute_request", cell(code)))["status"] != "ok":
            await asyncio.sleep(0.05)


async def answered(kernel: KernelConnection, code: str, line: str) -> str:
    """Run code that asks for a line, give it, and give what was printed."""
    message_id = await kernel.send("execute_request", cell(code, asks=True))
    printed: list[Message] = []
    async with asyncio.timeout(30):
        while True:
            channel, message = await kernel.receive()
            if channel == "stdin":
                assert "name" in message["content"]["prompt"]
                await kernel.send("input_reply", {"value": line}, "stdin")
            if channel == "iopub":
                printed.append(message)
                state = message["content"].get("execution_state")
                if state == "idle" and message["parent_header"].get("msg_id") == message_id:
                    return text_of(printed)


async def does_what_notebooks_need(client: HubClient, language: Language) -> None:
    session = await client.start_session(f"{language.kernel}.ipynb", language.kernel)
    kernel_id = session["kernel"]["id"]
    async with client.kernel(kernel_id) as kernel:
        assert "hi" in text_of(await kernel.execute(language.says_hi, 60))

        failed = await kernel.execute(language.fails)
        errors = [m["content"] for m in failed if m["header"]["msg_type"] == "error"]
        assert bool(errors) == language.error_is_a_message
        assert language.error in json.dumps(errors) + text_of(failed)
        await goes_on(kernel, language.says_hi)

        completed = await ask(kernel, "complete_request", {"code": language.begun, "cursor_pos": len(language.begun)})
        assert any(match.startswith(language.completes) for match in completed["matches"])

        if language.shows is not None:
            shown = await kernel.execute(language.shows)
            kinds = {"display_data", "execute_result"}
            assert any(language.mime in m["content"]["data"] for m in shown if m["header"]["msg_type"] in kinds)

        if language.asks is not None:
            assert "got ada" in await answered(kernel, language.asks, "ada")

        waiting = await begun(kernel, language.waits)
        assert (await client.request("POST", f"api/kernels/{kernel_id}/interrupt"))[0] == 204
        await reply_to(kernel, waiting)
        await goes_on(kernel, language.says_hi)
        (before,) = (await client.request("GET", "api/kernels"))[1]
        assert "reason" not in before, before

    status, restarted = await client.request("POST", f"api/kernels/{kernel_id}/restart")
    assert (status, restarted["id"]) == (200, kernel_id)
    async with client.kernel(kernel_id) as kernel:
        assert "hi" in text_of(await kernel.execute(language.says_hi, 60))
