"""Request bodies and query strings as pydantic models that know the API's versions.

A field that came or went with a version says so in its annotation:

    description: Annotated[str | None, Since(SERVER_DESCRIPTION)] = None

A body that uses a field its version does not have is refused as an unknown one, as Nova does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema

from cairn_gateway.http.faults import BadRequest

Model = TypeVar("Model", bound=BaseModel)
LONGEST_VALUE_SHOWN = 100
LONGEST_MESSAGE = 400
SECRETS = frozenset({"password", "original_password", "adminPass", "secret", "blob", "token"})
"""Fields whose value no message repeats, nor that of anything in them."""


@dataclass(frozen=True)
class Since:
    """The field is there from this version on."""

    version: Any

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "x-cairn-since": str(self.version)}


@dataclass(frozen=True)
class Until:
    """The last version that has the field."""

    version: Any

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "x-cairn-until": str(self.version)}


class RequestModel(BaseModel):
    """Something a caller sends. Unknown fields are refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _fields_of_the_version(cls, data: Any, info: ValidationInfo) -> Any:
        version = (info.context or {}).get("version")
        if version is None or not isinstance(data, dict):
            return data
        for name, (since, until) in _ranges(cls).items():
            if name in data and (
                (since is not None and version < since) or (until is not None and version > until)
            ):
                raise ValueError(f"Additional properties are not allowed ('{name}' was unexpected)")
        return data


class QueryModel(RequestModel):
    """A query string; what it does not name is ignored, unless a model says otherwise."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


@cache
def _ranges(model: type[BaseModel]) -> dict[str, tuple[Any, Any]]:
    found = {}
    for name, field in model.model_fields.items():
        since = next((item.version for item in field.metadata if isinstance(item, Since)), None)
        until = next((item.version for item in field.metadata if isinstance(item, Until)), None)
        if since is not None or until is not None:
            found[field.alias or name] = (since, until)
    return found


def check(model: type[Model], data: Any, version: Any = None) -> Model:
    """`data` as `model`, at `version`. Raises BadRequest that says which field and why."""
    try:
        return model.model_validate(data, context={"version": version})
    except ValidationError as error:
        raise BadRequest(explain(error)) from error


def explain(error: ValidationError) -> str:
    """The first thing that is wrong, in one sentence that names the field."""
    first = error.errors(include_url=False)[0]
    where = "/".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        name = str(first["loc"][-1])
        where = "/".join(str(part) for part in first["loc"][:-1])
        message = f"Additional properties are not allowed ('{name}' was unexpected)"
    elif first["type"] == "missing":
        name = shorten(str(first["loc"][-1]))
        return f"Invalid input for field/attribute {shorten(where)}: '{name}' is a required property."
    shown = shorten(repr(first.get("input")))
    where, message = shorten(where), shorten(message, LONGEST_MESSAGE)
    if not SECRETS.isdisjoint(map(str, first["loc"])):
        return f"Invalid input for field/attribute {where}. {message}."
    if not where:
        return f"Invalid request body: {message}."
    return f"Invalid input for field/attribute {where}. Value: {shown}. {message}."


def shorten(text: str, longest: int = LONGEST_VALUE_SHOWN) -> str:
    """`text`, cut where it is longer than a person reads: what a client sends comes back in messages."""
    return text if len(text) <= longest else text[:longest] + "…"


# --- kinds of fields that Nova's APIs share --------------------------------------------------------------


def _boolean(value: Any) -> Any:
    """Nova takes booleans as JSON, as 0 and 1, and as words."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    if word in ("true", "1", "on", "yes", "y", "t"):
        return True
    if word in ("false", "0", "off", "no", "n", "f"):
        return False
    raise ValueError(f"{value!r} is not a boolean")


def _integer(value: Any) -> Any:
    """Nova takes integers as JSON and as text of digits."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is not an integer")  # noqa: TRY004 - pydantic wants ValueError
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,19}", value):
        raise ValueError(f"{value!r} is not an integer")
    return int(value)


def _no_edge_spaces(value: str) -> str:
    if value != value.strip():
        raise ValueError("it must not begin or end with whitespace")
    if not value:
        raise ValueError("it must not be empty")
    return value


def _printable(value: str) -> str:
    if not all(character.isprintable() for character in value):
        raise ValueError("it has characters that cannot be printed")
    return value


Boolean = Annotated[bool, BeforeValidator(_boolean)]
Integer = Annotated[int, BeforeValidator(_integer)]
Text255 = Annotated[str, StringConstraints(strict=True, max_length=255)]
Name = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=255),
    AfterValidator(_no_edge_spaces),
    AfterValidator(_printable),
]
"""Nova's `name`: 1 to 255 printable characters without spaces at its ends."""
Uuid = Annotated[
    str,
    StringConstraints(
        strict=True,
        pattern=r"^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$",
    ),
]


class NoBody(RequestModel):
    """An action without arguments: `{"os-stop": null}`."""
