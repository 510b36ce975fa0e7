"""Conditions as Kubernetes' users know them: type, status, reason, message, since when."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from pydantic import StringConstraints

from cairn_crds.base import Model


class ConditionStatus(enum.StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """One fact about a resource."""

    type: Annotated[str, StringConstraints(max_length=64)]
    status: ConditionStatus
    reason: Annotated[str, StringConstraints(max_length=128)] = ""
    """One CamelCase word that a program can act on."""
    message: Annotated[str, StringConstraints(max_length=4096)] = ""
    """What is so, why, and what a person can do about it."""
    last_transition_time: datetime | None = None
    """When `status` last changed."""
    observed_generation: int | None = None

    def says_the_same(self, other: Condition) -> bool:
        """True where the two differ in their times only."""
        return (self.type, self.status, self.reason, self.message) == (
            other.type,
            other.status,
            other.reason,
            other.message,
        )


def merge_conditions(
    current: Iterable[Condition], wanted: Iterable[Condition], now: datetime
) -> list[Condition]:
    """`wanted` in its own order, with the transition time of `current` kept where the status is the same."""
    by_type = {condition.type: condition for condition in current}
    merged = []
    for condition in wanted:
        before = by_type.get(condition.type)
        since = before.last_transition_time if before and before.status == condition.status else now
        merged.append(condition.model_copy(update={"last_transition_time": since or now}))
    return merged


def find_condition(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of that type, if there is one."""
    return next((condition for condition in conditions if condition.type == type_), None)
