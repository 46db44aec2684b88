"""Health, metrics, and the hub's own static files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.users import Role
from hub.errors import StoreUnavailable
from hub.http.handler import INTERNAL_HEADER
from hub.web import words
from hub.web.rendering import STATIC_FILES, static_url
from tests.unit.web.conftest import Site

TEMPLATES = Path(words.__file__).with_name("templates")
WITHOUT_PROXY = {INTERNAL_HEADER.replace("-", "_"): None}


async def test_health_is_answered_without_a_proxy(site: Site) -> None:
    for path in ("/health/live", "/health/ready"):
        assert (await site.browser().get(path)).json() == {"status": "ok"}
        assert (await site.browser().get(path, **WITHOUT_PROXY)).json() == {"status": "ok"}


async def test_a_hub_without_its_database_is_alive_and_not_ready(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away() -> None:
        raise StoreUnavailable("The database does not answer.")

    monkeypatch.setattr(site.store, "ping", away)
    assert (await site.browser().get("/health/live")).status == 200
    answer = await site.browser().get("/health/ready")
    assert (answer.status, answer.json()["code"]) == (503, "store.unavailable")


async def test_metrics_are_for_the_hubs_own_port_and_name_nobody(site: Site) -> None:
    browser = await site.signed_in("alice")
    await browser.get("/hub/home")
    await site.browser().sign_in("alice", "wrong wrong wrong")
    assert (await browser.get("/metrics")).status == 404
    answer = await site.browser().get("/metrics", **WITHOUT_PROXY)
    assert answer.status == 200
    assert 'jupyterhub_request_duration_seconds_count{code="200",handler="HomePage",method="GET"}' in answer.text
    assert 'kernelhub_sign_ins_total{outcome="refused"}' in answer.text
    assert "alice" not in answer.text


async def test_static_files_are_kept_for_ever_under_their_hash(site: Site) -> None:
    for name, (data, _) in STATIC_FILES.items():
        answer = await site.browser().get(static_url(name))
        assert answer.response.body == data
        assert "immutable" in answer.headers["Cache-Control"]
        assert (await site.browser().get(f"/hub/static/{name}?v=old")).headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "name", ["../page.py", "..%2fpage.py", "%2e%2e/page.py", "/etc/passwd", "x", "vendor", "hub.css%00"]
)
async def test_nothing_else_is_a_static_file(site: Site, name: str) -> None:
    assert (await site.browser().get(f"/hub/static/{name}")).status == 404


async def test_pages_load_nothing_from_elsewhere_and_hold_no_inline_code(site: Site) -> None:
    admin = await site.signed_in("root1", Role.ADMIN)
    pages = ["/hub/home", "/hub/token", "/hub/admin", "/hub/admin/users/root1", "/hub/admin/containers", "/hub/logout"]
    for visitor, paths in ((admin, pages), (site.browser(), ["/hub/login", "/nowhere"])):
        for path in paths:
            answer = await visitor.get(path)
            assert re.findall(r"<script(?![^>]*src=)|<style| style=| on[a-z]+=", answer.text) == []
            assert all(
                url.startswith(("/", "#content")) for url in re.findall(r'(?:src|href|action)="([^"]*)"', answer.text)
            )
            assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


PROOFS = {
    "lti_choose.html": "session",
    "lti_chosen.html": "JWT",
    "lti_continue.html": "code",
    "lti_register.html": "registration_token",
}
"""Forms in a platform's frame or window, where no cookie of ours is sent: what proves them in place of the token."""


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_templates_never_switch_escaping_off(template: Path) -> None:
    text = template.read_text()
    assert not re.search(r"\|\s*safe|autoescape|Markup", text)
    for form in re.findall(r'<form[^>]*method="post".*?</form>', text, flags=re.DOTALL):
        assert f'name="{PROOFS.get(template.name, "_xsrf")}"' in form


def test_vendored_files_come_with_their_licences() -> None:
    vendored = {name.split("/")[-1].split("-")[0] for name in STATIC_FILES if name.startswith("vendor/")}
    assert all(f"vendor/{name}-LICENSE.txt" in STATIC_FILES for name in vendored)


@given(st.timedeltas())
def test_any_time_span_has_words(span: object) -> None:
    assert words.ago(span)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("agent", "shown"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64) AppleWebKit/537 Chrome/140.0 Safari/537 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537 Chrome/140.0 Mobile Safari/537", "Chrome on Android"),
        ("curl/8.0", "curl"),
        ("", "A browser"),
    ],
)
def test_browsers_are_named_as_people_know_them(agent: str, shown: str) -> None:
    assert words.browser(agent) == shown
