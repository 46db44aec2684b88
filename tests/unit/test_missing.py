"""What a test needs and does not find is a failure in CI and a visible skip elsewhere."""

from __future__ import annotations

import pytest

from tests.conftest import missing


def test_in_ci_what_is_missing_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="Docker is missing: install it"):
        missing("Docker", "install it")


def test_elsewhere_what_is_missing_is_a_skip_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="Docker is missing: install it"):
        missing("Docker", "install it")
