"""Ids in paths: UUIDs since 2.53, numbers before, in the administrators' part of the API."""

from __future__ import annotations

import re
import uuid

from cairn_gateway.http.faults import BadRequest

INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


def path_uuid(text: str) -> str:
    """The UUID in its usual form. Raises BadRequest for anything else."""
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise BadRequest(f"Invalid uuid {text}") from error


def path_integer(text: str) -> int | None:
    """The number; None for anything else. Negative ones are numbers, too, that nothing has."""
    return int(text) if INTEGER.fullmatch(text) else None


def required_integer(text: str) -> int:
    """As `path_integer`. Raises BadRequest for anything else."""
    number = path_integer(text)
    if number is None:
        raise BadRequest(f"Invalid input received: id must be an integer, not {text!r}.")
    return number
