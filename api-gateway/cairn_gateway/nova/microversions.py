"""Microversions of the Compute API: what each changed, and how a client and this cloud agree on one.

Everything that depends on a microversion asks here by name (`request.version >= SERVER_DESCRIPTION`); the
number of a change is written in this module and nowhere else. A name says what is true from that version
on, so `…_REMOVED` names the first version without it. Source of behaviour: Nova's API version history and
its request handling (`nova/api/openstack/wsgi.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple


class Microversion(NamedTuple):
    """One version of the API; compared as a pair of numbers, so 2.9 comes before 2.10."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> Microversion:
        """`"2.15"` as a version; ValueError for anything but two plain decimal numbers."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a version of the form MAJOR.MINOR")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


_FORM = re.compile(r"([1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})")


@dataclass(frozen=True, slots=True)
class Change:
    """What one version changed."""

    version: Microversion
    title: str
    """One line, for people."""

    @property
    def effects(self) -> tuple[str, ...]:
        """The names of this module by which handlers ask for it; none where there is nothing to ask."""
        return tuple(
            name
            for name, value in globals().items()
            if name.isupper() and name not in ("MIN", "MAX") and value == self.version
        )


def _change(line: str) -> Change:
    number, title = line.split(" ", 1)
    return Change(Microversion.parse(number), title)


CHANGES: Final = tuple(
    _change(line)
    for line in (
        "2.1 The API of v2.0 with strict checking of request bodies",
        "2.2 Key pairs have a type, ssh or x509; making one answers 201, deleting one 204",
        "2.3 Administrators see host name, kernel, ramdisk, reservation and user data of a server",
        "2.4 A fixed IP tells whether it is reserved",
        "2.5 Everybody may filter servers by ip6",
        "2.6 One call, remote-consoles, replaces the console actions",
        "2.7 Giving access to a public flavor is a conflict",
        "2.8 Remote consoles of protocol mks",
        "2.9 Servers tell whether they are locked",
        "2.10 Administrators handle the key pairs of other users",
        "2.11 Services have forced_down",
        "2.12 Virtual interfaces name their network",
        "2.13 Server groups name their project and user",
        "2.14 Evacuate finds out by itself about shared storage and returns no password",
        "2.15 Soft affinity and soft anti-affinity of server groups",
        "2.16 Servers tell the status of their host",
        "2.17 A crash dump of a guest can be triggered",
        "2.18 The project id in the path may be left out",
        "2.19 Servers have a description",
        "2.20 Volumes are attached to and detached from shelved servers",
        "2.21 The actions of deleted servers can be read",
        "2.22 A live migration can be forced to complete",
        "2.23 A server's running migrations are listed; migrations tell their type",
        "2.24 A running live migration can be cancelled",
        "2.25 Live migration decides by itself about block migration; disk_over_commit is gone",
        "2.26 Servers have tags and are filtered by them",
        "2.27 The header OpenStack-API-Version",
        "2.28 A hypervisor's cpu_info is an object",
        "2.29 Evacuate takes force; without it the scheduler checks a given host",
        "2.30 Live migration takes force; without it the scheduler checks a given host",
        "2.31 Console tokens of every type can be read",
        "2.32 Networks and block devices of a new server take a tag",
        "2.33 Hypervisors are listed in pages; block devices no longer take a tag",
        "2.34 Live migration is checked after it was accepted",
        "2.35 Key pairs are listed in pages, sorted by name",
        "2.36 The proxies to images, networks and volumes are gone, and the network quotas",
        "2.37 A new server says its networks: a list, auto or none; networks no longer take a tag",
        "2.38 An unknown status as a filter of servers is refused",
        "2.39 The proxy to image metadata and its quota are gone",
        "2.40 Usage is listed in pages",
        "2.41 Aggregates tell their UUID",
        "2.42 Networks and block devices of a new server take a tag again",
        "2.43 os-hosts is gone",
        "2.44 The actions on fixed and floating IPs, and os-virtual-interfaces, are gone",
        "2.45 The id of a snapshot's image comes in the body instead of a Location header",
        "2.46 The request id also comes as X-OpenStack-Request-ID",
        "2.47 A server carries its flavor's values instead of a link to it",
        "2.48 Diagnostics have one shape for every hypervisor",
        "2.49 Attached interfaces and volumes take a tag",
        "2.50 Quota classes have the server group quotas and no network quotas",
        "2.51 The external event volume-extended; everybody sees the events of an action",
        "2.52 A new server takes tags",
        "2.53 Services and hypervisors are known by UUID; one call changes a service",
        "2.54 Rebuild takes a key pair",
        "2.55 Flavors have a description, which can be changed",
        "2.56 Cold migration takes a host",
        "2.57 Files are no longer injected; rebuild takes user data",
        "2.58 Actions are listed in pages, and by the time they changed",
        "2.59 Migrations are listed in pages, and by the time they changed; they have a UUID",
        "2.60 One volume may be attached to several servers",
        "2.61 Flavors carry their extra specs",
        "2.62 Events of an action tell the host",
        "2.63 Create and rebuild take trusted image certificates",
        "2.64 A server group has one policy, with rules",
        "2.65 A live migration that is still queued or prepared can be cancelled",
        "2.66 The filter changes-before",
        "2.67 Block devices of a new server take a volume type",
        "2.68 Live migration and evacuate can no longer be forced past the scheduler",
        "2.69 Lists answer with what is known while a part of the cloud is away",
        "2.70 The tags of attached interfaces and volumes are shown",
        "2.71 Servers tell their server groups",
        "2.72 A new server takes ports that ask for resources",
        "2.73 Locking takes a reason; servers are filtered by locked",
        "2.74 A new server takes a host or a hypervisor's host name, which the scheduler checks",
        "2.75 Unknown parameters are refused; show, update and rebuild answer alike; swap is 0",
        "2.76 The external event power-update",
        "2.77 Unshelve takes an availability zone",
        "2.78 The NUMA topology of a server",
        "2.79 Attached volumes may be deleted with the server",
        "2.80 Migrations tell their project and user, and are filtered by them",
        "2.81 Images are cached on the hosts of an aggregate beforehand",
        "2.82 The external event accelerator-request-bound",
        "2.83 Everybody may filter servers by more fields",
        "2.84 Failed events of an action tell the details",
        "2.85 Whether an attached volume is deleted with the server can be changed",
        "2.86 Known extra specs of flavors are checked",
        "2.87 A server that boots from a volume can be rescued",
        "2.88 Hypervisors tell their uptime and no usage; their statistics are gone",
        "2.89 Volume attachments tell attachment_id and bdm_uuid, and no id",
        "2.90 Create, update and rebuild take a hostname, which everybody sees",
        "2.91 Unshelve takes a host, and pins to a zone or unpins",
        "2.92 Key pairs are imported, not made; their names may have @ and dots",
        "2.93 A server that boots from a volume can be rebuilt",
        "2.94 The hostname may be fully qualified",
        "2.95 An evacuated server is stopped on its new host",
        "2.96 Servers tell the availability zone that they are pinned to",
        "2.97 Shares are attached to servers",
        "2.98 Servers tell the properties of their image",
        "2.99 Consoles of type spice-direct; console tokens tell the TLS port",
        "2.100 Servers tell their scheduler hints",
        "2.101 Attaching a volume answers 202 and no body",
        "2.102 Flavors are filtered by name and have no rxtx_factor; every unknown query is refused",
        "2.103 os-volumes_boot is gone",
        "2.104 Update pins a server to its availability zone, or unpins it",
    )
)
MIN: Final = CHANGES[0].version
MAX: Final = CHANGES[-1].version
_KNOWN: Final = frozenset(change.version for change in CHANGES)


def at(text: str) -> Microversion:
    """The version of a change; ValueError if nothing changed there, which is a slip in this module."""
    version = Microversion.parse(text)
    if version not in _KNOWN:
        raise ValueError(f"no change is listed for {version}")
    return version


def before(version: Microversion) -> Microversion:
    """The last version without what `version` brought, or with what it removed."""
    return Microversion(version.major, version.minor - 1)


KEYPAIR_TYPES: Final = at("2.2")
KEYPAIR_STATUS_CODES: Final = at("2.2")
SERVER_EXTENDED_ATTRIBUTES: Final = at("2.3")
SERVER_VOLUMES_DELETE_ON_TERMINATION: Final = at("2.3")
FIXED_IP_RESERVED: Final = at("2.4")
IP6_FILTER_FOR_ALL: Final = at("2.5")
REMOTE_CONSOLES: Final = at("2.6")
CONSOLE_ACTIONS_REMOVED: Final = at("2.6")
FLAVOR_ACCESS_REFUSES_PUBLIC: Final = at("2.7")
CONSOLE_MKS: Final = at("2.8")
SERVER_LOCKED: Final = at("2.9")
KEYPAIRS_OF_OTHER_USERS: Final = at("2.10")
SERVICE_FORCED_DOWN: Final = at("2.11")
VIRTUAL_INTERFACE_NETWORK: Final = at("2.12")
SERVER_GROUP_OWNER: Final = at("2.13")
EVACUATE_SHARED_STORAGE_REMOVED: Final = at("2.14")
EVACUATE_PASSWORD_REMOVED: Final = at("2.14")
SERVER_GROUP_SOFT_POLICIES: Final = at("2.15")
SERVER_HOST_STATUS: Final = at("2.16")
CRASH_DUMP: Final = at("2.17")
PROJECT_ID_OPTIONAL: Final = at("2.18")
SERVER_DESCRIPTION: Final = at("2.19")
VOLUMES_WHILE_SHELVED: Final = at("2.20")
ACTIONS_OF_DELETED_SERVERS: Final = at("2.21")
MIGRATION_FORCE_COMPLETE: Final = at("2.22")
SERVER_MIGRATIONS: Final = at("2.23")
MIGRATION_TYPE: Final = at("2.23")
MIGRATION_ABORT: Final = at("2.24")
LIVE_MIGRATE_BLOCK_AUTO: Final = at("2.25")
LIVE_MIGRATE_DISK_OVER_COMMIT_REMOVED: Final = at("2.25")
SERVER_TAGS: Final = at("2.26")
SERVER_TAG_FILTERS: Final = at("2.26")
STANDARD_VERSION_HEADER: Final = at("2.27")
HYPERVISOR_CPU_INFO_OBJECT: Final = at("2.28")
EVACUATE_FORCE: Final = at("2.29")
LIVE_MIGRATE_FORCE: Final = at("2.30")
CONSOLE_TOKENS_OF_EVERY_TYPE: Final = at("2.31")
SERVER_CREATE_DEVICE_TAGS: Final = at("2.32")
BLOCK_DEVICE_TAGS_LOST: Final = at("2.33")
HYPERVISOR_PAGES: Final = at("2.33")
LIVE_MIGRATE_CHECKED_LATER: Final = at("2.34")
KEYPAIR_PAGES: Final = at("2.35")
PROXIES_REMOVED: Final = at("2.36")
NETWORK_QUOTAS_REMOVED: Final = at("2.36")
NETWORKS_AUTO: Final = at("2.37")
NETWORKS_REQUIRED: Final = at("2.37")
NETWORK_TAGS_LOST: Final = at("2.37")
UNKNOWN_STATUS_REFUSED: Final = at("2.38")
IMAGE_METADATA_REMOVED: Final = at("2.39")
IMAGE_METADATA_QUOTA_REMOVED: Final = at("2.39")
USAGE_PAGES: Final = at("2.40")
AGGREGATE_UUID: Final = at("2.41")
DEVICE_TAGS_RESTORED: Final = at("2.42")
HOSTS_REMOVED: Final = at("2.43")
ADDRESS_ACTIONS_REMOVED: Final = at("2.44")
VIRTUAL_INTERFACES_REMOVED: Final = at("2.44")
SNAPSHOT_ID_IN_BODY: Final = at("2.45")
REQUEST_ID_HEADER: Final = at("2.46")
SERVER_FLAVOR_EMBEDDED: Final = at("2.47")
DIAGNOSTICS_STANDARD: Final = at("2.48")
ATTACH_TAGS: Final = at("2.49")
QUOTA_CLASS_SERVER_GROUPS: Final = at("2.50")
QUOTA_CLASS_NETWORK_QUOTAS_REMOVED: Final = at("2.50")
EVENT_VOLUME_EXTENDED: Final = at("2.51")
ACTION_EVENTS_FOR_ALL: Final = at("2.51")
SERVER_CREATE_TAGS: Final = at("2.52")
SERVICE_UUIDS: Final = at("2.53")
SERVICE_UPDATE_BY_UUID: Final = at("2.53")
HYPERVISOR_UUIDS: Final = at("2.53")
HYPERVISOR_QUERY_FILTERS: Final = at("2.53")
REBUILD_KEYPAIR: Final = at("2.54")
FLAVOR_DESCRIPTION: Final = at("2.55")
FLAVOR_UPDATE: Final = at("2.55")
MIGRATE_TO_HOST: Final = at("2.56")
PERSONALITY_REMOVED: Final = at("2.57")
INJECTED_FILE_QUOTAS_REMOVED: Final = at("2.57")
REBUILD_USER_DATA: Final = at("2.57")
ACTION_PAGES: Final = at("2.58")
ACTION_UPDATED_AT: Final = at("2.58")
MIGRATION_PAGES: Final = at("2.59")
MIGRATION_UUID: Final = at("2.59")
VOLUME_MULTIATTACH: Final = at("2.60")
FLAVOR_EXTRA_SPECS_IN_FLAVOR: Final = at("2.61")
ACTION_EVENT_HOST: Final = at("2.62")
TRUSTED_CERTIFICATES: Final = at("2.63")
SERVER_GROUP_RULES: Final = at("2.64")
MIGRATION_ABORT_QUEUED: Final = at("2.65")
CHANGES_BEFORE: Final = at("2.66")
BLOCK_DEVICE_VOLUME_TYPE: Final = at("2.67")
FORCED_MOVES_REMOVED: Final = at("2.68")
PARTIAL_RESULTS: Final = at("2.69")
ATTACHMENT_TAGS_SHOWN: Final = at("2.70")
SERVER_GROUPS_IN_SERVER: Final = at("2.71")
PORT_RESOURCE_REQUESTS: Final = at("2.72")
LOCK_REASON: Final = at("2.73")
LOCKED_FILTER: Final = at("2.73")
CREATE_ON_HOST: Final = at("2.74")
UNKNOWN_PARAMETERS_REFUSED: Final = at("2.75")
SERVER_SHAPE_UNIFORM: Final = at("2.75")
FLAVOR_SWAP_NUMBER: Final = at("2.75")
HYPERVISOR_SERVERS_ALWAYS: Final = at("2.75")
EVENT_POWER_UPDATE: Final = at("2.76")
UNSHELVE_TO_ZONE: Final = at("2.77")
SERVER_TOPOLOGY: Final = at("2.78")
VOLUME_DELETE_ON_TERMINATION: Final = at("2.79")
MIGRATION_OWNER: Final = at("2.80")
AGGREGATE_IMAGES: Final = at("2.81")
EVENT_ACCELERATOR_BOUND: Final = at("2.82")
SERVER_FILTERS_FOR_ALL: Final = at("2.83")
ACTION_EVENT_DETAILS: Final = at("2.84")
VOLUME_ATTACHMENT_UPDATE: Final = at("2.85")
EXTRA_SPECS_CHECKED: Final = at("2.86")
RESCUE_VOLUME_BACKED: Final = at("2.87")
HYPERVISOR_USAGE_REMOVED: Final = at("2.88")
HYPERVISOR_UPTIME_FIELD: Final = at("2.88")
ATTACHMENT_ID: Final = at("2.89")
HOSTNAME_REQUEST: Final = at("2.90")
HOSTNAME_FOR_ALL: Final = at("2.90")
UNSHELVE_TO_HOST: Final = at("2.91")
KEYPAIR_IMPORT_ONLY: Final = at("2.92")
KEYPAIR_NAME_CHARACTERS: Final = at("2.92")
REBUILD_VOLUME_BACKED: Final = at("2.93")
EVENT_VOLUME_REIMAGED: Final = at("2.93")
HOSTNAME_FQDN: Final = at("2.94")
EVACUATE_STOPPED: Final = at("2.95")
PINNED_ZONE: Final = at("2.96")
SERVER_SHARES: Final = at("2.97")
IMAGE_PROPERTIES_IN_SERVER: Final = at("2.98")
CONSOLE_SPICE_DIRECT: Final = at("2.99")
CONSOLE_TOKEN_TLS_PORT: Final = at("2.99")
SCHEDULER_HINTS_IN_SERVER: Final = at("2.100")
VOLUME_ATTACH_LATER: Final = at("2.101")
FLAVOR_NAME_FILTER: Final = at("2.102")
FLAVOR_RXTX_FACTOR_REMOVED: Final = at("2.102")
UNKNOWN_QUERIES_REFUSED: Final = at("2.102")
VOLUMES_BOOT_REMOVED: Final = at("2.103")
PINNED_ZONE_UPDATE: Final = at("2.104")

STANDARD_HEADER: Final = "OpenStack-API-Version"
LEGACY_HEADER: Final = "X-OpenStack-Nova-API-Version"
SERVICE: Final = "compute"


class VersionRefused(ValueError):
    """The client asked for a version that this cloud does not speak; `status` is what to answer."""

    status: int = 406

    def __init__(self, asked: str, message: str) -> None:
        super().__init__(message)
        self.asked = asked
        self.min = MIN
        self.max = MAX


class VersionMalformed(VersionRefused):
    """The header holds no version at all."""

    status = 400


def negotiate(headers: Mapping[str, str]) -> Microversion:
    """The version of a request, from its headers (names in lower case, repeated ones joined by commas).

    The standard header's last entry for compute, else the older header's last entry, else the oldest
    version; `latest` is the newest. Raises VersionMalformed (400) or VersionRefused (406).
    """
    asked = _asked(headers)
    if asked is None:
        return MIN
    if asked == "latest":
        return MAX
    try:
        version = Microversion.parse(asked)
    except ValueError:
        message = f"API Version String {asked} is of invalid format. Must be of format MajorNum.MinorNum."
        raise VersionMalformed(asked, message) from None
    if not MIN <= version <= MAX:
        message = f"Version {version} is not supported by the API. Minimum is {MIN} and maximum is {MAX}."
        raise VersionRefused(asked, message)
    return version


def _asked(headers: Mapping[str, str]) -> str | None:
    standard = headers.get("openstack-api-version")
    for entry in reversed(standard.split(",")) if standard else ():
        words = entry.split(None, 1)
        if len(words) == 2 and words[0].lower() == SERVICE:
            return words[1].strip()
    legacy = headers.get("x-openstack-nova-api-version")
    return None if legacy is None else legacy.split(",")[-1].strip()


def response_headers(version: Microversion | str) -> dict[str, str]:
    """What every answer says about its version, so that caches and clients can tell."""
    return {
        STANDARD_HEADER: f"{SERVICE} {version}",
        LEGACY_HEADER: str(version),
        "Vary": f"{STANDARD_HEADER}, {LEGACY_HEADER}",
    }
