"""Which ended runs (Migrations and their like) have been kept for long enough."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cairn_runtime.store import Key


@dataclass(frozen=True)
class Run:
    """A resource that stands for something that has ended."""

    key: Key
    ended_at: datetime


def outlived(runs: Iterable[Run], now: datetime, keep_seconds: float, keep_count: int) -> list[Key]:
    """Those that ended more than `keep_seconds` ago, and of each namespace all but the `keep_count` that
    ended last; oldest first."""
    newest_first = sorted(runs, key=lambda run: (run.ended_at, run.key), reverse=True)
    kept: dict[str, int] = {}
    gone = []
    for run in newest_first:
        namespace = run.key[0]
        is_old = (now - run.ended_at).total_seconds() > keep_seconds
        if is_old or kept.get(namespace, 0) >= keep_count:
            gone.append(run.key)
        else:
            kept[namespace] = kept.get(namespace, 0) + 1
    return gone[::-1]
