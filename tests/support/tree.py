"""What the hygiene tests look at: the tree as it would be committed."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "crds/cairn_crds",
    "operator/cairn_runtime",
    "database/cairn_database",
    "operator/cairn_operator",
    "node-agent/cairn_agent",
    "api-gateway/cairn_gateway",
    "operator/cairn_local",
    "operator/cairn_cli",
)


@functools.cache
def files() -> tuple[Path, ...]:
    """Every file that is in git or would be added to it; symbolic links are left out."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    paths = (ROOT / name for name in sorted(set(listed)) if name)
    return tuple(path for path in paths if path.is_file() and not path.is_symlink())


def texts() -> Iterator[tuple[Path, str]]:
    """Every file that is text, with its contents."""
    for path in files():
        try:
            yield path, path.read_text()
        except UnicodeDecodeError:
            continue


def modules() -> Iterator[Path]:
    """Every Python file of the packages (not the tests)."""
    homes = [ROOT / package for package in PACKAGES]
    for path in files():
        if path.suffix == ".py" and any(home in path.parents for home in homes):
            yield path


def name(path: Path) -> str:
    """Relative to the root, for messages."""
    return str(path.relative_to(ROOT))
