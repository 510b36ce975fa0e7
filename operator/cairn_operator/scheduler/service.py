"""The scheduler's loop: take instances without a host from SQL, decide, claim in SQL, tell.

A pass takes a batch, oldest first, and goes through rounds: decide each instance against the table (own picks
count at once), claim them all in one transaction, read the hosts of refused claims again, decide those anew.
Any number of schedulers do the same; the claim decides between them. An instance fails for want of a
host only after a round that saw fresh figures and in which no claim was refused; what is still refused
after some rounds waits for a later pass.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from cairn_database import (
    ConcurrentUpdate,
    Database,
    DatabaseError,
    DatabaseUnavailable,
    InstanceNotFound,
    InstanceRecord,
    claims,
    instances,
)
from cairn_database.claims import Claimed, ClaimOutcome, ClaimRequest, Refusal, Refused
from cairn_operator.scheduler import metrics
from cairn_operator.scheduler.hosts import HostTable
from cairn_operator.scheduler.intake import Intake, Job, Unreadable
from cairn_operator.scheduler.pacing import Pacer
from cairn_operator.scheduler.request import InvalidRequest
from cairn_operator.scheduler.select import Selection, Selector, explain
from cairn_operator.scheduler.settings import SchedulerSettings
from cairn_operator.scheduler.usage import UsageFeed

log = structlog.get_logger()

FEWEST_ROUNDS = 2
"""The first may go by old figures; "no host" is believed from the second on."""

RIVALS_SECONDS = 5.0
"""How long after losing a race the scheduler counts with others."""


@dataclass(frozen=True)
class Pick:
    """A job and the host chosen for it."""

    job: Job
    host: str
    candidates: tuple[str, ...]

    def claim(self) -> ClaimRequest:
        """What is asked of SQL."""
        request = self.job.request
        return ClaimRequest(
            instance_id=request.instance_id,
            version=self.job.record.version,
            host=self.host,
            vcpus=request.vcpus,
            memory_mib=request.memory_mib,
            disk_gib=request.disk_gib,
            group=self.job.group.rule() if self.job.group else None,
        )


@dataclass(frozen=True)
class Hopeless:
    """A job for which no host was left."""

    job: Job
    selection: Selection


@dataclass
class PassResult:
    """What a look at the queue came to."""

    seen: int = 0
    """Rows that waited, as far as was looked."""
    settled: int = 0
    """Placed, failed, or settled by somebody else meanwhile."""


class Scheduler:
    """One replica. `hosts` is fed by the watches (`app.py`); everything else happens in `run`."""

    def __init__(
        self,
        db: Database,
        settings: SchedulerSettings,
        hosts: HostTable | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """Raises UnknownFilter."""
        self.hosts = hosts or HostTable(settings.service_down_time)
        self._db = db
        self._settings = settings
        self._clock = clock
        self._rng = rng or random.Random(settings.seed)  # noqa: S311 - spreading load, not a secret
        self._selector = Selector(settings, self._rng)
        self._usage = UsageFeed(db, self.hosts, settings)
        self._intake = Intake(db)
        self._pacer = Pacer(settings, clock)
        self._refused_since: dict[str, float] = {}
        self._rivals_until = float("-inf")

    def wake(self) -> None:
        """An instance may be waiting: look at the queue now, and often for a while."""
        self._pacer.wake()

    async def check(self) -> str | None:
        """For /readyz: whether decisions can be made."""
        return None if self._usage.loaded else "the hosts have not been read from the database yet"

    async def run(self, stop: asyncio.Event) -> None:
        """Schedule until `stop` is set; the pass that runs then is finished. Call it once the watches have
        filled the table: what is not there does not exist for it."""
        self._pacer.stop_with(stop)
        failures = 0
        while not stop.is_set():
            try:
                if not self._usage.loaded:
                    await self._usage.refresh(self._clock())
                result = await self.run_pass()
                failures = 0
                await self._pacer.rest(busy=result.settled > 0, waiting=result.seen > 0)
            except DatabaseError as error:
                metrics.ERRORS.labels(type(error).__name__).inc()
                log.warning("scheduler.database", error=f"{type(error).__name__}: {error}")
                failures += 1
            except Exception as error:
                metrics.ERRORS.labels(type(error).__name__).inc()
                log.exception("scheduler.failed", error=str(error))
                failures += 1
            if failures:
                await self._pacer.back_off(failures, self._rng)

    async def run_pass(self) -> PassResult:
        """Look at the queue once, and settle what can be settled of one batch."""
        now = self._clock()
        self.hosts.refresh_liveness(now)
        batch, seen = await self._next_batch()
        if not batch:
            return PassResult()
        result = PassResult(seen=seen)
        await self._usage.refresh(now)
        waiting, unreadable = await self._intake.jobs(batch)
        result.settled += await self._fail_unreadable(unreadable)
        fresh = False
        for _round in range(max(FEWEST_ROUNDS, self._settings.max_attempts)):
            if not waiting:
                break
            picks, hopeless = await self._decide(waiting)
            refused = await self._claim(picks)
            certain = fresh and not refused
            if hopeless and certain:
                await self._fail_hopeless(hopeless)
                hopeless = []
            waiting = [*refused, *(item.job for item in hopeless)]
            if waiting:
                await self._look_again(waiting)
                fresh = True
        result.settled += len(batch) - len(unreadable) - len(waiting)
        result.settled += await self._give_up(waiting)
        return result

    # One pass, step by step

    async def _next_batch(self) -> tuple[Sequence[InstanceRecord], int]:
        """A batch of the queue, and how much of the queue was seen."""
        size = self._settings.batch_size
        rivals = self._clock() < self._rivals_until
        records = await instances.list_unscheduled(
            self._db, limit=size * self._settings.queue_window if rivals else size
        )
        metrics.WAITING.set(len(records))
        age = (datetime.now(UTC) - records[0].created_at).total_seconds() if records else 0.0
        metrics.OLDEST_SECONDS.set(max(0.0, age))
        if len(records) <= size:
            return records, len(records)
        start = self._rng.randrange(0, len(records), size)
        return records[start : start + size], len(records)

    async def _decide(self, jobs: Sequence[Job]) -> tuple[list[Pick], list[Hopeless]]:
        """Choose a host for each job; each choice counts for the next."""
        picks: list[Pick] = []
        hopeless: list[Hopeless] = []
        unreadable: list[Unreadable] = []
        for job in jobs:
            started = time.perf_counter()
            try:
                selection = self._selector.select(self.hosts, job.request)
            except InvalidRequest as error:
                unreadable.append(Unreadable(job.record, str(error)))
                continue
            except Exception as error:
                log.exception("scheduler.decision.failed", instance_id=job.record.id, error=str(error))
                unreadable.append(Unreadable(job.record, f"The decision failed: {error}."))
                continue
            finally:
                metrics.DECISION_SECONDS.observe(time.perf_counter() - started)
            if not selection.candidates:
                hopeless.append(Hopeless(job, selection))
                continue
            host = selection.candidates[0].host
            self.hosts.take(host, job.request.amounts)
            if job.group:
                job.group.place(job.record, host)
            picks.append(Pick(job, host, tuple(candidate.host for candidate in selection.candidates)))
        metrics.DECISIONS.labels("selected").inc(len(picks))
        await self._fail_unreadable(unreadable)
        return picks, hopeless

    async def _claim(self, picks: Sequence[Pick]) -> list[Job]:
        """Claim the picks; returns the jobs to decide again. What others settled is dropped."""
        if not picks:
            return []
        started = time.perf_counter()
        outcomes = await self._claim_isolated([pick.claim() for pick in picks])
        metrics.CLAIM_SECONDS.observe(time.perf_counter() - started)
        again: list[Job] = []
        stale: set[str] = set()
        for pick, outcome in zip(picks, outcomes, strict=True):
            if isinstance(outcome, Claimed):
                self._granted(pick)
                continue
            self._undo(pick, outcome)
            if outcome is None or outcome.reason is Refusal.STATE_CHANGED:
                self._refused_since.pop(pick.job.record.id, None)
                continue
            if outcome.reason is not Refusal.GROUP_POLICY:
                stale.add(pick.host)
            self._refused_since.setdefault(pick.job.record.id, self._clock())
            again.append(pick.job)
        await self._usage.refresh_hosts(stale)
        return again

    async def _claim_isolated(self, requests: list[ClaimRequest]) -> list[ClaimOutcome | None]:
        """Claim all together; where the transaction breaks on a row, one by one. None: this one broke it."""
        try:
            return list(await claims.claim_many(self._db, requests))
        except DatabaseUnavailable:
            raise
        except Exception as error:
            if len(requests) == 1:
                log.exception("scheduler.claim.failed", instance_id=requests[0].instance_id, error=str(error))
                return [None]
        outcomes: list[ClaimOutcome | None] = []
        for request in requests:
            outcomes += await self._claim_isolated([request])
        return outcomes

    def _granted(self, pick: Pick) -> None:
        record = pick.job.record
        self._refused_since.pop(record.id, None)
        metrics.CLAIMS.labels("Granted").inc()
        metrics.WAIT_SECONDS.observe(max(0.0, (datetime.now(UTC) - record.created_at).total_seconds()))
        log.info(
            "scheduler.placed",
            instance_id=record.id,
            request_id=record.request_id,
            host=pick.host,
            candidates=pick.candidates,
        )

    def _undo(self, pick: Pick, outcome: Refused | None) -> None:
        self.hosts.give_back(pick.host, pick.job.request.amounts)
        if pick.job.group:
            pick.job.group.place(pick.job.record, pick.host, -1)
        reason = outcome.reason.value if outcome else "Broken"
        metrics.CLAIMS.labels(reason).inc()
        self._rivals_until = self._clock() + RIVALS_SECONDS
        log.info(
            "scheduler.refused",
            instance_id=pick.job.record.id,
            request_id=pick.job.record.request_id,
            host=pick.host,
            reason=reason,
        )

    async def _look_again(self, waiting: Sequence[Job]) -> None:
        now = self._clock()
        await self._usage.refresh(now, force=True)
        await self._intake.refresh_groups(waiting)
        self.hosts.refresh_liveness(now)

    # Telling why not

    async def _fail_hopeless(self, hopeless: Sequence[Hopeless]) -> None:
        metrics.DECISIONS.labels("no_host").inc(len(hopeless))
        await asyncio.gather(*(self._fail(item.job.record, explain(item.selection)) for item in hopeless))

    async def _fail_unreadable(self, unreadable: Sequence[Unreadable]) -> int:
        metrics.DECISIONS.labels("invalid").inc(len(unreadable))
        await asyncio.gather(*(self._fail(item.record, item.message) for item in unreadable))
        return len(unreadable)

    async def _give_up(self, waiting: Sequence[Job]) -> int:
        """Fail those whose claims have been refused for too long; returns how many."""
        before = self._clock() - self._settings.give_up_seconds
        lost = [job for job in waiting if self._refused_since.get(job.record.id, before + 1) <= before]
        message = (
            f"Every host chosen was taken by others first, for {self._settings.give_up_seconds:.0f} s. "
            "Create it again, or add hosts."
        )
        await asyncio.gather(*(self._fail(job.record, message) for job in lost))
        return len(lost)

    async def _fail(self, record: InstanceRecord, message: str) -> None:
        self._refused_since.pop(record.id, None)
        try:
            await claims.place_failed(self._db, record.id, record.version, message)
        except (ConcurrentUpdate, InstanceNotFound):
            return  # placed, failed or deleted by somebody else: theirs is the newer word
        log.info("scheduler.no_host", instance_id=record.id, request_id=record.request_id, message=message)
