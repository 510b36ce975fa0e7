"""The session's own comparing: a step that should fail does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clients.play import differences, dig
from clients.programs import Outcome
from clients.steps import MissingVariable, Step, filled, load, mismatches


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ("a", "a"),
        ("*", "anything"),
        ("*", 0),
        ("/b+c/", "abbc"),
        ("/2/", 12),
        (None, None),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}, "d": 3}),
        (["/x/", 2], ["xx", 2]),
    ],
)
def test_what_matches(wanted: Any, value: Any) -> None:
    assert mismatches(wanted, value) == []


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ("a", "b"),
        ("*", ""),
        ("*", None),
        ("*", []),
        ("/^b/", "ab"),
        (1, True),
        ("1", 1),
        ({"a": None}, {}),
        ({"a": 1}, None),
        ([1], [1, 2]),
    ],
)
def test_what_does_not_match(wanted: Any, value: Any) -> None:
    assert mismatches(wanted, value)


def step(**values: Any) -> Step:
    return Step(**{"program": "openstack", "command": "thing list", "where": "here 1", **values})


@pytest.mark.parametrize(
    ("own", "outcome"),
    [
        (step(), Outcome(1, "", "it failed")),
        (step(status=1), Outcome(0, "", "")),
        (step(status=1, says="403"), Outcome(1, "", "404")),
        (step(prints="web"), Outcome(0, "wob", "")),
        (step(shows={"a": 1}), Outcome(0, '{"a": 2}', "")),
        (step(shows={"a": 1}), Outcome(0, "not JSON", "")),
        (step(lists=[{"a": 1}]), Outcome(0, '[{"a": 2}]', "")),
        (step(lacks=[{"a": 1}]), Outcome(0, '[{"a": 1}]', "")),
        (step(count=2), Outcome(0, '[{"a": 1}]', "")),
    ],
)
def test_what_differs_is_told(own: Step, outcome: Outcome) -> None:
    assert differences(own, outcome)


def test_variables_are_filled_in_everywhere_and_missed_when_absent() -> None:
    own = filled(step(command="show {id}", shows={"id": "{id}", "list": ["{id}"]}), {"id": "7"})
    assert own.command == "show 7"
    assert own.shows == {"id": "7", "list": ["7"]}
    with pytest.raises(MissingVariable):
        filled(own, {}) and filled(step(command="{gone}"), {})


def test_a_path_finds_rows_and_fields() -> None:
    assert dig([{"ID": 1}, {"ID": 2}], "1.ID") == 2
    assert dig({"a": {"b": "c"}}, "a.b") == "c"
    assert dig({"a": 1}, "b.c") is None


def test_a_misspelled_step_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("as: ann\nsteps: [{openstack: server list, shws: {}}]")
    with pytest.raises(ValueError, match="unknown shws"):
        load(path)
