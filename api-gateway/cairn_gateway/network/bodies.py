"""Bodies as Neutron takes them: `{"port": {…}}`, and for many at once `{"ports": [{…}, …]}`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, create_model

from cairn_gateway.http.call import Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.http.models import Boolean, Integer, RequestModel

MOST_AT_ONCE = 100


def _no_null(value: Any) -> Any:
    return "" if value is None else value


Name = Annotated[str, BeforeValidator(_no_null), StringConstraints(max_length=255)]
"""Free text; null counts as empty."""
ProjectId = Annotated[str, StringConstraints(max_length=255)]
Id = Annotated[str, StringConstraints(max_length=36)]
Flag = Boolean
Number = Integer
Ignored = Any
"""Taken because clients send it, and without effect when null or empty; anything else is refused by
`refuse_unsupported`."""


class Attributes(RequestModel):
    """What is said of one thing. Which fields were sent is `model_fields_set`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=False, arbitrary_types_allowed=True
    )
    unsupported: ClassVar[tuple[str, ...]] = ()
    """Fields that Cairn cannot do yet, unless they are null, empty or false."""

    def given(self, *names: str) -> list[str]:
        """Those of `names` that were sent."""
        return [name for name in names if name in self.model_fields_set]


class Owned(Attributes):
    """Something that belongs to a project."""

    project_id: ProjectId | None = None
    tenant_id: ProjectId | None = None

    @property
    def wanted_project(self) -> str | None:
        """The project that it is to belong to; the caller's when None."""
        return self.project_id or self.tenant_id


def one(name: str, model: type[Attributes]) -> type[BaseModel]:
    """The body `{name: {…}}`."""
    made: type[BaseModel] = create_model(
        f"{model.__name__}Body",
        __base__=RequestModel,
        **{name: (model, ...)},  # type: ignore[call-overload]
    )
    return made


def one_or_many(name: str, model: type[Attributes], plural: str = "") -> type[BaseModel]:
    """The body `{name: {…}}`, or `{plural: [{…}, …]}`."""
    many = Annotated[list[model], Field(min_length=1, max_length=MOST_AT_ONCE)]  # type: ignore[valid-type]
    fields: dict[str, Any] = {name: (model | None, None), plural or f"{name}s": (many | None, None)}
    made: type[BaseModel] = create_model(f"{model.__name__}Body", __base__=RequestModel, **fields)
    return made


def wanted(call: Call, name: str, plural: str = "") -> tuple[list[Any], bool]:
    """What the checked body asks for, and whether it asked for several. Raises BadRequest."""
    body = call.checked
    single = getattr(body, name)
    several = getattr(body, plural or f"{name}s")
    if (single is None) == (several is None):
        raise BadRequest(f"Unable to find '{name}' in request body")
    items = several if single is None else [single]
    for item in items:
        refuse_unsupported(item)
    return items, single is None


def changes(call: Call, name: str) -> Any:
    """What the checked body of an update says. Raises BadRequest."""
    item = getattr(call.checked, name)
    refuse_unsupported(item)
    return item


def refuse_unsupported(item: Attributes) -> None:
    """Raises BadRequest where it asks for what Cairn cannot do."""
    for field in item.unsupported:
        value = getattr(item, field)
        if value not in (None, "", False, [], {}):
            alias = type(item).model_fields[field].alias or field
            raise BadRequest(f"Cairn cannot do '{alias}' yet. Leave it out. Nothing was changed.")
