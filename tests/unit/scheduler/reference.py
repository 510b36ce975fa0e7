"""The filters and weighers once more, slowly: one host at a time, plain Python, from Nova's description.

Only to compare with: the property tests draw clouds and requests and expect the same answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cairn_crds.server_group import GroupPolicy
from cairn_operator.scheduler.aggregates import Aggregate
from cairn_operator.scheduler.filters.extra_specs_ops import match
from cairn_operator.scheduler.request import PlacementRequest
from cairn_operator.scheduler.settings import SchedulerSettings
from unit.scheduler.support import Host

Metadatas = Sequence[Mapping[str, str]]
Passes = Callable[[Host, Metadatas, PlacementRequest, SchedulerSettings], bool]


def metadatas(host: Host, aggregates: Sequence[Aggregate]) -> Metadatas:
    """The metadata of each aggregate that the host is in."""
    return [aggregate.metadata for aggregate in aggregates if host.name in aggregate.hosts]


def words(found: Metadatas, key: str) -> set[str]:
    return {word.strip() for metadata in found if key in metadata for word in metadata[key].split(",")}


def lowest(found: Metadatas, key: str, default: float) -> float:
    texts = [metadata[key] for metadata in found if key in metadata]
    try:
        return min([float(text) for text in texts], default=default)
    except ValueError:
        return default


def compute(host: Host, found: Metadatas, wanted: PlacementRequest, settings: SchedulerSettings) -> bool:
    return host.alive and not (host.disabled or host.forced_down or host.withdrawn)


def fits(index: int) -> Passes:
    def passes(host: Host, found: Metadatas, wanted: PlacementRequest, settings: SchedulerSettings) -> bool:
        need = wanted.amounts[index]
        return (index == 2 and not need) or host.limits[index] - host.used[index] >= need

    return passes


def zone(host: Host, found: Metadatas, wanted: PlacementRequest, settings: SchedulerSettings) -> bool:
    zones = words(found, "availability_zone") or {settings.default_availability_zone}
    return not wanted.zone or wanted.zone in zones


def traits(host: Host, found: Metadatas, wanted: PlacementRequest, settings: SchedulerSettings) -> bool:
    has = set(host.traits)
    return has >= wanted.extra.required_traits and not has & wanted.extra.forbidden_traits


def capabilities(host: Host, found: Metadatas, wanted: PlacementRequest, settings: SchedulerSettings) -> bool:
    facts = {"hypervisor_type": host.hypervisor_type, "cpu_info:arch": host.architecture, **host.capabilities}
    facts["num_instances"] = str(host.instances)
    for key, demand in wanted.extra.capabilities:
        if key not in facts or not match(facts[key], demand):
            return False
    return all(match(facts[key], demand) for key, demand in wanted.extra.unscoped if key in facts)


def image(host: Host, found: Metadatas, wanted: PlacementRequest, settings: SchedulerSettings) -> bool:
    properties = dict(wanted.image_properties)
    architecture, kind = properties.get("hw_architecture"), properties.get("img_hv_type")
    kinds = {"QEMU": {"qemu", "kvm"}, "XenServer": {"xen"}}[host.hypervisor_type]
    return (not architecture or architecture == host.architecture) and (not kind or kind in kinds)


def aggregate_specs(
    host: Host, found: Metadatas, wanted: PlacementRequest, settings: SchedulerSettings
) -> bool:
    return all(
        any(match(word, demand) for word in words(found, key)) for key, demand in wanted.extra.aggregate
    )


def aggregate_image(
    host: Host, found: Metadatas, wanted: PlacementRequest, settings: SchedulerSettings
) -> bool:
    return all(
        value in words(found, key)
        for key, value in wanted.image_properties
        if value and any(key in metadata for metadata in found)
    )


def tenancy(host: Host, found: Metadatas, wanted: PlacementRequest, settings: SchedulerSettings) -> bool:
    keys = {key for metadata in found for key in metadata if key.startswith("filter_tenant_id")}
    return not keys or any(wanted.project in words(found, key) for key in keys)


def type_affinity(
    host: Host, found: Metadatas, wanted: PlacementRequest, settings: SchedulerSettings
) -> bool:
    flavors = words(found, "instance_type")
    return not flavors or wanted.flavor in flavors


def group(host: Host, found: Metadatas, wanted: PlacementRequest, settings: SchedulerSettings) -> bool:
    member_of = wanted.group
    if member_of is None:
        return True
    there = member_of.hosts.get(host.name, 0)
    if member_of.policy is GroupPolicy.ANTI_AFFINITY:
        return there < member_of.max_server_per_host
    if member_of.policy is GroupPolicy.AFFINITY and member_of.hosts:
        return there > 0
    return True


REFERENCE: dict[tuple[str, ...], Passes] = {
    ("ComputeFilter",): compute,
    ("CoreFilter",): fits(0),
    ("RamFilter",): fits(1),
    ("DiskFilter",): fits(2),
    ("AvailabilityZoneFilter",): zone,
    ("RequiredTraits",): traits,
    ("ComputeCapabilitiesFilter",): capabilities,
    ("ImagePropertiesFilter",): image,
    ("AggregateInstanceExtraSpecsFilter",): aggregate_specs,
    ("AggregateImagePropertiesIsolation",): aggregate_image,
    ("AggregateMultiTenancyIsolation",): tenancy,
    ("AggregateTypeAffinityFilter",): type_affinity,
    ("ServerGroupAffinityFilter", "ServerGroupAntiAffinityFilter"): group,
    ("RetryFilter",): lambda host, found, wanted, settings: host.name not in wanted.excluded_hosts,
    ("DifferentHostFilter",): lambda host, found, wanted, settings: (
        host.name not in (wanted.different_host or ())
    ),
    ("RequestedHostFilter",): lambda host, found, wanted, settings: wanted.host in (None, host.name),
    ("SameHostFilter",): lambda host, found, wanted, settings: (
        wanted.same_host is None or host.name in wanted.same_host
    ),
    ("NumInstancesFilter",): lambda host, found, wanted, settings: (
        host.instances < settings.max_instances_per_host
    ),
    ("AggregateNumInstancesFilter",): lambda host, found, wanted, settings: (
        host.instances < lowest(found, "max_instances_per_host", settings.max_instances_per_host)
    ),
    ("IoOpsFilter",): lambda host, found, wanted, settings: host.io_ops < settings.max_io_ops_per_host,
    ("AggregateIoOpsFilter",): lambda host, found, wanted, settings: (
        host.io_ops < lowest(found, "max_io_ops_per_host", settings.max_io_ops_per_host)
    ),
    ("MetricsFilter",): lambda host, found, wanted, settings: (
        set(settings.metrics_weight_setting) <= set(host.metrics)
    ),
}
"""The filters that are one rule → that rule."""


def weights(
    hosts: Sequence[Host],
    aggregates: Sequence[Aggregate],
    wanted: PlacementRequest,
    settings: SchedulerSettings,
) -> list[float]:
    """The sum of all weighers per host, as Nova adds it up."""
    total = [0.0] * len(hosts)
    if len(hosts) < 2:
        return total
    for key, sign, minimum, raw in _weighers(wanted, settings):
        figures = [raw(host) for host in hosts]
        if minimum is not None:
            figures = [max(figure, minimum) for figure in figures]
        low = min(figures) if minimum is None else minimum
        high = max(figures)
        for index, host in enumerate(hosts):
            normalised = 0.0 if high == low else (figures[index] - low) / (high - low)
            multiplier = lowest(metadatas(host, aggregates), key, getattr(settings, key))
            total[index] += sign * multiplier * normalised
    return total


def _weighers(
    wanted: PlacementRequest, settings: SchedulerSettings
) -> list[tuple[str, int, float | None, Callable[[Host], float]]]:
    def members(policy: GroupPolicy) -> Callable[[Host], float]:
        member_of = wanted.group
        if member_of is None or member_of.policy is not policy:
            return lambda host: 0
        return lambda host: member_of.hosts.get(host.name, 0)

    def version(host: Host) -> float:
        parts = [int(part) for part in host.hypervisor_version.split(".")]
        return parts[0] * 1_000_000 + parts[1] * 1000 + parts[2]

    soft_anti = members(GroupPolicy.SOFT_ANTI_AFFINITY)
    return [
        ("ram_weight_multiplier", 1, 0, lambda host: host.total[1] - host.reserved[1] - host.used[1]),
        ("cpu_weight_multiplier", 1, 0, lambda host: host.limits[0] - host.used[0]),
        ("disk_weight_multiplier", 1, 0, lambda host: host.total[2] - host.reserved[2] - host.used[2]),
        ("io_ops_weight_multiplier", 1, 0, lambda host: host.io_ops),
        ("num_instances_weight_multiplier", 1, None, lambda host: host.instances),
        ("soft_affinity_weight_multiplier", 1, None, members(GroupPolicy.SOFT_AFFINITY)),
        ("soft_anti_affinity_weight_multiplier", 1, None, lambda host: -soft_anti(host)),
        ("build_failure_weight_multiplier", -1, None, lambda host: host.build_failures),
        ("hypervisor_version_weight_multiplier", 1, None, version),
    ]
