"""What people may say of an image: the fields, their rules, and which of them only the store writes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from cairn_crds.image import DiskFormat
from cairn_database.images.records import Visibility
from cairn_gateway.http.faults import BadRequest, BodyTooLarge, Forbidden

CONTAINER_FORMATS: Final = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
DISK_FORMATS: Final = tuple(item.value for item in DiskFormat)
READ_ONLY: Final = frozenset(
    {
        "created_at",
        "updated_at",
        "status",
        "checksum",
        "size",
        "virtual_size",
        "direct_url",
        "self",
        "file",
        "schema",
        "stores",
        "os_hash_algo",
        "os_hash_value",
    }
)
RESERVED: Final = frozenset({"location", "deleted", "deleted_at"})
RESERVED_PREFIX: Final = "os_glance"
MOST_PROPERTIES: Final = 128
MOST_TAGS: Final = 128
LONGEST: Final = 255
LONGEST_VALUE: Final = 4096
"""Characters of a property, which goes into the Image resource."""
OWNER: Final = re.compile(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?")
IMAGE_ID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _wrong(name: str, value: Any, why: str) -> BadRequest:
    shown = repr(value)
    shown = shown if len(shown) <= LONGEST else shown[:LONGEST] + "…"
    return BadRequest(f"Provided object does not match schema 'image': {shown} {why} in '{name}'.")


def _text(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise _wrong(name, value, "is not a string")
    if len(value) > LONGEST:
        raise _wrong(name, value, f"is longer than {LONGEST} characters")
    return _without_null(name, value)


def _without_null(name: str, value: str) -> str:
    if "\0" in value:
        raise _wrong(name, value, "has a null character")
    return value


def _owner(name: str, value: Any) -> str | None:
    text = _text(name, value)
    if text is not None and not OWNER.fullmatch(text):
        raise _wrong(name, value, "is no project's id")
    return text


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, value, "is not a boolean")
    return value


def _size(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(name, value, "is not an integer")
    if not 0 <= value <= 2**31 - 1:
        raise _wrong(name, value, "is not between 0 and 2147483647")
    return value


def _one_of(*allowed: str) -> Callable[[str, Any], str | None]:
    def check(name: str, value: Any) -> str | None:
        if value is not None and value not in allowed:
            raise _wrong(name, value, f"is not one of {', '.join(allowed)}")
        return value  # type: ignore[no-any-return]

    return check


def _visibility(name: str, value: Any) -> Visibility:
    try:
        return Visibility(value)
    except ValueError:
        raise _wrong(name, value, f"is not one of {', '.join(Visibility)}") from None


def _tags(name: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise _wrong(name, value, "is not an array")
    tags = sorted({tag_of(item) for item in value})
    if len(tags) > MOST_TAGS:
        raise BodyTooLarge(
            f"The limit has been exceeded on the number of allowed image tags: {MOST_TAGS} are."
        )
    return tags


def tag_of(value: Any) -> str:
    """A tag. Raises BadRequest."""
    text = _text("tags", value)
    if not text:
        raise _wrong("tags", value, "is no tag: it must have 1 to 255 characters")
    return text


FIELDS: Mapping[str, Callable[[str, Any], Any]] = MappingProxyType(
    {
        "name": _text,
        "visibility": _visibility,
        "protected": _boolean,
        "os_hidden": _boolean,
        "owner": _owner,
        "container_format": _one_of(*CONTAINER_FORMATS),
        "disk_format": _one_of(*DISK_FORMATS),
        "min_ram": _size,
        "min_disk": _size,
        "tags": _tags,
    }
)
"""Those that are not custom properties, each with what checks its value."""


def record_field(name: str) -> str:
    """What an ImageRecord calls it."""
    return "hidden" if name == "os_hidden" else name


def check_settable(name: str) -> None:
    """Raises Forbidden for what only the store writes, BadRequest for what cannot be a name."""
    if name in READ_ONLY:
        raise Forbidden(f"Attribute '{name}' is read-only.")
    if name in RESERVED or name.startswith(RESERVED_PREFIX):
        raise Forbidden(f"Attribute '{name}' is reserved.")
    if name == "locations":
        raise Forbidden("It's not allowed to add locations if locations are invisible.")
    if not name or len(name) > LONGEST or "\0" in name:
        raise BadRequest(f"Custom property should not be greater than {LONGEST} characters, nor empty.")


def check_property(name: str, value: Any) -> str:
    """A custom property's value. Raises BadRequest."""
    if not isinstance(value, str):
        raise _wrong(name, value, "is not a string")
    if len(value) > LONGEST_VALUE:
        raise _wrong(name, value, f"is longer than {LONGEST_VALUE} characters")
    return _without_null(name, value)


def check_count(properties: Mapping[str, str]) -> None:
    """Raises BodyTooLarge (Glance: image_property_quota)."""
    if len(properties) > MOST_PROPERTIES:
        raise BodyTooLarge(
            "The limit has been exceeded on the number of allowed image properties. "
            f"Attempted: {len(properties)}, Maximum: {MOST_PROPERTIES}"
        )


def check_only_properties(properties: Mapping[str, str]) -> None:
    """That all of these can be custom properties of an image. Raises BadRequest, Forbidden, BodyTooLarge."""
    for name, value in properties.items():
        check_settable(name)
        check_property(name, value)
        if name in FIELDS:
            raise BadRequest(f"'{name}' cannot be a property of an image: images have it anyway.")
    check_count(properties)
