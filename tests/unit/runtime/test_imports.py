"""What a process loads stays in its memory: libraries that it does not use are not loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module", ["cairn_agent.app", "cairn_operator.conductor.app", "cairn_operator.scheduler.app"]
)
def test_a_process_loads_neither_the_kubernetes_client_nor_rich(module: str) -> None:
    code = f"import sys, {module}; print(*({{'kubernetes', 'rich'}} & sys.modules.keys()))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
