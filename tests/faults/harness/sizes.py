"""The two sizes of the suite."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")


def is_full() -> bool:
    """Whether this is ``make faults`` and not ``make test``."""
    return os.environ.get("FAULTS") == "full"


def sized(short: T, full: T) -> T:
    """A number of a case, by the size of the suite."""
    return full if is_full() else short
