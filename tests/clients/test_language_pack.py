"""What an administrator installs beside the hub: a language, a theme, extensions with and without a server part.

The packages lie in a folder of their own (tests/prepare.sh), which the hub under test is told of by the variables
that Jupyter has for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.conftest import missing
from tests.harness.accounts import PASSWORD
from tests.harness.browser import Person
from tests.harness.console import Watch
from tests.harness.front_pages import config_of
from tests.harness.running import RunningHub, running_hub

pytestmark = pytest.mark.browser
PACKAGES = Path(__file__).parents[2] / ".cache" / "front-ends"


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    if not (PACKAGES / "jupyterlab_language_pack_de_DE").is_dir():
        missing("the language pack and extensions of the tests", "bash tests/prepare.sh")
    environment = {"PYTHONPATH": str(PACKAGES), "JUPYTER_PATH": str(PACKAGES / "share" / "jupyter")}
    with running_hub("process", environment) as hub:
        for name in ("ada", "bob"):
            hub.cli("user", "add", name, "--password-stdin", input=PASSWORD)
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub, browser: Browser) -> Iterator[Person]:
    person = Person(browser, hub.address, "ada")
    person.sign_in(PASSWORD)
    yield person
    person.screenshot("language-end")
    person.close()


def choose(person: Person, *path: str) -> None:
    """Choose from the menu bar; all but the last open a menu."""
    for number, name in enumerate(path):
        kind = ".lm-MenuBar-itemLabel" if number == 0 else ".lm-Menu:visible .lm-Menu-itemLabel"
        person.page.locator(kind, has_text=re.compile(rf"^{name}$")).last.click()


def test_a_theme_and_an_extension_without_a_server_part_work(ada: Person) -> None:
    watch = Watch(ada.context)
    ada.page.reload()
    ada.wait_for_lab()
    config = config_of(ada.context.request.get(f"{ada.address}/user/ada/lab").body())
    extensions = {extension["name"] for extension in config["federated_extensions"]}
    assert {"jupyterlab-night", "jupyterlab-execute-time"} <= extensions
    choose(ada, "Settings", "Theme", "JupyterLab Night")
    expect(ada.page.locator("body")).to_have_attribute("data-jp-theme-name", "JupyterLab Night", timeout=30_000)
    settings = ada.context.request.get(f"{ada.address}/user/ada/lab/api/settings/jupyterlab-execute-time:settings")
    assert settings.status == 200 and settings.json()["schema"]["properties"]
    ada.screenshot("theme-from-pypi")
    assert watch.complaints() == []


def test_an_extension_whose_server_part_is_missing_is_left_out(ada: Person) -> None:
    config = config_of(ada.context.request.get(f"{ada.address}/user/ada/lab").body())
    loaded = {extension["name"] for extension in config["federated_extensions"]}
    assert not loaded & {"jupyterlab_code_formatter", "nbdime-jupyterlab"}
    assert "jupyterlab_code_formatter" in config["disabledExtensions"]


def test_a_language_shows_up_in_the_menu_and_switches_the_page(ada: Person) -> None:
    choose(ada, "Settings", "Language", "German.*|Deutsch.*")
    ada.page.get_by_role("dialog").get_by_role("button", name="Change and reload").click()
    expect(ada.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Datei$"))).to_be_visible(timeout=60_000)
    ada.screenshot("language-lab")


def test_the_language_is_notebooks_too_and_nobody_elses(ada: Person, hub: RunningHub, browser: Browser) -> None:
    ada.page.goto(f"{ada.address}/user/ada/tree")
    expect(ada.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Datei$"))).to_be_visible(timeout=60_000)
    ada.screenshot("language-notebook7")
    bob = Person(browser, hub.address, "bob")
    bob.sign_in(PASSWORD)
    expect(bob.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^File$"))).to_be_visible(timeout=60_000)
    bob.close()
