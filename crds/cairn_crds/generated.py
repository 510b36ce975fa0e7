"""Generated files: written by `make manifests`, compared by `make check` and the tests."""

from __future__ import annotations

import sys
from pathlib import Path


def write_or_check(arguments: list[str], text: str) -> int:
    """`[--check] FILE`: write `text` into FILE, or only say whether it is stale; returns the exit code."""
    target = Path(next(argument for argument in arguments if argument != "--check"))
    if target.exists() and target.read_text() == text:
        return 0
    if "--check" in arguments:
        sys.stderr.write(f"{target} is stale: run make manifests\n")
        return 1
    target.write_text(text)
    return 0
