"""Several profiles on a real engine: one launcher for all images, a container each, one home."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.harness.accounts import Account, add_account
from tests.harness.client import HubClient, text_of
from tests.harness.containers import containers, probes
from tests.harness.plain_http import ask
from tests.harness.running import RunningHub, running_hub
from tests.integration.images import minimal_image, require_engine

pytestmark = pytest.mark.docker

DERIVED = "kernelhub-test/statistics:latest"
DOCKERFILE = """
FROM {base}
USER root
RUN mkdir -p /usr/share/jupyter/kernels/Echo /opt/more/kernels/python3.11 && \\
    cp /usr/local/share/jupyter/kernels/python3/* /usr/share/jupyter/kernels/Echo/ && \\
    cp /usr/local/share/jupyter/kernels/python3/* /opt/more/kernels/python3.11/ && \\
    sed -i 's/Python 3 (ipykernel)/Echo/; s/"signal"/"message"/' /usr/share/jupyter/kernels/Echo/kernel.json
USER jovyan
"""
"""A second image with kernelspecs in other folders, one with capitals in its name."""


@pytest.fixture(scope="module")
def derived_image() -> str:
    require_engine()
    dockerfile = DOCKERFILE.format(base=minimal_image())
    command = ["docker", "build", "-q", "-t", DERIVED, "-"]
    subprocess.run(command, input=dockerfile, text=True, capture_output=True, check=True, timeout=300)
    return DERIVED


@pytest.fixture(scope="module")
def environment(derived_image: str) -> dict[str, str]:
    profiles = {
        "datascience": {"image": minimal_image(), "spare_kernels": 0},
        "statistics": {
            "image": derived_image,
            "display_name": "Statistics",
            "home": "/srv/me",
            "spare_kernels": 0,
            "environment": {"JUPYTER_PATH": "/opt/more"},
        },
        "gone": {"image": "kernelhub-test/absent:latest"},
    }
    return {"KERNELHUB_PROFILES": json.dumps(profiles), "KERNELHUB_START_WORKSPACE": "kernel"}


@pytest.fixture(scope="module")
def hub(environment: dict[str, str]) -> Iterator[RunningHub]:
    with running_hub("docker", environment) as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


def kernelspecs(hub: RunningHub, user: Account) -> dict[str, Any]:
    answer: dict[str, Any] = ask(hub.address, f"/user/{user.name}/api/kernelspecs", token=user.token).json()
    return answer


def test_the_launcher_shows_the_kernels_of_all_images_before_anything_runs(hub: RunningHub, ada: Account) -> None:
    listed = kernelspecs(hub, ada)
    assert not containers(hub.label)
    assert listed["default"] == "python3"
    assert {name: spec["spec"]["display_name"] for name, spec in listed["kernelspecs"].items()} == {
        "python3": "Python 3 (datascience)",
        "echo": "Echo (Statistics)",
        "python3.statistics": "Python 3 (Statistics)",
        "python3.11": "Python 3 (Statistics)",
    }
    for spec in listed["kernelspecs"].values():
        logo = ask(hub.address, spec["resources"]["logo-64x64"], token=ada.token)
        assert logo.status == 200 and logo.headers["content-type"] == "image/png"
    assert "kernelhub-test/absent:latest is not on this machine" in hub.log()
    page = ask(hub.address, "/hub/home", token=ada.token)
    assert "Kernels of gone cannot be started" in page.text


async def test_each_profile_has_a_container_of_its_own_and_all_have_the_same_home(
    hub: RunningHub, ada: Account
) -> None:
    async with HubClient(hub.address, ada.name, ada.token) as client:
        first = (await client.start_session("a.ipynb", "python3"))["kernel"]
        second = (await client.start_session("b.ipynb", "python3.statistics"))["kernel"]
        assert (first["name"], second["name"]) == ("python3", "python3.statistics")
        assert len(containers(hub.label)) == 2
        async with client.kernel(first["id"]) as kernel:
            await kernel.execute("open('seen.txt', 'w').write('from datascience')")
        async with client.kernel(second["id"]) as kernel:
            reply = await kernel.execute("import os; print(open('seen.txt').read(), os.environ['HOME'])")
        assert text_of(reply) == "from datascience /srv/me\n"
        restarted = await client.request("POST", f"api/kernels/{second['id']}/restart")
        assert restarted[1]["name"] == "python3.statistics"
        for path in ("/srv/me/seen.txt", "/home/jovyan/seen.txt", "~/seen.txt"):
            _, found = await client.request("GET", f"api/resolvePath?path={quote(path)}")
            assert found["resolved"] == [{"scope": "server", "path": "seen.txt"}], path


async def test_terminals_of_all_containers_are_one_list(hub: RunningHub, ada: Account) -> None:
    async with HubClient(hub.address, ada.name, ada.token) as client:
        for profile, home in (("datascience", "/home/jovyan"), ("statistics", "/srv/me")):
            _, made = await client.request("POST", "api/terminals", {"profile": profile})
            url = f"{client.base}/terminals/websocket/{made['name']}"
            async with client.http.ws_connect(url, origin=hub.address) as socket:
                await socket.send_json(["stdin", 'echo "in:$HOME:"\r'])
                shown = ""
                while f"in:{home}:" not in shown:
                    kind, *rest = await socket.receive_json(timeout=20)
                    shown += rest[0] if kind == "stdout" else ""
        _, listed = await client.request("GET", "api/terminals")
        assert [terminal["name"] for terminal in listed] == ["1", "2"]
        assert (await client.request("DELETE", "api/terminals/2"))[0] == 204

        async def names() -> list[str]:
            return [terminal["name"] for terminal in (await client.request("GET", "api/terminals"))[1]]

        async with asyncio.timeout(20):
            while await names() != ["1"]:
                await asyncio.sleep(0.05)


async def test_stopping_one_container_leaves_the_other(hub: RunningHub, ada: Account) -> None:
    async with HubClient(hub.address, ada.name, ada.token) as client:
        model = ask(hub.address, "/hub/api/user", token=ada.token).json()
        assert set(model["servers"]) == {"", "statistics"}
        target = f"/hub/api/users/{ada.name}/servers/statistics"
        assert ask(hub.address, target, "DELETE", token=ada.token).status == 204
        assert len(containers(hub.label)) == 1
        _, kernels = await client.request("GET", "api/kernels")
        assert [kernel["name"] for kernel in kernels] == ["python3"]
        async with client.kernel(kernels[0]["id"]) as kernel:
            assert text_of(await kernel.execute("print(6 * 7)")) == "42\n"


def jupyter(image: str, *flags: str) -> str:
    """What Jupyter's own command prints inside."""
    command = ["docker", "run", "--rm", "-e", "JUPYTER_PATH=/opt/more", image, "jupyter", "kernelspec", "list", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def kernelspec_list(environment: dict[str, str], data_dir: Path, *flags: str) -> str:
    """What our command prints, in a process of its own."""
    command = [sys.executable, "-m", "hub.cli", "kernelspec", "list", "--data-dir", str(data_dir), *flags]
    variables = {**os.environ, **environment}
    done = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("where", ["beside a hub that runs", "where no hub ever ran"])
def test_the_kernelspecs_are_listed_as_jupyter_lists_them_inside(
    environment: dict[str, str], hub: RunningHub, data_dir: Path, derived_image: str, where: str
) -> None:
    folder = hub.data_dir if "runs" in where else data_dir
    printed = kernelspec_list(environment, folder, "--image", derived_image)
    assert printed == jupyter(derived_image)
    assert "  echo          /usr/share/jupyter/kernels/Echo\n" in printed
    assert json.loads(kernelspec_list(environment, folder, "--image", derived_image, "--json")) == json.loads(
        jupyter(derived_image, "--json")
    )
    assert kernelspec_list(environment, folder) == jupyter(minimal_image())


def test_an_image_without_kernels_or_that_is_not_there_is_an_error_that_says_so(
    environment: dict[str, str], data_dir: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "hub.cli",
        "kernelspec",
        "list",
        "--data-dir",
        str(data_dir),
        "--image",
        "no/such:1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=60)
    assert done.returncode == 1 and done.stdout == ""
    assert "The image no/such:1 is not on this machine" in done.stderr and "Traceback" not in done.stderr


def test_a_rebuilt_image_is_asked_again_and_users_see_its_new_kernels(
    environment: dict[str, str], data_dir: Path, derived_image: str
) -> None:
    tag = "kernelhub-test/moving:latest"
    try:
        subprocess.run(["docker", "tag", minimal_image(), tag], check=True)
        assert "echo" not in kernelspec_list(environment, data_dir, "--image", tag)
        subprocess.run(["docker", "tag", derived_image, tag], check=True)
        assert "echo" in kernelspec_list(environment, data_dir, "--image", tag)
    finally:
        subprocess.run(["docker", "rmi", tag], capture_output=True)


def test_probes_leave_nothing_behind(hub: RunningHub) -> None:
    assert probes(hub.label) == []
    assert not list((hub.data_dir / "run").glob("probe-*"))
