"""``POST /internal/thaw``: what a proxy asks before a message goes into a paused container."""

from __future__ import annotations

import msgspec
import pytest

from hub.errors import Conflict, EngineSilent, HubError
from proxy.contract.thaw import ThawAnswer, ThawQuestion
from tests.unit.web.conftest import Site, SiteMaker

QUESTION = msgspec.json.encode(ThawQuestion("w" * 26))


@pytest.fixture
async def site(make_site: SiteMaker) -> Site:
    made: Site = await make_site()
    return made


async def ask(site: Site) -> ThawAnswer:
    answer = await site.browser().send("POST", "/internal/thaw", QUESTION)
    assert answer.status == 200
    return msgspec.convert(answer.json(), ThawAnswer)


async def test_it_is_answered_when_the_container_goes_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    async def thaw(workspace_id: str, why: str) -> None:
        asked.append((workspace_id, why))

    monkeypatch.setattr(site.services.freezer, "thaw", thaw)
    assert await ask(site) == ThawAnswer(True)
    assert asked == [("w" * 26, "message")]


@pytest.mark.parametrize(
    ("error", "again"), [(EngineSilent("the engine does not answer"), True), (Conflict("it runs no more"), False)]
)
async def test_why_it_does_not_and_whether_to_ask_again_is_said(
    site: Site, monkeypatch: pytest.MonkeyPatch, error: HubError, again: bool
) -> None:
    async def thaw(workspace_id: str, why: str) -> None:
        raise error

    monkeypatch.setattr(site.services.freezer, "thaw", thaw)
    assert await ask(site) == ThawAnswer(False, error.message, again)
