"""`python -m tempest` (in `tests/`): start a Cairn, run tempest, write `docs/tempest.md`.

python -m tempest                # the whole suite; writes the page when nothing failed
python -m tempest REGEX          # some of it; writes nothing
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from cairn_local.control_plane.binaries import find_binaries
from cairn_local.control_plane.running import running_control_plane
from tempest.configuration import running_cloud_for_tempest, write_configuration
from tempest.page import page
from tempest.suite import SUITE, make_workspace, run_suite

PAGE = Path(__file__).parents[2] / "docs" / "tempest.md"


def main(arguments: list[str]) -> int:
    """0 when nothing failed."""
    regex = arguments[0] if arguments else SUITE
    with tempfile.TemporaryDirectory(prefix="cairn-tempest-") as name:
        directory = Path(name)
        binaries = find_binaries(print)
        with (
            running_control_plane(directory / "kubernetes", binaries) as plane,
            running_cloud_for_tempest(plane, directory / "cairn") as cloud,
        ):
            results = run_suite(make_workspace(directory, write_configuration(cloud, directory)), regex)
    print(results.summary())
    if not arguments and not results.failed:
        PAGE.write_text(page(results))
        print(f"wrote {PAGE}")
    return int(bool(results.failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
