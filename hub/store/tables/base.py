"""What all tables share: the names of constraints, and the column that says whose a row is."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, MetaData

from hub.store.types import PlainText

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def user_column(*, primary_key: bool = False, nullable: bool = False) -> Column[str]:
    """The user to whom a row belongs and with whom it goes."""
    target = ForeignKey("users.id", ondelete="CASCADE")
    return Column("user_id", PlainText, target, primary_key=primary_key, nullable=nullable)
