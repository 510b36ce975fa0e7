"""What a filter is."""

from __future__ import annotations

import abc
from collections.abc import Hashable
from typing import ClassVar

from cairn_operator.scheduler.hosts import HostTable
from cairn_operator.scheduler.interning import BoolArray
from cairn_operator.scheduler.request import PlacementRequest
from cairn_operator.scheduler.settings import SchedulerSettings


class Filter(abc.ABC):
    """Says which hosts will do. A pure function of the table and the request; it keeps no state."""

    name: ClassVar[str]
    """Nova's name of it."""

    def __init__(self, settings: SchedulerSettings) -> None:
        self.settings = settings

    def applies(self, request: PlacementRequest) -> bool:
        """False where every host would pass, whatever hosts there are; `mask` is then not asked."""
        return True

    def key(self, request: PlacementRequest) -> Hashable | None:
        """The part of the request that the mask depends on: the mask is kept until `hosts.version` rises.

        None: the mask depends on usage, or on what this one request alone has; it is worked out each time.
        """
        return None

    @abc.abstractmethod
    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        """True for each host that will do. Rows that are not `hosts.valid` may be either.

        Raises InvalidRequest where the request cannot be understood.
        """

    @abc.abstractmethod
    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        """For a person: why it removed these hosts, in a few words that fit in brackets."""
