"""Reads subunit v2 from standard input and prints a JSON list of what happened to each test.

A program of the `tempest` environment (it imports nothing of Cairn). Each item is
`{"id": …, "status": "success" | "fail" | "skip" | …, "reason": …, "details": …, "seconds": …}`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import subunit
from testtools import StreamToDict

DETAIL = 8000
"""Characters of a traceback that are kept, from its end."""


def _text(details: dict[str, Any], *names: str) -> str:
    return "\n".join(details[name].as_text() for name in names if name in details)


def main() -> None:
    """Print all tests that the stream knows the end of."""
    found: list[dict[str, Any]] = []

    def take(test: dict[str, Any]) -> None:
        if test["status"] in ("exists", "inprogress"):
            return
        begin, end = test["timestamps"]
        details = test["details"]
        found.append(
            {
                "id": test["id"],
                "status": test["status"],
                "reason": _text(details, "reason").strip(),
                "details": _text(details, "traceback", "traceback-1", "pythonlogging:''")[-DETAIL:],
                "seconds": round((end - begin).total_seconds(), 2) if begin and end else 0.0,
            }
        )

    case = subunit.ByteStreamToStreamResult(sys.stdin.buffer, non_subunit_name="stdout")
    result = StreamToDict(take)
    result.startTestRun()
    case.run(result)
    result.stopTestRun()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
