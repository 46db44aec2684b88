"""A token with restricted scopes opens WebSockets only if it may use Jupyter's API too."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hub.auth.identity import Credential, Identity
from hub.domain.ids import UserId
from hub.domain.users import Role, User
from hub.errors import NotFound
from hub.http.services import Services
from hub.web.internal import answer_route
from proxy.contract.route import Refusal, RouteQuestion
from tests.harness.grants import FakeAuthority, identity_of

ALICE = User(UserId("a"), 1, "alice", Role.USER, datetime(2026, 1, 1, tzinfo=UTC))
KERNEL = "0f7e8d3e-0000-4000-8000-000000000000"


def services(*scopes: str) -> Services:
    async def identify(*_: Any) -> Identity:
        return identity_of(ALICE, Credential.TOKEN, scopes=scopes)

    async def workspace_of(*_: Any) -> Any:
        raise NotFound("asked for")

    guard, kernels = SimpleNamespace(identify=identify), SimpleNamespace(workspace_of=workspace_of)
    settings = SimpleNamespace(allowed_origins=[])
    return cast(Services, SimpleNamespace(settings=settings, guard=guard, kernels=kernels, authority=FakeAuthority()))


@pytest.mark.parametrize(("scopes", "status"), [((), 404), (("jupyter",), 404), (("read",), 403)])
async def test_a_token_without_the_scope_is_refused(scopes: tuple[str, ...], status: int) -> None:
    question = RouteQuestion(
        path=f"/user/alice/api/kernels/{KERNEL}/channels",
        query="",
        cookie="",
        authorization="token x",
        origin=None,
        host="hub",
        scheme="http",
        address="127.0.0.1",
        user_agent="",
    )
    answer = await answer_route(services(*scopes), question)
    assert isinstance(answer, Refusal)
    assert answer.status == status
