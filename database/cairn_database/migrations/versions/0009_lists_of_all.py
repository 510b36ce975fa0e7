"""Lists over all projects find the instances of a host, or in a state, in their order."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """The index of hosts goes on with what lists are sorted by; a new one begins with the state."""
    op.drop_index("ix_instances_host", table_name="instances")
    op.create_index("ix_instances_host", "instances", ["host", "deleted", "created_at", "id"], unique=False)
    op.create_index(
        "ix_instances_vm_state", "instances", ["deleted", "vm_state", "created_at", "id"], unique=False
    )
