"""JSON patches of images, as functions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn_database.images.records import ImageRecord, ImageStatus, Visibility
from cairn_gateway.http.faults import Conflict, Fault, Forbidden
from cairn_gateway.image.creating import new_image
from cairn_gateway.image.patching import V20, V21, apply, parse

MOMENT = datetime(2026, 11, 22, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["name", "tags", "visibility", "min_ram", "own", "status", "id", "a~1b", ""])


def record(**changes: Any) -> ImageRecord:
    values = {"properties": {"own": "1"}, "status": ImageStatus.QUEUED, **changes}
    return ImageRecord(
        id="7",
        name="demo",
        visibility=Visibility.SHARED,
        owner="blue",
        created_at=MOMENT,
        updated_at=MOMENT,
        **values,
    )


def status_of(attempt: Callable[[], object]) -> int:
    """200, or what it is refused with."""
    try:
        attempt()
    except Fault as refusal:
        return refusal.status
    return 200


def test_pointers_are_unescaped() -> None:
    changes = parse(V21, [{"op": "add", "path": "/a~1b~0c", "value": "x"}])
    assert apply(record(), changes).properties["a/b~c"] == "x"


def test_later_changes_see_earlier_ones() -> None:
    changes = parse(
        V21,
        [
            {"op": "add", "path": "/new", "value": "x"},
            {"op": "replace", "path": "/new", "value": "y"},
            {"op": "remove", "path": "/own"},
        ],
    )
    assert apply(record(), changes).properties == {"new": "y"}


def test_the_older_kind_adds_only_what_is_not_there() -> None:
    for body in ([{"add": "/own", "value": "x"}], [{"add": "/name", "value": "x"}]):
        with pytest.raises(Conflict):
            apply(record(), parse(V20, body))


def test_formats_stay_once_there_is_data() -> None:
    change = parse(V21, [{"op": "replace", "path": "/disk_format", "value": "raw"}])
    assert apply(record(), change).disk_format == "raw"
    assert apply(record(status=ImageStatus.ACTIVE, disk_format="raw"), change).disk_format == "raw"
    with pytest.raises(Forbidden):
        apply(record(status=ImageStatus.ACTIVE, disk_format="qcow2"), change)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"op": st.sampled_from(["add", "replace", "remove", "x"])},
            optional={"path": NAMES.map("/{}".format) | JSON, "value": JSON},
        )
        | JSON,
        max_size=4,
    )
    | JSON
)
def test_whatever_a_patch_is_it_is_done_or_refused(body: Any) -> None:
    assert status_of(lambda: apply(record(), parse(V21, body))) < 500


@given(st.dictionaries(NAMES | st.text(max_size=10), JSON, max_size=5) | JSON)
def test_whatever_a_new_image_is_it_is_one_or_refused(body: Any) -> None:
    assert status_of(lambda: new_image(body, "blue")) < 500
