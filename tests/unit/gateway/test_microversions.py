"""Which microversion a request speaks, and what the table of changes promises."""

from __future__ import annotations

import pytest

from cairn_gateway.nova import microversions
from cairn_gateway.nova.microversions import CHANGES, MAX, MIN, Microversion, negotiate

STANDARD = "openstack-api-version"
LEGACY = "x-openstack-nova-api-version"


def test_every_version_from_the_first_to_the_last_is_listed_once() -> None:
    assert [str(change.version) for change in CHANGES] == [f"2.{minor}" for minor in range(1, 105)]
    assert (str(MIN), str(MAX)) == ("2.1", "2.104")
    assert all(change.title and not change.title.endswith(".") for change in CHANGES)


def test_versions_are_ordered_by_number() -> None:
    assert Microversion.parse("2.9") < Microversion.parse("2.10") < Microversion.parse("3.0")
    assert str(Microversion.parse("2.100")) == "2.100"


@pytest.mark.parametrize(
    "text", ["", "2", "2.", ".1", "2.01", "0.1", "v2.1", " 2.1", "2.1.1", "2.１", "2.1\n"]
)
def test_only_two_plain_numbers_are_a_version(text: str) -> None:
    with pytest.raises(ValueError, match="MAJOR"):
        Microversion.parse(text)


def test_a_change_knows_the_names_it_is_asked_by() -> None:
    effects = {str(change.version): change.effects for change in CHANGES}
    assert effects["2.1"] == ()
    assert effects["2.26"] == ("SERVER_TAGS", "SERVER_TAG_FILTERS")
    assert all(names for version, names in effects.items() if version != "2.1")


def test_a_name_needs_a_listed_change() -> None:
    with pytest.raises(ValueError, match="no change"):
        microversions.at("2.105")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "2.1"),
        ({STANDARD: "compute 2.15"}, "2.15"),
        ({STANDARD: "Compute  2.15 "}, "2.15"),
        ({STANDARD: "compute latest"}, "2.104"),
        ({LEGACY: "2.42"}, "2.42"),
        ({LEGACY: "latest"}, "2.104"),
        ({LEGACY: "2.5, 2.42"}, "2.42"),
        ({STANDARD: "compute 2.15", LEGACY: "2.42"}, "2.15"),
        ({STANDARD: "placement 1.30", LEGACY: "2.42"}, "2.42"),
        ({STANDARD: "placement 1.30"}, "2.1"),
        ({STANDARD: "compute 2.15, volume 3.1"}, "2.15"),
        ({STANDARD: "compute 2.15, compute 2.20"}, "2.20"),
        ({STANDARD: "compute"}, "2.1"),
        ({STANDARD: "2.15"}, "2.1"),
    ],
)
def test_the_headers_say_the_version(headers: dict[str, str], expected: str) -> None:
    assert str(negotiate(headers)) == expected


@pytest.mark.parametrize("asked", ["2.0", "2.105", "1.1", "3.0"])
def test_a_version_out_of_range_is_not_acceptable(asked: str) -> None:
    with pytest.raises(
        microversions.VersionRefused, match=r"Minimum is 2\.1 and maximum is 2\.104"
    ) as caught:
        negotiate({STANDARD: f"compute {asked}"})
    assert (caught.value.status, caught.value.asked) == (406, asked)
    assert (caught.value.min, caught.value.max) == (MIN, MAX)


@pytest.mark.parametrize("headers", [{STANDARD: "compute abc"}, {STANDARD: "compute 2.1 x"}, {LEGACY: ""}])
def test_a_malformed_version_is_a_bad_request(headers: dict[str, str]) -> None:
    with pytest.raises(microversions.VersionMalformed, match="invalid format") as caught:
        negotiate(headers)
    assert caught.value.status == 400


def test_an_answer_tells_its_version_both_ways() -> None:
    assert microversions.response_headers(microversions.SERVER_TAGS) == {
        "OpenStack-API-Version": "compute 2.26",
        "X-OpenStack-Nova-API-Version": "2.26",
        "Vary": "OpenStack-API-Version, X-OpenStack-Nova-API-Version",
    }
