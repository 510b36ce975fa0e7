"""What the phases of one run see: the world around (`Environment`) and one instance (`Scope`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cairn_crds import ComputeNode, Guest, HostAggregate, HostAggregateSpec, Instance
from cairn_crds.guest import node_namespace
from cairn_database import Database, InstanceRecord, TaskState
from cairn_database.admission import Refusal
from cairn_database.aggregates import DEFAULT_ZONE, zones
from cairn_database.images.signing import SigningKeys
from cairn_operator.catalog import Catalog
from cairn_operator.conductor.guest_spec import NO_KEYS
from cairn_operator.conductor.outcome import BuildFailed
from cairn_operator.conductor.settings import ConductorSettings
from cairn_runtime.events import EventRecorder
from cairn_runtime.kubernetes import Kubernetes
from cairn_runtime.store import Key, Store


class Pacing:
    """A token bucket: so many passing states a second may be written."""

    def __init__(self, per_second: float, burst: float = 5.0) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = burst
        self._at = time.monotonic()

    def take(self) -> bool:
        """True where one more may be written now."""
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@dataclass
class Environment:
    """Everything that is not about one instance."""

    settings: ConductorSettings
    kubernetes: Kubernetes
    db: Database
    events: EventRecorder
    catalog: Catalog
    instances: Store[Instance]
    guests: Store[Guest]
    nodes: Store[ComputeNode]
    aggregates: Store[HostAggregate]
    pacing: Pacing
    image_keys: SigningKeys = NO_KEYS
    """What the addresses of images in the gateway's store are signed with."""
    awaiting: dict[str, Key] = field(default_factory=dict)
    """Instances that wait for the scheduler, by id."""
    answered: set[str] = field(default_factory=set)
    """Instances that no longer wait for the scheduler, and have not been looked at since, by id."""
    blocked: set[Key] = field(default_factory=set)
    """Instances whose spec cannot be built now: looked at again when what they refer to changes."""
    retreats: dict[str, Retreat] = field(default_factory=dict)
    """Builds that failed and whose remains are being removed from the host, by id: see `Scope.retreat`."""
    progress: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What was last recorded of live migrations under way, by instance id."""
    after_run: Callable[[Key, InstanceRecord | None], None] = lambda _key, _record: None
    """Told of every instance that has been looked at."""
    removing: dict[Key, int] = field(default_factory=dict)
    """The claims (fencing epochs) in which hosts have been told to remove machines, by Guest: only for these
    does a Guest that goes mean that the machine has gone."""
    freed: int = 0
    """How many instances have been seen to go: then there may be quota and addresses again."""
    answering: Key | None = None
    """The instance whose run takes in the answer to its own write right now."""
    capacity_changes: int = 0
    """How often a host has been seen to appear, to come back, or to grow."""
    tried_with: dict[Key, tuple[int, int]] = field(default_factory=dict)
    """What those two were when an instance was last tried. No times: replicas' clocks differ."""

    def note_try(self, key: Key) -> None:
        """The instance is being tried with what there is now."""
        self.tried_with[key] = (self.freed, self.capacity_changes)

    def has_freed_since(self, key: Key) -> bool:
        """Whether an instance has gone since it was tried; False where this replica did not try it."""
        return self.freed > self.tried_with.setdefault(key, (self.freed, self.capacity_changes))[0]

    def has_capacity_since(self, key: Key) -> bool:
        """As `has_freed_since`, for hosts."""
        now = (self.freed, self.capacity_changes)
        return self.capacity_changes > self.tried_with.setdefault(key, now)[1]

    def is_forced_down(self, host: str) -> bool:
        """Whether the admin has declared the host dead (`ComputeNode.spec.forcedDown`)."""
        body = self.nodes.body("", host)
        return body is not None and bool(body["spec"].get("forcedDown"))

    def is_silent(self, host: str) -> bool:
        """Whether the host is known, and is not heard of (`Up` is not True)."""
        body = self.nodes.body("", host)
        conditions = body["status"].get("conditions", []) if body is not None else ()
        return any(item["type"] == "Up" and item["status"] != "True" for item in conditions)

    def zone_of(self, host: str) -> str:
        """The availability zone that the host is in now."""
        specs = [
            HostAggregateSpec.model_validate(body["spec"])
            for _key, body in self.aggregates.bodies()
            if host in body["spec"].get("hosts", ())
        ]
        return zones(specs).get(host, DEFAULT_ZONE)


@dataclass(frozen=True)
class Retreat:
    """A build that failed, and the claim (fencing epoch) it was made under: the next one is not meant."""

    epoch: int
    failure: BuildFailed


@dataclass
class Scope:
    """One instance in one run. Phases fill it in and replace what they have changed."""

    env: Environment
    key: Key
    """(namespace, name) of the Instance."""
    instance: Instance | None
    record: InstanceRecord | None = None
    refusal: Refusal | None = None
    found: int | None = None
    """The version of the row as the run found it; None where there was none."""
    has_answers: bool = False
    """Whether the run has taken in answers to what it wrote."""
    look_again: float | None = None
    """Seconds after which to look again, the soonest that a phase asked for."""

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)

    @property
    def guest_key(self) -> Key | None:
        """Where the Guest of the row is, or would be."""
        if self.record is None or self.record.host is None:
            return None
        return node_namespace(self.record.host), self.record.id

    @property
    def guest(self) -> Guest | None:
        """The Guest as last seen."""
        key = self.guest_key
        return None if key is None else self.env.guests.get(*key)

    @property
    def retreat(self) -> BuildFailed | None:
        """Why what this claim has left on its host is being removed; None where it is not."""
        if self.record is None:
            return None
        found = self.env.retreats.get(self.record.id)
        if found is not None and found.epoch != self.record.fencing_epoch:
            del self.env.retreats[self.record.id]  # another conductor has ended it, and the row has moved on
            return None
        return found.failure if found is not None else None

    def begin_retreat(self, failure: BuildFailed) -> None:
        """From here on nothing of this claim may stay on its host."""
        if self.record is not None:
            self.env.retreats[self.record.id] = Retreat(self.record.fencing_epoch, failure)

    def guest_on(self, host: str) -> Guest | None:
        """The Guest that this host has of it, as last seen."""
        return self.env.guests.get(node_namespace(host), self.record.id) if self.record else None

    @property
    def is_deleting(self) -> bool:
        """Whether the instance is to go: the user deleted the resource, or the row says so."""
        if self.record is not None and self.record.task_state is TaskState.DELETING:
            return True
        return self.instance is not None and self.instance.metadata.deletion_timestamp is not None

    def take_answer(self, store: Store[Any], body: dict[str, Any]) -> None:
        """Take in what the API server made of this run's own write: no reason for another run."""
        self.has_answers, self.env.answering = True, self.key
        try:
            store.put(body)
        finally:
            self.env.answering = None

    @property
    def wants_another_run(self) -> bool:
        """Whether the run wrote and changed the row as well: what follows from that is yet to be done."""
        return self.has_answers and (self.record is None or self.record.version != self.found)

    def after(self, seconds: float) -> None:
        """Look again after `seconds`, unless another phase wants it sooner."""
        if self.look_again is None or seconds < self.look_again:
            self.look_again = seconds
