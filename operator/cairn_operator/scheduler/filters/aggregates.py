"""Filters on the metadata of the aggregates that a host is in."""

from __future__ import annotations

from collections.abc import Hashable

from cairn_operator.scheduler.aggregates import Membership
from cairn_operator.scheduler.filters.base import Filter
from cairn_operator.scheduler.filters.extra_specs_ops import match
from cairn_operator.scheduler.hosts import HostTable
from cairn_operator.scheduler.interning import BoolArray
from cairn_operator.scheduler.request import PlacementRequest


class AggregateInstanceExtraSpecsFilter(Filter):
    """Hosts whose aggregates' metadata meets the flavor's `aggregate_instance_extra_specs:…`.

    As in Nova, a key without a scope counts too, and a host without that key in its aggregates fails.
    """

    name = "AggregateInstanceExtraSpecsFilter"

    def applies(self, request: PlacementRequest) -> bool:
        return bool(request.extra.aggregate)

    def key(self, request: PlacementRequest) -> Hashable | None:
        return self.name, request.extra.aggregate

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        def meets(membership: Membership) -> bool:
            return all(
                any(match(value, demand) for value in membership.values.get(key, ()))
                for key, demand in request.extra.aggregate
            )

        return hosts.by_membership(meets)

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        demands = ", ".join(f"{key} {demand}" for key, demand in request.extra.aggregate)
        return f"need an aggregate with {demands}"


class AggregateImagePropertiesIsolation(Filter):
    """Hosts whose aggregates' metadata does not contradict the image's properties.

    An image that lacks a property fits anywhere; one that has it needs one of the aggregates' values.
    """

    name = "AggregateImagePropertiesIsolation"

    def applies(self, request: PlacementRequest) -> bool:
        return bool(request.image_properties)

    def key(self, request: PlacementRequest) -> Hashable | None:
        return self.name, request.image_properties

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        namespace = self.settings.aggregate_image_properties_isolation_namespace
        separator = self.settings.aggregate_image_properties_isolation_separator
        prefix = f"{namespace}{separator}" if namespace else ""
        relevant = [
            (key, value) for key, value in request.image_properties if key.startswith(prefix) and value
        ]

        def agrees(membership: Membership) -> bool:
            values = membership.values
            return all(value in values[key] for key, value in relevant if key in values)

        return hosts.by_membership(agrees)

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        return "their aggregates are for images with other properties"


class AggregateMultiTenancyIsolation(Filter):
    """Hosts whose aggregates are for this project (`filter_tenant_id…`), or for nobody in particular."""

    name = "AggregateMultiTenancyIsolation"

    def key(self, request: PlacementRequest) -> Hashable | None:
        return self.name, request.project

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        def open_to_project(membership: Membership) -> bool:
            tenants = [
                tenants for key, tenants in membership.values.items() if key.startswith("filter_tenant_id")
            ]
            return not tenants or any(request.project in names for names in tenants)

        return hosts.by_membership(open_to_project)

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        return f"their aggregates are not for project {request.project}"


class AggregateTypeAffinityFilter(Filter):
    """Hosts whose aggregates list the flavor under `instance_type`, or list none there."""

    name = "AggregateTypeAffinityFilter"

    def key(self, request: PlacementRequest) -> Hashable | None:
        return self.name, request.flavor

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        def takes(membership: Membership) -> bool:
            flavors = membership.values.get("instance_type")
            return flavors is None or request.flavor in flavors

        return hosts.by_membership(takes)

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        return f"their aggregates are not for flavor {request.flavor}"
