"""Random operations with random mishaps: as many of the seeds as the time allows, always in the same order.

`CAIRN_FAULT_SECONDS` is the time. A seed that fails is played again, step by step, by
`cd tests && python -m faults --seed N --trace`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from support.tree import ROOT

SECONDS = float(os.environ.get("CAIRN_FAULT_SECONDS", "120"))
SEEDS = 200
OPERATIONS = 2000
WORKERS = 2
LINE = re.compile(r"^seed (\d+): (\d+) operations, (\d+) faults injected, (\d+)/s", re.MULTILINE)
ENVIRONMENT = {**os.environ, "PYTHONHASHSEED": "0"}


def _play(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "faults", *arguments]
    return subprocess.Popen(command, cwd=ROOT / "tests", env=ENVIRONMENT, text=True, stdout=subprocess.PIPE)


@pytest.mark.slow
def test_random_operations_and_mishaps_break_no_promise() -> None:
    each = [
        "--seeds",
        str(SEEDS // WORKERS),
        "--step",
        str(WORKERS),
        "--operations",
        str(OPERATIONS),
    ]
    workers = [
        _play("--seed", str(number + 1), "--seconds", str(SECONDS), *each) for number in range(WORKERS)
    ]
    said = [worker.communicate()[0] for worker in workers]
    played = [tuple(map(int, found)) for text in said for found in LINE.findall(text)]
    operations, faults = sum(row[1] for row in played), sum(row[2] for row in played)
    print(f"{len(played)} seeds, {operations} operations, {faults} faults injected, in {SECONDS:.0f} s")
    assert [worker.returncode for worker in workers] == [0] * WORKERS, "\n".join(said)
    assert operations > 0
    assert faults > 0


def test_a_seed_takes_the_same_way_every_time() -> None:
    said = [_play("--seed", "7", "--operations", "150").communicate()[0] for _ in range(2)]
    digests = [re.findall(r", ([0-9a-f]{16})$", text, re.MULTILINE) for text in said]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 1
