"""A real Prometheus scrapes a real hub by the files of deploy/: every rule loads, every panel's query is answered."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from tests.conftest import missing
from tests.harness.accounts import Account, add_account
from tests.harness.running import RunningHub, eventually, running_hub

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus"
PANELS = json.loads((DEPLOY / "grafana" / "kernelhub.json").read_text())["panels"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel.get("targets", [])]


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        missing(name, "apt-get install prometheus")
    return str(found)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture(scope="module")
def hub(ports: tuple[int, int]) -> Iterator[RunningHub]:
    environment = {"KERNELHUB_HUB_PORT": str(ports[0]), "KERNELHUB_METRICS_PORT": str(ports[1])}
    with running_hub("process", environment) as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


@contextmanager
def prometheus(folder: Path, hub_port: int, proxy_port: int) -> Iterator[str]:
    """Prometheus with the files of deploy/, but for the ports and how often it looks."""
    for file in RULES.glob("*.yml"):
        text = file.read_text().replace("127.0.0.1:8081", f"127.0.0.1:{hub_port}")
        text = text.replace("127.0.0.1:8082", f"127.0.0.1:{proxy_port}").replace("_interval: 15s", "_interval: 1s")
        (folder / file.name).write_text(text)
    address = f"127.0.0.1:{free_port()}"
    command = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as running:
        try:
            yield f"http://{address}"
        finally:
            running.terminate()


def ask(address: str, path: str, **query: str) -> Any:
    try:
        with urlopen(f"{address}/api/v1/{path}?{urlencode(query)}", timeout=5) as answer:
            return json.load(answer)["data"]
    except URLError:
        return None


@pytest.fixture(scope="module")
def measured(hub: RunningHub, ada: Account, ports: tuple[int, int], tmp_path_factory: Any) -> Iterator[str]:
    """The address of a Prometheus that has seen a hub with a kernel."""
    headers = {"Authorization": f"token {ada.token}", "Content-Type": "application/json"}
    with urlopen(Request(f"{hub.address}/user/ada/api/kernels", b"{}", headers), timeout=60) as answer:
        assert answer.status == 201
    with prometheus(tmp_path_factory.mktemp("prometheus"), *ports) as address:

        def both_seen() -> bool:
            found = ask(address, "query", query='up{job=~"kernelhub.*"} == 1')
            return found is not None and len(found["result"]) == 2

        eventually(both_seen, what="Prometheus to have scraped hub and proxy")
        yield address


def test_the_alerts_do_what_their_own_tests_say() -> None:
    done = subprocess.run([program("promtool"), "test", "rules", "alerts_test.yml"], cwd=RULES, capture_output=True)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def test_every_rule_is_loaded_and_healthy_and_nothing_is_wrong_with_a_hub_at_rest(measured: str) -> None:
    def rules() -> list[Any]:
        groups = (ask(measured, "rules") or {"groups": []})["groups"]
        return [rule for group in groups for rule in group["rules"]]

    eventually(lambda: rules() and all(rule["health"] == "ok" for rule in rules()), what="rules that were tried")
    firing = {rule["name"] for rule in rules() if rule["state"] == "firing"}
    assert firing <= {"KernelhubDiskFull"}  # the machine's own disk may be


def test_every_metric_that_alerts_and_panels_speak_of_is_there(measured: str) -> None:
    texts = [*EXPRESSIONS, (RULES / "alerts.yml").read_text()]
    named = {name for text in texts for name in re.findall(r"\b(?:kernelhub|jupyterhub)_[a-z_]+", text)}
    there = set(ask(measured, "label/__name__/values"))
    there |= {name.removesuffix("_count") for name in there}  # a histogram is spoken of by its own name
    assert named - there == set()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_query_of_each_panel_is_answered(measured: str, expression: str) -> None:
    found = ask(measured, "query", query=expression.replace("$__rate_interval", "5s"))
    assert found is not None and found["resultType"] == "vector"


def test_what_was_done_shows_in_the_figures(measured: str) -> None:
    def value(query: str) -> float:
        result = (ask(measured, "query", query=query) or {"result": []})["result"]
        return float(result[0]["value"][1]) if result else -1.0

    eventually(lambda: value("jupyterhub_total_users") == 1, what="the user")
    eventually(lambda: value("jupyterhub_running_servers") == 1, what="the running container")
    eventually(lambda: value('kernelhub_kernel_start_duration_seconds_count{status="success"}') == 1, what="a kernel")


def test_no_label_holds_a_name(measured: str, hub: RunningHub) -> None:
    labels = set(ask(measured, "labels"))
    values = {value for label in labels - {"__name__"} for value in ask(measured, f"label/{label}/values")}
    assert not [value for value in values if "ada" in value.lower()]
