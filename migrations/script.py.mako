"""${message}.

Rules for migrations:

- One purpose each. A step that was released is never changed; a mistake is mended by the next one.
- The previous release must still run on the new tables, because hubs are replaced one after the other. So add
  first (nullable, or with a server default), and take away one release later, when nothing reads it any more.
- Write out what is done. Import nothing from `hub`: its tables go on changing, this step does not.
- SQLite cannot alter most things: use ``op.batch_alter_table``, which copies the table. Foreign keys are off
  while migrations run, because dropping the old copy would delete the rows that refer to it; they are checked
  at the end. A copy loses triggers: make them again (audit_events has two).
- Give every constraint its name by the convention of hub/store/tables/base.py (``op.f``).
- Large tables: no full rewrite and no index without CONCURRENTLY in a release that is to be installed in use.
- `downgrade` undoes `upgrade` without losing rows that were there before it.
- tests/unit/store/test_schema.py runs every step up, down and up on both databases.

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """Say in one sentence what is different afterwards."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Undo it."""
    ${downgrades if downgrades else "pass"}
