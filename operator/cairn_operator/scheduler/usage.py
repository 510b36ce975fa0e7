"""Keeps the host table true to SQL: limits, usage, failed builds, and operations in flight."""

from __future__ import annotations

from collections.abc import Iterable

from cairn_database import Database, hosts
from cairn_operator.scheduler.hosts import HostTable, HostUsage
from cairn_operator.scheduler.settings import SchedulerSettings


class UsageFeed:
    """Reads what changed, as often as the settings say, and everything once in a while."""

    def __init__(self, db: Database, hosts: HostTable, settings: SchedulerSettings) -> None:
        self._db = db
        self._hosts = hosts
        self._settings = settings
        self._newest = 0
        """The largest HostUsage.changed seen."""
        self._read_at: float | None = None
        self._read_all_at: float | None = None

    @property
    def loaded(self) -> bool:
        """Whether everything has been read once."""
        return self._read_all_at is not None

    async def refresh(self, now: float, *, force: bool = False) -> None:
        """Read what changed since the last time, if that is too long ago or `force`."""
        settings = self._settings
        if self._read_all_at is None or now - self._read_all_at >= settings.full_refresh_seconds:
            await self._refresh_all(now)
        elif force or self._read_at is None or now - self._read_at >= settings.usage_refresh_seconds:
            self._take_in(await hosts.load_hosts(self._db, changed_since=self._newest))
            await self._refresh_operations(now)

    async def refresh_hosts(self, names: Iterable[str]) -> None:
        """Read these hosts now: their claims were refused."""
        wanted = sorted(set(names))
        if wanted:
            self._take_in(await hosts.load_hosts(self._db, names=wanted))

    async def _refresh_all(self, now: float) -> None:
        self._take_in(await hosts.load_hosts(self._db))
        await self._refresh_operations(now)
        self._read_all_at = now

    async def _refresh_operations(self, now: float) -> None:
        self._hosts.set_io_ops((await hosts.io_ops_per_host(self._db)).items())
        self._read_at = now

    def _take_in(self, rows: list[hosts.HostUsage]) -> None:
        for row in rows:
            self._newest = max(self._newest, row.changed)
            if row.removed:
                self._hosts.remove_usage(row.name)
                continue
            self._hosts.set_usage(
                HostUsage(
                    row.name,
                    limits=(row.vcpus_limit, row.memory_limit_mib, row.disk_limit_gib),
                    used=(row.vcpus_used, row.memory_used_mib, row.disk_used_gib),
                    instances=row.instances,
                    build_failures=row.build_failures,
                    withdrawn=row.disabled or row.forced_down,
                )
            )
