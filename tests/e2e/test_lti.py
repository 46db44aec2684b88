"""A course in a learning platform, in a real browser: teacher and pupil come by its links, top level and in a frame.

The hub is reached by https at ``localhost``, the platform by http at ``127.0.0.1``: two sites, as in life, so that the
frame is a third party's, and the browser is told to keep no cookies of those but partitioned ones. One story in steps.
"""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from tests.conftest import missing
from tests.harness.browser import ARTEFACTS, CHROMIUM, FLAGS
from tests.harness.https_front import free_port, https_front
from tests.harness.lti_platform import Platform, lti_platform
from tests.harness.running import RunningHub

pytestmark = [pytest.mark.browser]
PASSWORD = "seven otters juggle lanterns"
NOTEBOOK = {
    "cells": [{"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# Photosynthesis"}],
    "metadata": {},
    "nbformat": 4,
    "nbformat_minor": 5,
}


@dataclass
class School:
    """The hub and the platform."""

    hub: RunningHub
    address: str
    platform: Platform

    def link(self, user: str, hint: str, frame: bool = False) -> str:
        """The address of a link in the course."""
        return f"{self.platform.address}/open?user={user}&hint={hint}" + ("&frame=1" if frame else "")


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    """A hub behind https, and a platform that is registered there."""
    port, public = free_port(), free_port()
    environment = {"KERNELHUB_LTI__ENABLED": "true", "KERNELHUB_PUBLIC_URL": f"https://localhost:{public}"}
    hub = RunningHub("process", environment)
    hub.port = port
    with https_front(port, tmp_path_factory.mktemp("tls"), public) as address, lti_platform() as platform:
        try:
            hub.start()
            platform.hub, platform.tool_keys = address, lambda: _keys(address)
            given = {name.replace("_", "-"): value for name, value in platform.settings().items()}
            flags = [f"--{name}={value}" for name, value in given.items() if name != "deployments"]
            hub.cli("lti", "add", "school", *flags, "--deployment", platform.deployment)
            platform.link("Welcome")
            yield School(hub, address, platform)
        finally:
            hub.remove()


def _keys(address: str) -> dict[str, object]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(f"{address}/hub/lti/keys", context=context, timeout=10) as answer:
        return dict(json.load(answer))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium that keeps no third parties' cookies, but partitioned ones."""
    if not CHROMIUM.exists():
        missing("Chromium", "bash tests/prepare.sh")
    with sync_playwright() as playwright:
        flags = [*FLAGS, "--test-third-party-cookie-phaseout"]
        launched = playwright.chromium.launch(executable_path=str(CHROMIUM), headless=True, args=flags)
        yield launched
        launched.close()


def context_in(browser: Browser) -> BrowserContext:
    context = browser.new_context(ignore_https_errors=True, viewport={"width": 1200, "height": 900})
    context.set_default_timeout(20_000)
    return context


@pytest.fixture(scope="module")
def tina(browser: Browser) -> Iterator[BrowserContext]:
    """The teacher's browser."""
    context = context_in(browser)
    yield context
    context.close()


@pytest.fixture(scope="module")
def sam(browser: Browser) -> Iterator[BrowserContext]:
    """A pupil's browser."""
    context = context_in(browser)
    yield context
    context.close()


def picture(page: Page, name: str) -> None:
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=str(Path(ARTEFACTS) / f"{name}.png"), full_page=True)


def test_a_link_at_top_level_signs_the_teacher_in_with_one_click(school: School, tina: BrowserContext) -> None:
    page = tina.new_page()
    page.goto(school.link("tina", "link-1"))
    page.wait_for_url(f"{school.address}/hub/home")
    assert page.request.get(f"{school.address}/hub/api/user").json()["groups"] == ["school-bio-101"]
    page.goto(f"{school.address}/user/tina/lab")
    saved = page.evaluate(
        """async notebook => (await fetch('/user/tina/api/contents/first.ipynb', {
            method: 'PUT', body: JSON.stringify({type: 'notebook', format: 'json', content: notebook}),
            headers: {'Content-Type': 'application/json', 'X-XSRFToken': document.cookie.match(/_xsrf=([^;]*)/)[1]},
        })).status""",
        NOTEBOOK,
    )
    assert saved == 201


def test_in_the_platforms_frame_the_teacher_chooses_a_notebook_for_a_link(school: School, tina: BrowserContext) -> None:
    page = tina.new_page()
    page.goto(school.link("tina", "deep", frame=True))
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="What should the link open?")).to_be_visible()
    picture(page, "lti-choose")
    frame.get_by_label("Title (optional)").fill("Photosynthesis")
    frame.get_by_label("It has a place in the gradebook").check()
    frame.get_by_role("button", name="Choose first.ipynb").click()
    expect(frame.get_by_role("heading", name="Added to the course")).to_be_visible()
    [item] = school.platform.content_items
    assert item["title"] == "Photosynthesis" and item["lineItem"]["scoreMaximum"] == 100
    school.platform.link(item["title"], url=item["url"], custom=item["custom"])


def test_in_the_platforms_frame_a_pupil_gets_a_button_that_opens_the_notebook_in_a_tab(
    school: School, sam: BrowserContext
) -> None:
    page = sam.new_page()
    page.goto(school.link("sam", "link-2", frame=True))
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Photosynthesis")).to_be_visible()
    picture(page, "lti-continue")
    with sam.expect_page() as opened:
        frame.get_by_role("button", name="Open in a new tab").click()
    tab = opened.value
    tab.wait_for_url(f"{school.address}/user/sam/lab/tree/first.ipynb")
    expect(tab.locator(".jp-NotebookPanel:visible")).to_contain_text("Photosynthesis", timeout=30_000)
    assert tab.evaluate("window.opener") is None
    assert "code=" not in tab.url


def test_jupyterlab_itself_is_shown_in_no_frame(school: School, sam: BrowserContext) -> None:
    page = sam.new_page()
    page.goto(f"{school.platform.address}/nothing")
    with page.expect_response("**/user/sam/lab") as answered:
        page.set_content(f'<iframe name="tool" src="{school.address}/user/sam/lab"></iframe>')
    assert answered.value.headers["content-security-policy"].endswith(
        ("frame-ancestors 'self'", "frame-ancestors 'none'")
    )
    assert page.frame_locator("iframe").locator("#jp-main-dock-panel").count() == 0


def test_the_same_link_again_at_top_level_leads_straight_to_the_notebook(school: School, sam: BrowserContext) -> None:
    page = sam.new_page()
    page.goto(school.link("sam", "link-2"))
    page.wait_for_url(f"{school.address}/user/sam/lab/**")
    assert sam.request.get(f"{school.address}/hub/api/user").json()["name"] == "sam"


def test_a_browser_that_keeps_no_cookies_in_frames_at_all_goes_on_in_a_tab(school: School, browser: Browser) -> None:
    context = context_in(browser)

    def forget(route: Route) -> None:
        if route.request.frame.parent_frame is not None:
            context.clear_cookies()
        route.continue_()

    context.route("**/hub/lti/launch", forget)
    page = context.new_page()
    page.goto(school.link("sue", "link-2", frame=True))
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="One more click")).to_be_visible()
    with context.expect_page() as opened:
        frame.get_by_role("link", name="Open in a new tab").click()
    opened.value.wait_for_url(f"{school.address}/user/sue/lab/tree/first.ipynb")
    context.close()


def test_a_score_and_the_roster_by_command(school: School) -> None:
    assert "works" in school.hub.cli("lti", "test", "school")
    assert school.hub.cli("lti", "score", "school", "link-2", "sam", "8", "--max", "10").strip() == "sent"
    assert school.platform.scores[0]["scoreGiven"] == 8
    school.platform.add("una")
    assert "Biology 101: 1 added, 0 changed, 0 removed" in school.hub.cli("lti", "roster", "school")
