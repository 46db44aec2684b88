"""What settings are made of: sections that refuse unknown names, and spans of time as people write them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([smhdw]?)\Z", re.ASCII)
_UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _read_span(value: object) -> object:
    """A span of time as people write it, in a file or in the environment: ``90``, ``90s``, ``15m``, ``4h``, ``7d``.

    ISO 8601 (``PT15M``) is left to pydantic.
    """
    if not isinstance(value, str) or value.startswith("P"):
        return value
    found = _SPAN.match(value.strip())
    if found is None:
        raise ValueError("a span of time is seconds, or a number with s, m, h, d or w: 90, 15m, 4h, 7d")
    return timedelta(**{_UNITS[found[2]]: float(found[1])})


Span = Annotated[timedelta, BeforeValidator(_read_span), Field(ge=timedelta(0))]


class Section(BaseModel):
    """A table of the configuration file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
