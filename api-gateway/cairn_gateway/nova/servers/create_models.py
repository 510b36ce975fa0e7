"""What POST /servers takes.

Source: Nova API, POST /servers (`nova/api/openstack/compute/schemas/servers.py`).
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from cairn_gateway.http.models import Boolean, Integer, Name, RequestModel, Since, Text255, Until, Uuid
from cairn_gateway.nova import microversions as since
from cairn_gateway.nova.servers.hostnames import Hostname

LONGEST_USER_DATA = 65535
MOST_SERVERS = 1000
"""Of one request; quotas allow fewer as a rule."""
METADATA_KEY = re.compile(r"[a-zA-Z0-9-_:. ]{1,255}")


def _metadata_key(key: str) -> str:
    if not METADATA_KEY.fullmatch(key):
        raise ValueError("a key has 1 to 255 letters, digits, spaces, or one of - _ : .")
    return key


def _base64(value: str) -> str:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"it is not base64: {error}") from error
    return value


def _ip4(value: Any) -> Any:
    if value in ("", None):
        return None
    ipaddress.IPv4Address(value)
    return value


def _ip6(value: Any) -> Any:
    if value in ("", None):
        return None
    return str(ipaddress.IPv6Address(value))  # the short form, as Nova stores it


def reference(value: Any) -> Any:
    """Flavors' ids may come as numbers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def is_ip(value: str) -> str:
    """An address, as it was given."""
    ipaddress.ip_address(value)
    return value


Metadata = Annotated[dict[Annotated[str, AfterValidator(_metadata_key)], Text255], Field(max_length=1000)]
"""Keys and values as Nova takes them; how many is a quota."""
AccessIPv4 = Annotated[Text255 | None, BeforeValidator(_ip4)]
AccessIPv6 = Annotated[Text255 | None, BeforeValidator(_ip6)]
Tag = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=60, pattern=r"^[^,/]+$")]
Tags = Annotated[list[Tag], Field(max_length=50)]
DiskConfig = Literal["AUTO", "MANUAL"]
Positive = Annotated[Integer, Field(ge=1, le=2**31 - 1)]
UserData = Annotated[
    str, StringConstraints(strict=True, max_length=LONGEST_USER_DATA), AfterValidator(_base64)
]


class NetworkWish(RequestModel):
    """One interface: a network, or a port made beforehand."""

    uuid: Text255 | None = None
    port: Uuid | None = None
    fixed_ip: Annotated[str, AfterValidator(is_ip)] | None = None
    tag: Annotated[Tag | None, Since(since.SERVER_CREATE_DEVICE_TAGS)] = None


class SecurityGroupWish(RequestModel):
    """By name or id."""

    name: Name


class InjectedFile(RequestModel):
    """A file for the guest, base64 (until 2.56)."""

    path: Text255
    contents: Annotated[str, StringConstraints(strict=True, max_length=64 * 1024), AfterValidator(_base64)]


class BlockDevice(RequestModel):
    """One disk (block device mapping v2)."""

    source_type: Literal["volume", "image", "snapshot", "blank"]
    uuid: Text255 | None = None
    destination_type: Literal["local", "volume"] | None = None
    boot_index: Annotated[Integer | None, Field(ge=-(2**31), le=2**31 - 1)] = None
    delete_on_termination: Boolean = False
    device_name: Text255 | None = None
    device_type: Text255 | None = None
    disk_bus: Text255 | None = None
    guest_format: Text255 | None = None
    no_device: Any = None
    volume_size: Annotated[Integer | None, Field(ge=0, le=2**31 - 1)] = None
    volume_type: Annotated[Text255 | None, Since(since.BLOCK_DEVICE_VOLUME_TYPE)] = None
    tag: Annotated[Tag | None, Since(since.SERVER_CREATE_DEVICE_TAGS)] = None
    encrypted: Boolean | None = None
    encryption_secret_uuid: Uuid | None = None
    encryption_format: Text255 | None = None
    encryption_options: Text255 | None = None
    virtual_name: Text255 | None = None
    volume_id: Text255 | None = None
    snapshot_id: Text255 | None = None


class SchedulerHints(RequestModel):
    """Where it should be placed. Further hints are kept and ignored, as Nova does."""

    model_config = {"extra": "allow", "frozen": True}

    group: Uuid | None = None
    different_host: Annotated[list[Uuid], Field(max_length=64)] | Uuid = []
    same_host: Annotated[list[Uuid], Field(max_length=64)] | Uuid = []
    query: Annotated[str, StringConstraints(max_length=4096)] | list[Any] | None = None

    @model_validator(mode="after")
    def _bounded(self) -> SchedulerHints:
        if len(self.model_extra or {}) > 64:
            raise ValueError("there are more than 64 hints")
        return self


class ServerWish(RequestModel):
    """The server."""

    name: Name
    flavor_ref: Annotated[Text255, Field(alias="flavorRef"), BeforeValidator(reference)]
    image_ref: Annotated[Text255 | None, Field(alias="imageRef")] = None
    admin_pass: Annotated[Text255 | None, Field(alias="adminPass")] = None
    metadata: Metadata = {}
    networks: Annotated[list[NetworkWish], Field(max_length=16)] | str | None = None
    disk_config: Annotated[DiskConfig | None, Field(alias="OS-DCF:diskConfig")] = None
    access_ipv4: Annotated[AccessIPv4, Field(alias="accessIPv4")] = None
    access_ipv6: Annotated[AccessIPv6, Field(alias="accessIPv6")] = None
    personality: Annotated[list[InjectedFile] | None, Field(max_length=64), Until(since.MIGRATE_TO_HOST)] = (
        None
    )
    availability_zone: Name | None = None
    block_device_mapping: Annotated[list[dict[str, Any]], Field(max_length=64)] = []
    block_device_mapping_v2: Annotated[list[BlockDevice], Field(max_length=64)] = []
    config_drive: Boolean | None = None
    key_name: Name | None = None
    min_count: Positive | None = None
    max_count: Positive | None = None
    return_reservation_id: Boolean = False
    security_groups: Annotated[list[SecurityGroupWish], Field(max_length=64)] | None = None
    user_data: UserData | None = None
    description: Annotated[Text255 | None, Since(since.SERVER_DESCRIPTION)] = None
    tags: Annotated[Tags, Since(since.SERVER_CREATE_TAGS)] = []
    trusted_image_certificates: Annotated[
        list[Text255] | None, Field(max_length=50), Since(since.TRUSTED_CERTIFICATES)
    ] = None
    host: Annotated[Text255 | None, Since(since.CREATE_ON_HOST)] = None
    hypervisor_hostname: Annotated[Text255 | None, Since(since.CREATE_ON_HOST)] = None
    hostname: Annotated[Hostname | None, Since(since.HOSTNAME_REQUEST)] = None


class CreateServer(RequestModel):
    """POST /servers."""

    server: ServerWish
    hints: Annotated[SchedulerHints | None, Field(alias="os:scheduler_hints")] = None
    old_hints: Annotated[SchedulerHints | None, Field(alias="OS-SCH-HNT:scheduler_hints")] = None
