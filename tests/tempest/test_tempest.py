"""OpenStack's own test suite over a whole Cairn, and the page that tells of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cairn_local.control_plane.running import RunningControlPlane
from tempest.configuration import running_cloud_for_tempest, write_configuration
from tempest.page import page
from tempest.suite import make_workspace, run_suite

PAGE = Path(__file__).parents[2] / "docs" / "tempest.md"
SECONDS = 1500.0
"""A run takes a third of it on two cores."""


@pytest.mark.slow
def test_every_test_that_applies_passes(control_plane: RunningControlPlane, tmp_path: Path) -> None:
    with running_cloud_for_tempest(control_plane, tmp_path / "cairn") as cloud:
        workspace = make_workspace(tmp_path, write_configuration(cloud, tmp_path))
        results = run_suite(workspace, seconds=SECONDS)
    print(results.summary())
    assert not results.failed, results.summary()
    assert page(results) == PAGE.read_text(), "docs/tempest.md is stale: run `make tempest`"
