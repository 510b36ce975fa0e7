"""What an operator can set of the scheduler. Options that Nova has carry Nova's names and defaults."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cairn_runtime.settings import Section

DEFAULT_FILTERS = (
    "ComputeFilter",
    "RetryFilter",
    "AvailabilityZoneFilter",
    "RequiredTraits",
    "ComputeCapabilitiesFilter",
    "ImagePropertiesFilter",
    "CoreFilter",
    "RamFilter",
    "DiskFilter",
    "ServerGroupAntiAffinityFilter",
    "ServerGroupAffinityFilter",
    "DifferentHostFilter",
    "RequestedHostFilter",
    "SameHostFilter",
    "JsonFilter",
)

Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0)]


class SchedulerSettings(Section):
    """How hosts are filtered, weighed and claimed."""

    enabled_filters: tuple[str, ...] = DEFAULT_FILTERS
    """Filters by name, applied (and told of, when no host is left) in this order.

    Nova's own default and, beside it, the filters behind what an Instance can ask for by itself (zone, host,
    the hints `sameHost`, `differentHost` and `query`), so that no field is silently ignored; and CoreFilter,
    RamFilter and DiskFilter for what Nova asks of placement. Leaving those three out gains nothing: the
    claim refuses a full host in any case.
    """

    max_attempts: Positive = 3
    """Hosts tried in a row for one instance, when claims are refused, before it goes back in the queue."""

    give_up_seconds: Seconds = 600.0
    """An instance whose claims keep being refused for this long is failed.

    A refusal means that another scheduler was faster, so the whole is moving on; this bounds the case in
    which it is not.
    """

    host_subset_size: Positive = 1
    """Choose at random among this many best hosts: more of them keep competing schedulers apart."""

    shuffle_best_same_weighed_hosts: bool = True
    """Choose at random among hosts of the same, best weight.

    Nova's default is False. Equal hosts are common in a young cloud, and schedulers that all pick the first
    of them only get in each other's way.
    """

    seed: int | None = None
    """For the two random choices above; the same seed and the same input give the same hosts. None: from the
    operating system."""

    max_instances_per_host: Positive = 50
    """NumInstancesFilter refuses a host that has this many. In AggregateNumInstancesFilter an aggregate's
    `max_instances_per_host` goes first."""

    max_io_ops_per_host: NotNegative = 8
    """IoOpsFilter refuses a host on which this many instances are building, resizing, being snapshotted and
    so on. In AggregateIoOpsFilter an aggregate's `max_io_ops_per_host` goes first."""

    isolated_images: frozenset[str] = frozenset()
    """Images that may run on `isolated_hosts` only (IsolatedHostsFilter); names or ids."""

    isolated_hosts: frozenset[str] = frozenset()
    """Hosts kept for `isolated_images`, by name."""

    restrict_isolated_hosts_to_isolated_images: bool = True
    """False: other images may use the isolated hosts as well."""

    image_properties_default_architecture: str | None = None
    """Taken for an image that does not say its `hw_architecture` (ImagePropertiesFilter). None: any host."""

    aggregate_image_properties_isolation_namespace: str | None = None
    """AggregateImagePropertiesIsolation heeds only aggregate metadata whose key starts with this and the
    separator. None: all of it."""

    aggregate_image_properties_isolation_separator: str = "."
    """Between the namespace and the rest of the key."""

    default_availability_zone: str = "nova"
    """The zone of hosts whose aggregates name none."""

    ram_weight_multiplier: float = 1.0
    """RAMWeigher: positive spreads instances over hosts with free memory, negative stacks them."""

    cpu_weight_multiplier: float = 1.0
    """CPUWeigher: positive spreads by free vCPUs, negative stacks."""

    disk_weight_multiplier: float = 1.0
    """DiskWeigher: positive spreads by free disk, negative stacks."""

    io_ops_weight_multiplier: float = -1.0
    """IoOpsWeigher: negative prefers quiet hosts, positive busy ones."""

    num_instances_weight_multiplier: float = 0.0
    """NumInstancesWeigher: negative prefers hosts with few instances, positive those with many; 0: off."""

    soft_affinity_weight_multiplier: Annotated[float, Field(ge=0)] = 1.0
    """ServerGroupSoftAffinityWeigher: how much being together counts."""

    soft_anti_affinity_weight_multiplier: Annotated[float, Field(ge=0)] = 1.0
    """ServerGroupSoftAntiAffinityWeigher: how much being apart counts."""

    build_failure_weight_multiplier: float = 1000000.0
    """BuildFailureWeigher: how far a host falls back for builds that failed on it of late. High, so that it
    outweighs every free resource."""

    hypervisor_version_weight_multiplier: float = 1.0
    """HypervisorVersionWeigher: positive prefers newer hypervisors."""

    metrics_weight_multiplier: float = 1.0
    """MetricsWeigher: how much the metrics count (Nova's `[metrics] weight_multiplier`)."""

    metrics_weight_setting: dict[str, float] = {}
    """Metric name → its ratio in the sum that MetricsWeigher makes, e.g. `{"cpu.percent": -1.0}`."""

    metrics_required: bool = True
    """A host without one of these metrics cannot be weighed: its request fails with an error that says so
    (use MetricsFilter to leave such hosts out). False: it gets `metrics_weight_of_unavailable`."""

    metrics_weight_of_unavailable: float = -10000.0
    """The sum for a host that lacks a metric."""

    service_down_time: Seconds = 60.0
    """Seconds without a new heartbeat after which a host counts as down."""

    batch_size: Positive = 64
    """Instances decided and claimed in one transaction. More is faster under load; a transaction of this many
    holds the database for some milliseconds."""

    queue_window: Positive = 4
    """While others schedule too: how many batches, from the oldest on, are looked at. One of them is taken at
    random, so that replicas seldom decide the same instances. Alone, a scheduler takes the oldest."""

    hot_seconds: Seconds = 2.0
    """Seconds after a wake-up during which the queue is looked at often."""

    hot_poll_seconds: Seconds = 0.012
    """An Instance's event may arrive before its row is there: how soon to look again; a quarter later each
    time."""

    idle_poll_seconds: Seconds = 1.0
    """How often the queue is looked at without any event."""

    usage_refresh_seconds: Seconds = 1.0
    """How old the picture of what other schedulers claimed may get while there is work. A stale picture costs
    refused claims, never an overfull host."""

    full_refresh_seconds: Seconds = 60.0
    """How often everything is read anew, whatever the increments said."""
