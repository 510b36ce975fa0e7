"""What lists of images may be asked for."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn_database.images.listing import Filter, ImageQuery, Viewer
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.image.query import parse, split_list


def asked(text: str) -> ImageQuery:
    return parse(parse_qsl(text, keep_blank_values=True), Viewer("blue"))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a,b", ["a", "b"]),
        ("a", ["a"]),
        ("", []),
        ('"a,b",c', ["a,b", "c"]),
        ('c,"a"', ["c", "a"]),
        (r'"say \"hi\""', ['say "hi"']),
    ],
)
def test_lists_in_filters(text: str, values: list[str]) -> None:
    assert split_list(text) == values


@pytest.mark.parametrize("text", ['"a', 'a"b', 'a,"b', '"a"b'])
def test_quotes_that_do_not_match(text: str) -> None:
    with pytest.raises(BadRequest):
        split_list(text)


def test_hidden_images_are_left_out_unless_asked_for() -> None:
    assert asked("").filters == (Filter("hidden", "eq", False),)
    assert asked("os_hidden=True").filters == (Filter("hidden", "eq", True),)


def test_moments_without_a_zone_are_utc() -> None:
    moment = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
    for text in ("created_at=gte:2026-11-22T14:00:00", "created_at=gte:2026-11-22T14:00:00Z"):
        assert asked(text).filters[1] == Filter("created_at", "gte", moment)
    assert asked("updated_at=2026-11-22T14:00:00Z").filters[1] == Filter("updated_at", "eq", moment)


def test_what_is_no_field_is_a_property() -> None:
    query = asked("os_type=linux&hw_disk_bus=virtio&name=x")
    assert query.properties == {"os_type": "linux", "hw_disk_bus": "virtio"}


@pytest.mark.parametrize(
    ("text", "sort"),
    [
        ("", (("created_at", "desc"),)),
        ("sort=name:asc,size", (("name", "asc"), ("size", "desc"))),
        ("sort_key=name&sort_key=id&sort_dir=asc", (("name", "asc"), ("id", "asc"))),
        ("sort_key=name&sort_dir=asc&sort_key=id&sort_dir=desc", (("name", "asc"), ("id", "desc"))),
    ],
)
def test_sorting(text: str, sort: tuple[tuple[str, str], ...]) -> None:
    assert asked(text).sort == sort


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=40)), max_size=8))
def test_whatever_is_asked_is_understood_or_refused(fields: list[tuple[str, str]]) -> None:
    with suppress(BadRequest):
        assert 0 <= parse(fields, Viewer(None)).limit <= 1000


@given(
    st.sampled_from(["limit", "sort", "created_at", "size_min", "name", "visibility", "os_hidden", "tag"]),
    st.text(max_size=40),
)
def test_no_value_of_a_known_field_is_too_strange(name: str, value: str) -> None:
    with suppress(BadRequest):
        assert 0 <= parse([(name, value)], Viewer(None)).limit <= 1000
