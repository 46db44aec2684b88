"""Column types that mean the same on SQLite and PostgreSQL, and text made fit for them."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, Text, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from hub.errors import BadRequest

MAX_INTEGER = 2**63 - 1
"""The largest integer that both databases can keep."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, kept in UTC and given back aware, in UTC.

    SQLite has no time zones: there the UTC wall time is kept as text that sorts in order of time. A naive
    datetime is a mistake of the caller and raises ValueError.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; refuse a datetime that does not say its zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; the store takes aware datetimes only")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back an aware datetime in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class PlainText(TypeDecorator[str]):
    """Text that both databases can keep, compared and sorted by code point.

    PostgreSQL cannot keep the character NUL, and lone surrogates are no UTF-8. SQLite would take the former;
    both are refused here with BadRequest, so that a request ends in the same way on either database.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """On PostgreSQL, collation C: the order of SQLite, and an index that serves prefixes."""
        return Text(collation="C") if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Refuse what one of the databases could not keep."""
        if value is not None and not is_storable(value):
            raise BadRequest("The text holds a character that cannot be stored.")
        return value


Json = JSON().with_variant(JSONB(), "postgresql")
"""A small JSON value."""

BigKey = BigInteger().with_variant(Integer(), "sqlite")
"""A primary key that the database counts up. (SQLite counts only columns declared as INTEGER.)"""


def is_storable(text: str) -> bool:
    """Whether both databases can keep the text: no NUL and no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def loggable(text: str, max_chars: int) -> str:
    """The text as it may be recorded: unprintable characters escaped, cut to `max_chars` characters.

    For text that strangers send (user agents, the subject of a refused sign-in) and that must be recorded
    whatever it holds and however long it is.
    """
    start = text[:max_chars]
    if not start.isprintable():
        start = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in start)[:max_chars]
    return start
