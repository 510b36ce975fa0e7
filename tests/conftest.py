"""How a run of all tests is spread over the workers.

A folder whose tests share something that is dear to start (a whole Cairn) goes to one worker as a whole;
elsewhere a file is the unit. What lasts longest begins first, so that no worker is left alone with it. What
fails is named at once: the run goes on for a while.
"""

from __future__ import annotations

import gc
import os
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

# The same examples every time, and no word about how fast the machine is: others use it at the same time.
settings.register_profile(
    "cairn", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("cairn")

TOGETHER = (
    "tests/e2e",
    "tests/integration/cloud",
    "tests/tempest",
    "tests/integration/two_hosts",
    "tests/clients",
    "tests/integration/gateway/image",
    "tests/faults/test_random.py",
    "tests/integration/actions",
)
"""Folders, or files that last long, that go to one worker, the longest first."""
LAST = "tests/unit"


class BySuite(LoadScopeScheduling):  # type: ignore[misc]
    """Whole folders where their tests share much, else files."""

    def _split_scope(self, nodeid: str) -> str:
        file = PurePosixPath(nodeid.split("::", 1)[0])
        return next((folder for folder in TOGETHER if file.is_relative_to(folder)), str(file))

    def _assign_work_unit(self, node: Any) -> None:
        """The next unit in order of weight; the base takes the first of the queue."""
        self.workqueue.move_to_end(min(self.workqueue, key=weight), last=False)
        super()._assign_work_unit(node)


def weight(unit: str) -> tuple[int, int]:
    """Where a unit stands in the queue: shared folders as listed, then files, unit tests last."""
    if unit in TOGETHER:
        return 0, TOGETHER.index(unit)
    return (2 if unit.startswith(LAST) else 1), 0


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_make_scheduler(config: Any, log: Any) -> BySuite:
    """Of every run with workers, whatever --dist says."""
    return BySuite(config, log)


def pytest_collection_finish() -> None:
    """What has been imported and collected stays until the end: the collector need not walk it again and
    again."""
    gc.collect()
    gc.freeze()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Of every worker's tests, where they are gathered."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\n-- {report.nodeid} failed ({report.when}): {_last_line(report)}", flush=True)


def _last_line(report: pytest.TestReport) -> str:
    lines = [line for line in report.longreprtext.splitlines() if line.startswith("E ")]
    return lines[0][2:].strip()[:200] if lines else ""
