"""Processes of a test run: ready before use, killed and frozen by name, gone with the test run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cairn_local.process import ProcessFailed, ProcessGroup, ProcessSpec, inherited_environment
from cairn_local.waiting import wait_until


def test_a_process_can_be_killed_frozen_and_restarted_by_name(tmp_path: Path) -> None:
    with ProcessGroup(
        [ProcessSpec("one", ("sleep", "1000")), ProcessSpec("two", ("sleep", "1000"))], tmp_path
    ) as group:
        first = group["one"].pid
        group["one"].kill()
        assert not group["one"].running
        assert group["two"].running
        group["one"].restart()
        assert group["one"].running
        assert group["one"].pid != first
        group["two"].freeze()
        state = Path(f"/proc/{group['two'].pid}/stat")
        wait_until(lambda: state.read_text().rsplit(")", 1)[1].split()[0] == "T", "it to be frozen")
        frozen = group["two"]
    assert not frozen.running, "a frozen process is stopped too"


def test_a_process_that_ends_early_is_reported_with_its_log(tmp_path: Path) -> None:
    spec = ProcessSpec("broken", ("sh", "-c", "echo no such luck; exit 3"), ready=lambda: "not yet")
    with pytest.raises(ProcessFailed, match=r"(?s)status 3.*no such luck"), ProcessGroup([spec], tmp_path):
        pass


def test_the_environment_is_not_the_shells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/somebody/elses")
    assert "KUBECONFIG" not in inherited_environment()
    spec = ProcessSpec("env", ("sh", "-c", "env; exec sleep 1000"), env={"OWN": "value"})
    with ProcessGroup([spec], tmp_path) as group:
        log = group["env"].log
        wait_until(lambda: "OWN=value" in log.read_text(), "the environment to be printed")
        assert "KUBECONFIG" not in log.read_text()


def test_processes_die_with_a_test_run_that_is_killed(tmp_path: Path) -> None:
    program = f"""
import threading
from pathlib import Path
from cairn_local.process import ProcessGroup, ProcessSpec
group = ProcessGroup([ProcessSpec("one", ("sleep", "1000"))], Path({str(tmp_path)!r}))
# Started from a thread that ends at once: the process must not end with the thread.
thread = threading.Thread(target=group.start)
thread.start()
thread.join()
print(group["one"].pid, flush=True)
input()
"""
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        process = Path(f"/proc/{int(parent.stdout.readline())}")
        state = process / "stat"
        # Only once it has become what it is to be is its end tied to its parent's.
        wait_until(lambda: (process / "comm").read_text() == "sleep\n", "the process to be itself")
        parent.kill()
    wait_until(
        lambda: not state.exists() or ") Z " in state.read_text(), "the process to die with its parent"
    )
