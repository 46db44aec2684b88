"""proxy.kit.lazy: a module that is loaded when something in it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from proxy.kit.lazy import lazily


def test_nothing_is_loaded_before_something_is_looked_at() -> None:
    code = (
        "import sys; from proxy.kit.lazy import lazily; later = lazily('json.tool'); hasattr(later, '__path__');"
        "print('json.tool' in sys.modules); later.main; print('json.tool' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_what_is_not_there_is_said_when_it_is_needed() -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        lazily("json").no_such_thing  # noqa: B018
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        lazily("no_such_module").anything  # noqa: B018
