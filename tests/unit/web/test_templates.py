"""Templates are read when they are first needed; a mistake in one must not wait for that."""

from __future__ import annotations

import pytest

from hub.web import rendering


@pytest.mark.parametrize("name", rendering.template_names())
def test_every_template_can_be_read(name: str) -> None:
    rendering.check(name)
