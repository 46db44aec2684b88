"""The tables: found by index wherever they are looked up by reference, and all documented."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Table, UniqueConstraint

from hub.store.tables import metadata

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "database.md"


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_every_foreign_key_begins_an_index_so_that_a_deletion_scans_no_table(table: Table) -> None:
    unique = [constraint.columns for constraint in table.constraints if isinstance(constraint, UniqueConstraint)]
    indexed = [*(index.columns for index in table.indexes), *unique, table.primary_key.columns]
    first = {columns[0].name for columns in indexed}
    assert {key.parent.name for key in table.foreign_keys} <= first


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_every_table_and_column_is_in_the_reference(table: Table) -> None:
    [row] = [line for line in REFERENCE.read_text().splitlines() if line.startswith(f"| `{table.name}` |")]
    obvious = {"id", "user_id", "given_at"}
    assert [column.name for column in table.columns if column.name not in row and column.name not in obvious] == []


def test_every_constraint_and_index_has_a_name_so_that_a_migration_can_speak_of_it() -> None:
    for table in metadata.sorted_tables:
        assert all(constraint.name for constraint in table.constraints)
        assert all(index.name for index in table.indexes)
