"""Writes `docs/tempest.md` from the results of a run: the same results make the same page."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from tempest.suite import BASELINE, Results, plain

PREFIX = "tempest.api.compute."
UNSTABLE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b")
"""Ids in a reason differ from run to run."""
OBJECTS = re.compile(r": \[\{.*\}\]", re.DOTALL)
"""So does what an API answered, with its times."""

HEAD = """# tempest

What OpenStack's own test suite says of Cairn: `tempest.api.compute` of tempest 47, unmodified, over a whole
Cairn with the fake driver. Written by `make tempest` from the run; `tests/tempest/` has the configuration.
"""


def page(results: Results) -> str:
    """The page."""
    baseline = BASELINE.read_text().split()
    missing = [test for test in baseline if test not in results.passed]
    parts = [HEAD, _counts(results, baseline, missing)]
    parts.append(
        _section(
            "Skipped", "Not run, by tempest's own choice; grouped by the reason it gives.", results.skipped
        )
    )
    parts.append(
        _section(
            "Left out",
            "Not run, because Cairn cannot do yet what they need (the calls answer 501) and tempest has no "
            "switch for it.",
            results.later,
        )
    )
    parts.append(
        _section(
            "Passed by OpenStack Nova and not here",
            "Of the tests that Nova 34 passes with its own fake driver, those that did not pass here.",
            {test: results.reason(test) for test in missing},
        )
    )
    return "\n".join(part for part in parts if part)


def _counts(results: Results, baseline: list[str], missing: list[str]) -> str:
    rows = [
        ("passed", len(results.passed)),
        ("failed", len(results.failed)),
        ("skipped", len(results.skipped)),
        ("left out", len(results.later)),
        ("passed by Nova with a fake driver", len(baseline)),
        ("of those, passed here", len(baseline) - len(missing)),
    ]
    lines = ["| | tests |", "|---|---|", *(f"| {name} | {number} |" for name, number in rows)]
    return "\n".join(lines) + "\n"


def _section(title: str, text: str, tests: dict[str, str]) -> str:
    """Tests below the reason they share; reasons in the order of how many tests they have."""
    if not tests:
        return ""
    groups: dict[str, set[str]] = defaultdict(set)
    for test, reason in tests.items():
        groups[_stable(reason)].add(plain(test).removeprefix(PREFIX))
    ranked = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    parts = [f"## {title}\n\n{text}\n"]
    parts += [f"### {reason} ({len(names)})\n\n{_list(names)}\n" for reason, names in ranked]
    return "\n".join(parts)


def _list(names: Iterable[str]) -> str:
    return "\n".join(f"- {name}" for name in sorted(names))


def _stable(reason: str) -> str:
    line = " ".join(UNSTABLE.sub("…", OBJECTS.sub("", reason)).split())
    return line.rstrip(".") or "no reason given"
