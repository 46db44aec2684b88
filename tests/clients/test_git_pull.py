"""A student follows a course's link, signed out, in a real browser, and ends in the notebook."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, expect

from tests.harness.accounts import PASSWORD, Account, add_account
from tests.harness.browser import ARTEFACTS, Person
from tests.harness.course import Course, published
from tests.harness.running import RunningHub, running_hub

NOTEBOOK = json.dumps(
    {
        "cells": [{"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# Week 1"]}],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
)


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process", {"KERNELHUB_GIT_PULL_HOSTS": '["127.0.0.1"]'}) as hub:
        yield hub


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    with published(tmp_path_factory.mktemp("course")) as course:
        course.publish({"week 1.ipynb": NOTEBOOK})
        yield course


@pytest.fixture
def student(hub: RunningHub, browser: Browser, request: pytest.FixtureRequest) -> Iterator[tuple[Person, Account]]:
    account = add_account(hub, f"student{abs(hash(request.node.name)) % 10_000}")
    person = Person(browser, hub.address, account.name)
    yield person, account
    person.close()


def sign_in_here(person: Person) -> None:
    person.page.get_by_label("User name").fill(person.name)
    person.page.get_by_label("Password", exact=True).fill(PASSWORD)
    person.page.get_by_role("button", name="Sign in", exact=True).click()


def link(course: Course, **more: str) -> str:
    fields = {"repo": course.url, "branch": "main", "urlpath": "lab/tree/course/week 1.ipynb?autodecode", **more}
    return "/hub/user-redirect/git-pull?" + urlencode(fields)


def test_the_link_leads_by_sign_in_and_progress_to_the_notebook(
    hub: RunningHub, course: Course, student: tuple[Person, Account]
) -> None:
    person, account = student
    page = person.page
    course.gate.clear()
    page.goto(hub.address + link(course))
    expect(page).to_have_url(re.compile(r"/hub/login\?next="))
    sign_in_here(person)
    expect(page.get_by_role("heading", name="Fetching a repository")).to_be_visible()
    expect(page.get_by_role("definition").first).to_have_text(course.url)
    expect(page.locator("#progress")).to_contain_text("Asking 127.0.0.1", timeout=30_000)
    person.screenshot("git-pull-progress")
    course.gate.set()
    page.wait_for_url(re.compile(r"/lab/tree/course/week%201\.ipynb"))
    person.wait_for_lab()
    expect(page.locator(".jp-NotebookPanel:visible")).to_contain_text("Week 1")
    person.screenshot("git-pull-end")
    assert (account.home / "course" / "lesson.txt").exists()
    # Once more, with a file in the way of a new one: it is told before the notebook opens.
    (account.home / "course" / "task.md").write_text("mine")
    course.publish({"task.md": "theirs"})
    page.goto(hub.address + link(course))
    expect(page.locator("#progress")).to_contain_text(re.compile(r"task\.md → task_\d{14}\.md"), timeout=30_000)
    person.screenshot("git-pull-renamed")
    page.get_by_role("link", name="Open", exact=True).click()
    page.wait_for_url(re.compile(r"/lab/tree/course/week%201\.ipynb"))


def test_what_went_wrong_is_said_and_the_files_can_be_opened_anyway(
    hub: RunningHub, course: Course, student: tuple[Person, Account]
) -> None:
    person, account = student
    person.sign_in(PASSWORD)
    page = person.page
    page.goto(hub.address + link(course, branch="no-such"))
    expect(page.get_by_role("alert")).to_contain_text("no branch no-such", timeout=30_000)
    person.screenshot("git-pull-failed")
    page.goto(hub.address + link(course, repo="file:///etc"))
    expect(page.get_by_role("alert")).to_contain_text("not at an http or https address")
    page.get_by_role("link", name="Open my files anyway").click()
    person.wait_for_lab()
    assert not (account.home / "course").exists()
    assert not any("Content Security Policy" in line for line in person.console), person.console


def test_without_scripts_the_form_and_a_refresh_do_it(
    hub: RunningHub, browser: Browser, course: Course, student: tuple[Person, Account]
) -> None:
    person, account = student
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(hub.address + link(course, urlpath="rstudio/"))
        page.get_by_label("User name").fill(person.name)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_role("button", name="Fetch it")).to_be_visible()
        page.screenshot(path=str(ARTEFACTS / "git-pull-begin.png"))
        page.get_by_role("button", name="Fetch it").click()
        page.wait_for_url(re.compile(r"/lab/tree/course$"), timeout=30_000)
    assert Path(account.home / "course" / "week 1.ipynb").read_text() == NOTEBOOK


def test_the_page_goes_on_when_the_hub_was_restarted_meanwhile(
    hub: RunningHub, course: Course, student: tuple[Person, Account]
) -> None:
    person, account = student
    person.sign_in(PASSWORD)
    course.gate.clear()
    person.page.goto(hub.address + link(course))
    expect(person.page.locator("#progress")).to_contain_text("Asking 127.0.0.1", timeout=30_000)
    hub.kill("hub")
    course.gate.set()
    person.page.wait_for_url(re.compile(r"/lab/tree/course/week%201\.ipynb"), timeout=30_000)
    assert (account.home / "course" / "lesson.txt").exists()
