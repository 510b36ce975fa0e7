"""Points in time as Nova writes them where the administrators' part of its API shows a row."""

from __future__ import annotations

from datetime import UTC, datetime


def row_moment(value: datetime | None) -> str | None:
    """With microseconds and without a zone: `2026-11-22T14:00:00.000000`."""
    if value is None:
        return None
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
