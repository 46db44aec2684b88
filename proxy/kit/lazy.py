"""Modules that are loaded when something in them is needed first, not at the start.

A process that starts serves nobody, and what it loads is nearly all of that time. A library that few installations
ever use, or that nobody uses in a process's first second, is named so; type checkers see the ordinary import::

    if TYPE_CHECKING:
        import aiohttp
    else:
        aiohttp = lazily("aiohttp")
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands for a module. Python's own import decides which of several threads loads it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # who looks around (a debugger, a tester) does not load it
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def lazily(name: str) -> ModuleType:
    """The module `name`, which is imported at the first look at something in it; that may raise what imports raise."""
    return _Later(name)
