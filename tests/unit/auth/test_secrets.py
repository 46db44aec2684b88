"""Secrets at rest: unreadable without the key, bound to what they are for, sealed anew while hubs run."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hub.auth.secrets import (
    FILE_NAME,
    Secrets,
    SecretUnreadable,
    add_key,
    keep_newest_key,
    read_keys,
    read_or_make_secrets,
)
from hub.domain.ids import new_id
from hub.domain.users import Role
from hub.store.engine import Store
from hub.store.second_factors import FactorKind, SecondFactor

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_what_is_sealed_opens_for_its_purpose_only(tmp_path: Path) -> None:
    made = read_or_make_secrets(tmp_path)
    sealed = made.seal("seed", "JBSWY3DP")
    assert "JBSWY3DP" not in sealed
    assert "JBSWY3DP" not in repr(made)
    assert read_or_make_secrets(tmp_path).open("seed", sealed) == "JBSWY3DP"
    for purpose, text in (("token", sealed), ("seed", sealed[:-4] + "AAAA"), ("seed", "nonsense"), ("seed", "é")):
        with pytest.raises(SecretUnreadable):
            made.open(purpose, text)


def test_keys_that_others_can_read_are_refused(tmp_path: Path) -> None:
    read_or_make_secrets(tmp_path)
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    (tmp_path / FILE_NAME).chmod(0o640)
    with pytest.raises(PermissionError, match="chmod 600"):
        read_or_make_secrets(tmp_path)


@pytest.mark.parametrize("content", ["", "nonsense\n"])
def test_a_damaged_file_is_refused_and_not_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    (tmp_path / FILE_NAME).chmod(0o600)
    with pytest.raises(PermissionError, match="backup"):
        read_or_make_secrets(tmp_path)
    assert (tmp_path / FILE_NAME).read_text() == content


async def test_a_rotation_is_followed_by_a_hub_that_runs(tmp_path: Path, store: Store) -> None:
    running = read_or_make_secrets(tmp_path)
    [old] = read_keys(tmp_path)
    async with store.unit() as unit:
        user = await unit.users.add("ada", Role.USER, NOW)
        data = {"seed": running.seal("seed", "JBSWY3DP"), "step": 1}
        await unit.second_factors.add(SecondFactor(new_id(), user.id, FactorKind.APP, "phone", data, NOW))
    newest = Secrets(add_key(tmp_path))
    between = running.seal("seed", "made meanwhile")
    async with store.unit() as unit:
        assert await unit.sealed.change_all(newest.seal_anew) == 1
    keep_newest_key(tmp_path)
    assert old not in read_keys(tmp_path)
    async with store.reading() as unit:
        [factor] = await unit.second_factors.list(user.id)
    assert factor.data["step"] == 1
    assert running.open("seed", factor.data["seed"]) == "JBSWY3DP"
    assert running.open("seed", between) == "made meanwhile"
    with pytest.raises(SecretUnreadable):
        Secrets([old]).open("seed", factor.data["seed"])


def test_every_place_that_seals_is_one_that_rotation_knows_or_that_is_not_kept() -> None:
    root = Path(__file__).parents[3] / "hub"
    places = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if re.search(r"secrets\.seal\(", path.read_text()) and path.name != "secrets.py"
    }
    kept = {"auth/second_factors.py", "auth/oidc/service.py", "auth/lti/tool_keys.py"}
    assert places == kept | {"auth/passkeys.py"}, "add it to hub/store/sealed.py"
