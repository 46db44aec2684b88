"""hub.web.git_pull: following a link changes nothing until a form with the token is sent; what comes back is text."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from hub.config import Settings
from hub.errors import AgentSilent, NotFound, TooManyRequests
from hub.web.git_pull import read_progress
from proxy.contract.agent import JobInfo, JobOutput

JOB = "0f7e8d3e-0000-4000-8000-000000000000"
LINK = "repo=https%3A%2F%2Fme%3Ageheim%40h.example%2Fa%2Fcourse&branch=main&urlpath=tree%2Fcourse%2Fa.ipynb"
FIELDS = {"repo": "https://me:geheim@h.example/a/course", "branch": "main", "urlpath": "tree/course/a.ipynb"}


def output(*events: object, exit_status: int | None = None) -> JobOutput:
    text = "".join(json.dumps(event) + "\n" for event in events)
    return JobOutput(JobInfo(JOB, "git_pull", 0.0, exit_status=exit_status), 0, len(text), text)


@pytest.fixture
async def visit(site: Any) -> Any:
    browser = await site.signed_in("zoe")
    return site, browser, site.services.jobs


async def test_following_the_link_shows_what_it_asks_for_and_starts_nothing(visit: Any) -> None:
    _, browser, jobs = visit
    page = await browser.get(f"/user/zoe/git-pull?{LINK}")
    assert page.status == 200 and jobs.started == []
    assert "<code>https://h.example/a/course</code>" in page.text
    assert page.value_of("repo") == FIELDS["repo"]  # hidden, for the form alone
    assert "data-submit-now" not in page.text and "people you trust" in page.text


async def test_the_form_starts_it_and_leads_to_a_page_without_the_password(visit: Any) -> None:
    _, browser, jobs = visit
    page = f"/user/zoe/git-pull?{LINK}"
    answer = await browser.submit("/user/zoe/git-pull", FIELDS, page)
    assert jobs.started == [
        ("zoe", "git_pull", {"repo": FIELDS["repo"], "branch": "main", "target": "course", "depth": 0})
    ]
    assert answer.status == 303 and answer.location.startswith(f"/user/zoe/git-pull/{JOB}?repo=https%3A%2F%2Fh.example")
    assert "geheim" not in answer.location
    for forged in ({}, {"_xsrf": "x"}):
        assert (await browser.post("/user/zoe/git-pull", {**FIELDS, **forged})).status == 403
    assert len(jobs.started) == 1


async def test_the_page_shows_how_far_it_is_and_leads_on_at_the_end(visit: Any) -> None:
    _, browser, jobs = visit
    page = f"/user/zoe/git-pull/{JOB}?{LINK}"
    assert "Your container is starting" in (await browser.get(page)).text
    jobs.answer = output(
        {"text": "Receiving objects: 5%", "percent": 5}, {"text": "Receiving objects: 7%", "percent": 7}
    )
    shown = (await browser.get(page)).text
    assert 'value="7"' in shown and "5%" not in shown and "geheim" not in shown
    part = await browser.get(page, HX_Request="true")
    assert "<html" not in part.text and 'hx-trigger="every' in part.text
    jobs.answer = output({"done": True}, exit_status=0)
    end = await browser.get(page, HX_Request="true")
    assert end.headers["HX-Redirect"] == "/user/zoe/tree/course/a.ipynb"
    assert (await browser.get(page)).location == "/user/zoe/tree/course/a.ipynb"


async def test_renamed_files_are_told_before_it_leads_on(visit: Any) -> None:
    _, browser, jobs = visit
    jobs.answer = output({"done": True, "moved": ["a → <b>"]}, exit_status=0)
    page = await browser.get(f"/user/zoe/git-pull/{JOB}?{LINK}", HX_Request="true")
    assert "HX-Redirect" not in page.headers and "a → &lt;b&gt;" in page.text
    assert 'href="/user/zoe/tree/course/a.ipynb"' in page.text and "hx-trigger" not in page.text


@pytest.mark.parametrize(
    "answer, words",
    [
        (output({"failed": "no_branch", "message": "There is <none>."}, exit_status=1), "There is &lt;none&gt;."),
        (output(exit_status=-9), "ended without saying why"),
        (NotFound("There is no such job."), "not known any more"),
        (AgentSilent("Your container does not answer."), "Your container does not answer."),
    ],
)
async def test_a_failure_says_why_and_what_can_be_done(visit: Any, answer: Any, words: str) -> None:
    _, browser, jobs = visit
    jobs.answer = answer
    page = await browser.get(f"/user/zoe/git-pull/{JOB}?{LINK}")
    assert words in page.text and "Try again" in page.text and "Open my files anyway" in page.text
    assert "hx-trigger" not in page.text


async def test_a_link_that_may_not_be_is_a_page_with_the_reason(visit: Any) -> None:
    _, browser, jobs = visit
    for path in ("/user/zoe/git-pull?repo=file:///etc", "/user/zoe/git-pull", f"/user/zoe/git-pull/{JOB}?repo=ext::x"):
        page = await browser.get(path)
        assert page.status == 400 and "Open my files anyway" in page.text
    refused = await browser.submit("/user/zoe/git-pull", {"repo": "ssh://x/y"})
    assert refused.status == 400 and jobs.started == []
    jobs.answer = TooManyRequests("Several programs wait already.", 10)
    assert (await browser.submit("/user/zoe/git-pull", FIELDS)).status == 429


async def test_it_is_the_owners_alone_and_comes_back_after_signing_in(visit: Any) -> None:
    site, browser, _ = visit
    assert (await browser.get(f"/user/other/git-pull?{LINK}")).status == 403
    stranger = await site.browser().get(f"/user/zoe/git-pull?{LINK}")
    assert stranger.location.startswith("/hub/login?next=/user/zoe/git-pull%3Frepo%3D")


async def test_the_administrators_may_name_the_hosts_and_links_to_them_need_no_click(make_site: Any) -> None:
    site = await make_site(git_pull_hosts=["github.com"])
    browser = await site.signed_in("zoe")
    known = await browser.get("/user/zoe/git-pull?repo=https://github.com/a/b")
    assert known.status == 200 and "data-submit-now" in known.text
    assert "only from github.com" in (await browser.get("/user/zoe/git-pull?repo=https://evil.example/a")).text


@pytest.mark.parametrize("host", ["https://github.com", "GitHub.com", "github.com/", "*", ""])
def test_a_host_that_is_none_is_a_mistake_in_the_configuration(host: str) -> None:
    with pytest.raises(ValueError, match="is not a host's name"):
        Settings(git_pull_hosts=[host])


def test_what_is_not_of_the_programs_shape_is_passed_over() -> None:
    text = '[]\n{"percent": 1000}\n{"text": 5}\nnonsense\n{"too_long": 5}\n{"text": "x", "percent": 3}\n'
    progress = read_progress(text, None)
    assert (progress.state, progress.text, progress.percent) == ("running", "x", 3)
    assert read_progress("", None).state == "running" and read_progress("[" * 100_000, 0).state == "failed"


def test_a_flood_of_lines_does_not_keep_the_hub_busy() -> None:
    flood = '{"text": "Receiving: 1%"}\n' * 150_000
    began = time.process_time()
    progress = read_progress(flood + '{"done": true}\n', 0)
    assert progress.state == "done" and progress.lines == ["Receiving: 1%"]
    assert time.process_time() - began < 0.1
