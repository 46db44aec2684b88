"""The page of deleted files, and the home page's links to files."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hub.contents.models import Limits
from hub.contents.service import Contents, ContentsOfUsers
from hub.contents.trash_info import TrashRules
from hub.spawn.folders import Folders
from tests.unit.web.conftest import Browser, Site

PAGE = "/hub/home/trash"


@pytest.fixture
async def files(site: Site, tmp_path: Path) -> AsyncIterator[ContentsOfUsers]:
    """The site's files, and what its other tabs were told in `told`."""
    folders = Folders(tmp_path, None, None)
    rules = TrashRules(("/home/jovyan",), 30)
    contents = ContentsOfUsers(
        folders, tmp_path / "state", site.clock, Limits(delete_full_folders=True), impersonate=False, trash=rules
    )
    absent: Any = site.services.contents
    absent.of, absent.events = contents.of, SimpleNamespace(contents=lambda *_: None)
    yield contents
    await contents.close()


async def of(site: Site, files: ContentsOfUsers, name: str) -> Contents:
    return files.of(await site.auth.users.get(name))


async def deleted(site: Site, files: ContentsOfUsers, browser: Browser, *paths: str) -> Contents:
    """Alice's files, of which some were made and deleted."""
    contents = await of(site, files, "alice")
    for path in paths:
        await contents.new_untitled("", ext=".txt")
        await contents.rename("untitled.txt", path)
        await contents.delete(path)
    return contents


async def test_the_home_page_leads_to_the_trash_and_to_all_files(site: Site) -> None:
    page = (await (await site.signed_in("alice")).get("/hub/home")).text
    assert 'href="/hub/home/trash"' in page
    assert 'href="/user/alice/directories/?archiveFormat=zip"' in page


async def test_deleted_files_are_listed_restored_and_removed(site: Site, files: ContentsOfUsers) -> None:
    browser = await site.signed_in("alice")
    contents = await deleted(site, files, browser, "a <b>.txt", "gone.txt")
    page = (await browser.get(PAGE)).text
    assert "a &lt;b&gt;.txt" in page and "just now" in page and "0 bytes" in page
    answer = await browser.submit(f"{PAGE}/restore", {"item": "a <b>.txt"}, PAGE)
    assert answer.location == f"{PAGE}?restored=a%20%3Cb%3E.txt"
    assert "“a &lt;b&gt;.txt” is back." in (await browser.get(answer.location)).text
    assert await contents.exists("a <b>.txt")
    assert (await browser.submit(f"{PAGE}/delete", {"item": "gone.txt"}, PAGE)).location == f"{PAGE}?done=deleted"
    assert "Nothing is here." in (await browser.get(PAGE)).text


async def test_the_trash_is_emptied(site: Site, files: ContentsOfUsers) -> None:
    browser = await site.signed_in("alice")
    contents = await deleted(site, files, browser, "a.txt", "b.txt")
    asked = re.findall('data-confirm="([^"]+)"', (await browser.get(PAGE)).text)
    assert set(asked) == {f"Delete {what} for ever?" for what in ("everything in the trash", "a.txt", "b.txt")}
    assert (await browser.submit(f"{PAGE}/empty", page=PAGE)).location == f"{PAGE}?done=emptied"
    assert (await contents.trash.list()).items == []


async def test_what_is_not_there_any_more_is_said(site: Site, files: ContentsOfUsers) -> None:
    browser = await site.signed_in("alice")
    for action in ("restore", "delete"):
        for item in ("nothing", "../x", ""):
            answer = await browser.submit(f"{PAGE}/{action}", {"item": item})
            assert answer.status == 404
            assert "not in your trash" in answer.text or "not a path" in answer.text


async def test_everybody_has_a_trash_of_their_own(site: Site, files: ContentsOfUsers) -> None:
    await deleted(site, files, await site.signed_in("alice"), "mine.txt")
    bob = await site.signed_in("bob")
    assert "mine.txt" not in (await bob.get(PAGE)).text
    assert (await bob.submit(f"{PAGE}/restore", {"item": "mine.txt"})).status == 404


async def test_an_address_of_a_form_leads_to_the_page(site: Site, files: ContentsOfUsers) -> None:
    browser = await site.signed_in("alice")
    for action in ("restore", "delete", "empty"):
        assert (await browser.get(f"{PAGE}/{action}")).location == PAGE
