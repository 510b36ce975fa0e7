"""What the access log says of a request, and what it never says."""

from __future__ import annotations

import pytest

from cairn_gateway.http.access import global_request_id, shown_path, shown_query

ID = "req-0a1b2c3d-0a1b-4c2d-8e3f-0123456789ab"


@pytest.mark.parametrize(
    "query",
    [
        "token=s3cret",
        "X-Auth-Token=s3cret",
        "X-Amz-Signature=s3cret",
        "Signature=s3cret&AWSAccessKeyId=s3cret",
        "temp_url_sig=s3cret&password=s3cret",
        "adminPass=s3cret",
        "client_secret=s3cret",
        "credential=s3cret&auth=s3cret&OAuth_Code=s3cret",
        "%74oken=s3cret",
        "a=1;token=s3cret&token=%73%33cret",
        "name=" + "s3cret" * 20,
    ],
)
def test_what_may_be_secret_is_hidden(query: str) -> None:
    shown = shown_query(query)
    assert "s3cret" not in shown
    assert "***" in shown


def test_filters_are_shown() -> None:
    query = "limit=10&marker=abc&name=web&sort_key=created_at&all_tenants=1"
    assert shown_query(query) == query


def test_a_query_that_cannot_be_read_is_hidden_as_a_whole() -> None:
    assert shown_query("&".join(["token=s3cret"] * 500)) == "***"


def test_a_path_cannot_forge_a_line_of_the_log() -> None:
    assert shown_path("/compute/v2.1/servers") == "/compute/v2.1/servers"
    shown = shown_path("/servers\n2026-01-01 [info] request\x1b[31m é" + "x" * 5000)
    assert "\n" not in shown
    assert "\x1b" not in shown
    assert len(shown) < 2000


def test_only_what_looks_like_a_request_id_is_taken_as_one() -> None:
    assert global_request_id({"x-openstack-request-id": ID}) == ID
    for sent in ("", "req-1", ID + "\n", ID + "x", "abc-" + ID[4:]):
        assert global_request_id({"x-openstack-request-id": sent}) is None, sent
    assert global_request_id({}) is None
