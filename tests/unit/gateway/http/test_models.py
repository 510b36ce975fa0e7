"""Bodies as models: kinds of fields, versions, and what a refusal says."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field

from cairn_gateway.http.faults import BadRequest
from cairn_gateway.http.models import (
    Boolean,
    Integer,
    Name,
    QueryModel,
    RequestModel,
    Since,
    Text255,
    Until,
    Uuid,
    check,
)


class Inner(RequestModel):
    name: Name


class Thing(RequestModel):
    inner: Inner | None = None
    flag: Boolean = False
    count: Annotated[Integer, Field(ge=0, le=10)] = 0
    text: Text255 = ""
    id: Uuid | None = None
    old: Annotated[int | None, Until(2), Field(alias="os-old")] = None
    new: Annotated[int | None, Since(3)] = None


class Filters(QueryModel):
    limit: Integer | None = None


def refusal(model: type[Any], data: Any, version: Any = None) -> str:
    with pytest.raises(BadRequest) as raised:
        check(model, data, version)
    return raised.value.message


@pytest.mark.parametrize("value", [True, 1, "1", "true", "True", " yes ", "ON", "t"])
def test_booleans_as_nova_takes_them(value: Any) -> None:
    assert check(Thing, {"flag": value}).flag is True


@pytest.mark.parametrize("value", [False, 0, "0", "false", "No", "off", "F"])
def test_denials_as_nova_takes_them(value: Any) -> None:
    assert check(Thing, {"flag": value}).flag is False


@pytest.mark.parametrize("value", [2, "maybe", "", None, [], 1.0, {"a": 1}])
def test_other_things_are_no_booleans(value: Any) -> None:
    assert "flag" in refusal(Thing, {"flag": value})


@pytest.mark.parametrize("value", [7, "7", "07"])
def test_integers_may_be_text(value: Any) -> None:
    assert check(Thing, {"count": value}).count == 7


@pytest.mark.parametrize(
    "value", [True, 7.0, 7.5, "7.0", "", " 7", "٣", "0x7", "1e1", None, [], 11, "9" * 30, 2**63]
)
def test_other_things_are_no_integers_or_out_of_bounds(value: Any) -> None:
    assert "count" in refusal(Thing, {"count": value})


@pytest.mark.parametrize("value", ["", " a", "a ", "a\nb", "\u202e", "a" * 256, 5, None])
def test_names_are_printable_and_of_bounded_length(value: Any) -> None:
    assert "inner/name" in refusal(Thing, {"inner": {"name": value}})


def test_a_name_may_have_any_letters() -> None:
    assert check(Thing, {"inner": {"name": "Grün & 石"}}).inner.name == "Grün & 石"  # type: ignore[union-attr]


@pytest.mark.parametrize("value", ["x", "", "11111111-2222-4333-8444-55555555555", " " * 36, "g" * 32, 5])
def test_uuids(value: Any) -> None:
    assert "id" in refusal(Thing, {"id": value})
    assert check(Thing, {"id": "11111111-2222-4333-8444-555555555555"}).id


def test_unknown_fields_are_named_with_their_place() -> None:
    message = refusal(Thing, {"inner": {"name": "a", "nmae": "b"}})
    assert "inner" in message
    assert "Additional properties are not allowed ('nmae' was unexpected)" in message


def test_missing_fields_are_named() -> None:
    assert "'name' is a required property" in refusal(Thing, {"inner": {}})


@pytest.mark.parametrize("data", [None, [], "x", 5, [{}]])
def test_a_body_that_is_no_object_is_refused(data: Any) -> None:
    assert refusal(Thing, data)


def test_a_field_of_another_version_is_unknown() -> None:
    assert "'os-old' was unexpected" in refusal(Thing, {"os-old": 1}, 3)
    assert "'new' was unexpected" in refusal(Thing, {"new": 1}, 2)
    assert check(Thing, {"os-old": 1}, 2).old == 1
    assert check(Thing, {"new": 1}, 3).new == 1


def test_unknown_filters_are_ignored() -> None:
    assert check(Filters, {"limit": "5", "colour": "red"}).limit == 5


def test_what_is_long_comes_back_cut() -> None:
    for data in (
        {"text": "x" * 50_000},
        {"flag": "x" * 50_000},
        {"x" * 50_000: 1},
        {"inner": {"x" * 50_000: 1, "name": "a"}},
        {"count": "9" * 50_000},
        {"inner": [1] * 50_000},
    ):
        assert len(refusal(Thing, data)) < 1000


def test_the_schema_tells_of_versions() -> None:
    properties = Thing.model_json_schema()["properties"]
    assert properties["new"]["x-cairn-since"] == "3"
    assert properties["os-old"]["x-cairn-until"] == "2"
