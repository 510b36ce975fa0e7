"""The page about tempest, from results made up here."""

from __future__ import annotations

from tempest.page import page
from tempest.suite import BASELINE, Results


def results() -> Results:
    known = BASELINE.read_text().split()
    return Results(
        passed=set(known[3:]) | {"tempest.api.compute.new.Test.test_new[id-1]"},
        skipped={
            known[0]: "resize not available.",
            "tempest.api.compute.other.Test.test[id-2]": "resize not available.",
        },
        later={known[1]: "rebuild"},
        failed={known[2]: "Traceback"},
    )


def test_the_page_counts_and_groups() -> None:
    text = page(results())
    total = len(BASELINE.read_text().split())
    assert f"| passed | {total - 2} |" in text
    assert f"| of those, passed here | {total - 3} |" in text
    assert "### resize not available (2)" in text
    assert "- other.Test.test\n" in text
    assert "### rebuild (1)" in text
    assert "### failed (1)" in text


def test_the_same_results_make_the_same_page() -> None:
    first, second = results(), results()
    second.skipped = dict(reversed(second.skipped.items()))
    assert page(first) == page(second)
    uuid = "11111111-1111-1111-1111-111111111111"
    first.skipped["a.b"] = f"no network {uuid}"
    assert uuid not in page(first)
    first.skipped["a.b"] = "Found shared networks: [{'id': 1, 'created_at': '2026-11-22T16:08:08Z'}]"
    assert "### Found shared networks (1)" in page(first)
