"""A link to a repository, followed in a real container: its git, its user, its network."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.harness.accounts import Account, add_account
from tests.harness.client import HubClient
from tests.harness.containers import engine_answers
from tests.harness.course import LESSON, Course, published
from tests.harness.running import RunningHub, running_hub

pytestmark = pytest.mark.docker

SERVE = (
    "import subprocess, sys, time, urllib.request\n"
    "subprocess.Popen([sys.executable, '-m', 'http.server', '8123', '-b', '127.0.0.1', '-d', 'www'])\n"
    "for _ in range(100):\n"
    "    try:\n"
    "        urllib.request.urlopen('http://127.0.0.1:8123/')\n"
    "        break\n"
    "    except OSError:\n"
    "        time.sleep(0.1)\n"
)


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    if not engine_answers():
        missing("a Docker Engine", "bash tests/prepare.sh")
    with running_hub("docker") as hub:
        yield hub


@pytest.fixture
def course(tmp_path: Path) -> Iterator[Course]:
    with published(tmp_path) as course:
        yield course


async def follow(client: HubClient, repo: str) -> tuple[str | None, str]:
    """Follow a link to its end: where it leads, and the page's last words."""
    async with client.http.post(f"{client.base}/git-pull", data={"repo": repo}, allow_redirects=False) as begun:
        assert begun.status == 303, await begun.text()
        page = client.address + begun.headers["Location"]
    async with asyncio.timeout(90):
        while True:
            async with client.http.get(page, headers={"HX-Request": "true"}) as part:
                text = await part.text()
                if "hx-trigger" not in text:
                    return part.headers.get("HX-Redirect"), re.sub(r"\s+", " ", text)
            await asyncio.sleep(0.1)


async def test_a_repository_comes_into_the_home_of_the_containers_user(hub: RunningHub, course: Course) -> None:
    ada: Account = add_account(hub, "ada")
    async with HubClient(hub.address, ada.name, ada.token) as client:
        place, said = await follow(client, "http://no-such-host.invalid/a/course")
        assert place is None and "no-such-host.invalid cannot be found from here" in said
        # A container reaches neither this machine nor other containers: the course is served inside it.
        shutil.copytree(course.bare.parent, ada.home / "www")
        kernel_id = (await client.start_session())["kernel"]["id"]
        async with client.kernel(kernel_id) as kernel:
            await kernel.execute(SERVE)
        place, said = await follow(client, "http://127.0.0.1:8123/course.git")
        assert place == f"/user/{ada.name}/lab/tree/course", said
        status, model = await client.request("GET", "api/contents/course/lesson.txt?content=1")
        assert (status, model["content"]) == (200, LESSON)
    assert (ada.home / "course/lesson.txt").stat().st_uid == ada.home.stat().st_uid
