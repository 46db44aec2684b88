"""Looking into somebody's files: with a reason, for a while, on the record, told to them, and without their scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from hub.contents.service import ContentsOfUsers
from hub.domain.users import Role, User
from hub.spawn.folders import Folders
from tests.unit.web.conftest import Browser, Site, SiteMaker

VIEW = "/hub/admin/users/bob/view"
REASON = "asked for help"


@pytest.fixture
async def site(make_site: SiteMaker, tmp_path: Path) -> AsyncIterator[Site]:
    made: Site = await make_site()
    contents = ContentsOfUsers(Folders(tmp_path, None, None), tmp_path / "contents", made.clock, impersonate=False)
    object.__setattr__(made.services, "contents", contents)
    yield made
    await contents.close()


@pytest.fixture
async def admin(site: Site) -> Browser:
    return await site.signed_in("root1", Role.ADMIN)


@pytest.fixture
async def bob(site: Site, tmp_path: Path) -> User:
    bob = await site.add("bob")
    home = Folders(tmp_path, None, None).prepare_home(bob)
    (home / "work").mkdir()
    (home / "work" / "a.txt").write_text("</pre><script>alert(1)</script>")
    (home / "n.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    (home / "blob.bin").write_bytes(b"\xff\x00")
    (home / ".secret").write_text("hidden")
    return bob


async def opened(admin: Browser) -> None:
    assert (await admin.submit(VIEW, {"reason": REASON}, VIEW)).location == VIEW


async def test_nothing_is_seen_without_an_open_view(admin: Browser, bob: User) -> None:
    assert "a.txt" not in (await admin.get(f"{VIEW}?path=work")).text
    assert (await admin.get(f"{VIEW}/file?path=work/a.txt")).location == VIEW


@pytest.mark.parametrize("reason", ["", "hm", "x" * 301])
async def test_a_view_needs_a_reason(admin: Browser, bob: User, reason: str) -> None:
    answer = await admin.submit(VIEW, {"reason": reason}, VIEW)
    assert answer.status == 400 and "Say why" in answer.text


async def test_an_open_view_shows_folders_and_files_as_text(site: Site, admin: Browser, bob: User) -> None:
    await opened(admin)
    folder = (await admin.get(VIEW)).text
    assert "work/" in folder and "n.ipynb" in folder and ".secret" not in folder
    text = (await admin.get(f"{VIEW}/file?path=work/a.txt")).text
    assert "&lt;/pre&gt;&lt;script&gt;" in text and "<script>alert" not in text
    assert "cannot" in (await admin.get(f"{VIEW}/file?path=blob.bin")).text.lower()
    assert (await admin.get(f"{VIEW}/file?path=.secret")).status == 404
    assert (await admin.get(f"{VIEW}/file?path=../../etc/passwd")).status in (400, 404)


async def test_a_notebook_is_shown_in_a_frame_that_may_do_nothing(admin: Browser, bob: User) -> None:
    await opened(admin)
    page = await admin.get(f"{VIEW}/file?path=n.ipynb")
    assert '<iframe class="sheet" title="n.ipynb" sandbox="" srcdoc="&lt;h1&gt;n&lt;/h1&gt;">' in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy and "unsafe-inline'" not in policy.partition("style-src")[0]


async def test_the_user_is_told_while_it_lasts_and_can_read_it_later(site: Site, admin: Browser, bob: User) -> None:
    browser = site.browser()
    await browser.sign_in("bob")
    await opened(admin)
    assert f"Reason: {REASON}" in (await browser.get("/hub/home")).text
    [notice] = (await browser.api("GET", "/hub/home/notices")).json()["notices"]
    assert notice["kind"] == "view" and "root1" in notice["text"]
    assert (await admin.submit(f"{VIEW}/close", page=VIEW)).location == f"{VIEW}?done=view-closed"
    page = (await browser.get("/hub/home")).text
    assert f"Reason: {REASON}" not in page and f"root1: {REASON}" in page
    assert (await browser.api("GET", "/hub/home/notices")).json()["notices"] == []
    actions = await site.actions("view.")
    assert {"view.opened", "view.folder_listed", "view.closed"} <= set(actions)


async def test_each_file_is_on_the_record(site: Site, admin: Browser, bob: User) -> None:
    await opened(admin)
    await admin.get(f"{VIEW}/file?path=work/a.txt")
    assert "view.file_opened" in await site.actions() and "work/a.txt" in await site.audit_text()


async def test_a_view_ends_by_itself(site: Site, admin: Browser, bob: User) -> None:
    await opened(admin)
    site.clock.advance(timedelta(minutes=15))
    assert (await admin.get(f"{VIEW}/file?path=work/a.txt")).location == VIEW


async def test_one_administrator_s_view_opens_nothing_to_another(site: Site, admin: Browser, bob: User) -> None:
    await opened(admin)
    other = await site.signed_in("root2", Role.ADMIN)
    assert (await other.get(f"{VIEW}/file?path=work/a.txt")).location == VIEW


async def test_others_cannot_look(site: Site, bob: User) -> None:
    alice = await site.signed_in("alice")
    for path in (VIEW, f"{VIEW}/file?path=work/a.txt"):
        assert (await alice.get(path)).status == 403
    assert (await alice.submit(VIEW, {"reason": REASON})).status == 403
    assert "access.refused" in await site.actions()


async def test_ones_own_files_are_in_jupyterlab(admin: Browser) -> None:
    own = "/hub/admin/users/root1/view"
    assert (await admin.submit(own, {"reason": REASON}, own)).status == 403


async def test_the_last_view_counts_for_its_own_user_only(site: Site, admin: Browser, bob: User) -> None:
    await opened(admin)
    await site.add("zoe")
    assert (await admin.get("/hub/admin/users/zoe/view/file?path=a")).location == "/hub/admin/users/zoe/view"
