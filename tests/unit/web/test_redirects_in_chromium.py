"""Chromium, not string matching, says where a browser ends up (T-OR, scoreboard S3)."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from playwright.async_api import async_playwright

from hub.http.handler import INTERNAL_HEADER
from tests.conftest import missing
from tests.unit.http.test_redirect import OPEN_REDIRECTS
from tests.unit.web.conftest import INTERNAL_TOKEN, Site

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


@pytest.mark.browser
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_no_link_to_the_hub_leads_a_browser_elsewhere(site: Site) -> None:
    if not CHROMIUM.exists():
        missing("Chromium", "run `apt-get install chromium`")
    browser = await site.signed_in("alice")
    host = urlsplit(site.address)
    cookie = {"name": "kernelhub", "value": browser.cookies["kernelhub"], "url": site.address}
    async with async_playwright() as playwright:
        # Whatever host a page leads to is this server, so that arriving elsewhere is seen and not an error.
        flags = [*FLAGS, f"--host-resolver-rules=MAP * 127.0.0.1:{host.port}"]
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        context = await chromium.new_context(extra_http_headers={INTERNAL_HEADER: INTERNAL_TOKEN})
        await context.add_cookies([cookie])  # type: ignore[list-item]
        page, strayed = await context.new_page(), []
        for target in OPEN_REDIRECTS:
            for start in ("/hub/login?next=", "/hub/user-redirect/"):
                link = start + (quote(target, safe="") if start.endswith("=") else target.lstrip("/").replace("#", ""))
                await page.goto(site.address + link, wait_until="commit")
                end = urlsplit(page.url)
                if (end.scheme, end.netloc) != (host.scheme, host.netloc):
                    strayed.append((link, page.url))
        await chromium.close()
    assert strayed == []
