"""What Alembic runs: the steps, on the connection that `migrations.upgrade` holds."""

from __future__ import annotations

from alembic import context

from cairn_database.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
