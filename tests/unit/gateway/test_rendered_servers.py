"""Texts of servers that are kept for the next answer."""

from __future__ import annotations

from cairn_gateway.nova.servers.rendered import RenderedServers


def test_only_what_was_made_from_the_same_is_found() -> None:
    rendered = RenderedServers()
    rendered.keep("member", "a", (1, "noon"), b"{}")
    assert rendered.find("member", "a", (1, "noon")) == b"{}"
    assert rendered.find("member", "a", (2, "noon")) is None
    assert rendered.find("member", "a", (1, "midnight")) is None
    assert rendered.find("admin", "a", (1, "noon")) is None
    assert rendered.find("member", "b", (1, "noon")) is None


def test_the_least_recently_used_go_first_and_an_older_text_makes_room() -> None:
    rendered = RenderedServers(most_bytes=10)
    rendered.keep("member", "a", 1, b"12345678")
    rendered.keep("member", "a", 2, b"1234")
    rendered.keep("member", "b", 1, b"1234")
    assert rendered.find("member", "a", 2) == b"1234"
    rendered.keep("member", "c", 1, b"1234")
    assert rendered.find("member", "b", 1) is None
    assert (rendered.find("member", "a", 2), rendered.find("member", "c", 1)) == (b"1234", b"1234")


def test_what_is_too_large_is_not_kept() -> None:
    rendered = RenderedServers(most_bytes=3)
    rendered.keep("member", "a", 1, b"1234")
    assert rendered.find("member", "a", 1) is None
    rendered.keep("member", "b", 1, b"123")
    assert rendered.find("member", "b", 1) == b"123"
