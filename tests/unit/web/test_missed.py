"""The page "Results you missed": one's own, as notebooks, and nobody else's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import nbformat
import pytest

from hub.domain.ids import KernelId, new_id
from hub.domain.missed import Missed
from hub.domain.users import User
from hub.errors import NotFound
from hub.results.service import Waiting
from tests.unit.web.conftest import Browser, Site

PAGE = "/hub/home/missed"


class Kept:
    """Missed results in memory."""

    def __init__(self) -> None:
        self.rows: list[Missed] = []

    async def list(self, user: User) -> list[Missed]:
        return [row for row in self.rows if row.user_id == user.id]

    async def notebook(self, user: User, missed_id: str) -> tuple[Missed, bytes]:
        for row in await self.list(user):
            if row.id == missed_id:
                cell = {"cell_type": "code", "id": "missed", "metadata": {}, "source": row.code, "outputs": [],
                        "execution_count": 1}  # fmt: skip
                return row, json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()
        raise NotFound("There is no such result, or it was deleted.")

    async def delete(self, user: User, missed_id: str) -> None:
        row, _ = await self.notebook(user, missed_id)
        self.rows.remove(row)

    async def delete_all(self, user: User) -> None:
        self.rows = [row for row in self.rows if row.user_id != user.id]


@dataclass
class There:
    """Ada's browser, what she and bob missed, and the kept ones."""

    browser: Browser
    kept: Kept
    adas: Missed
    bobs: Missed


@pytest.fixture
async def there(site: Site) -> There:
    kept = Kept()
    results: Any = site.services.results
    results.missed, results.waiting = kept, lambda _: [Waiting("big.ipynb", "Your quota is used up.")]
    browser, now = await site.signed_in("ada"), site.clock.now()
    for user, path in (
        (await site.auth.users.get("ada"), "work/<b>fit.ipynb"),
        (await site.add("bob"), "secret.ipynb"),
    ):
        what = (user.id, KernelId("k"), "r", path, "print('<i>')", "The cell's code was changed.")
        kept.rows.append(Missed(new_id(), *what, now - timedelta(hours=1), now, 1234))
    return There(browser, kept, *kept.rows)


async def test_the_page_lists_ones_own_and_what_waits(there: There) -> None:
    page = (await there.browser.get(PAGE)).text
    assert "work/&lt;b&gt;fit.ipynb" in page and "print(&#39;&lt;i&gt;&#39;)" in page and "was changed" in page
    assert "secret.ipynb" not in page
    assert "big.ipynb" in page and "Your quota is used up." in page
    assert f'href="{PAGE}"' in (await there.browser.get("/hub/home")).text


async def test_one_and_all_are_downloaded_as_notebooks(there: There) -> None:
    one = await there.browser.get(f"{PAGE}/{there.adas.id}")
    assert one.headers["Content-Disposition"] == "attachment; filename*=UTF-8''%3Cb%3Efit-missed.ipynb"
    assert one.headers["X-Content-Type-Options"] == "nosniff"
    nbformat.validate(json.loads(one.text))
    whole = json.loads((await there.browser.get(f"{PAGE}/all")).text)
    nbformat.validate(whole)
    assert [cell["cell_type"] for cell in whole["cells"]] == ["markdown", "code"]
    assert "\\<b\\>fit" in whole["cells"][0]["source"]


async def test_nobody_elses_can_be_had_or_deleted(there: There) -> None:
    assert (await there.browser.get(f"{PAGE}/{there.bobs.id}")).status == 404
    assert (await there.browser.submit(f"{PAGE}/delete", {"item": there.bobs.id}, PAGE)).status == 404
    await there.browser.submit(f"{PAGE}/empty", {}, PAGE)
    assert there.kept.rows == [there.bobs]


async def test_one_is_deleted(there: There) -> None:
    answer = await there.browser.submit(f"{PAGE}/delete", {"item": there.adas.id}, PAGE)
    assert answer.status == 302
    assert there.kept.rows == [there.bobs]
    assert "It is deleted." in (await there.browser.get(f"{PAGE}?done=deleted")).text
