"""`cairn up`'s processes under a real supervisord, with trivial programs."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cairn_local.process import ProcessFailed, ProcessSpec
from cairn_local.supervision import ProcessStatus, SupervisionError, Supervisor
from cairn_local.waiting import wait_until

SLEEPER = ("/bin/sleep", "1000")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: pytest's own can be too long for a unix socket."""
    with tempfile.TemporaryDirectory(prefix="cairn-") as directory:
        yield Path(directory)


@pytest.fixture
def supervisor(folder: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor(folder)
    yield supervisor
    supervisor.stop()


def sleeper(name: str, argv: tuple[str, ...] = SLEEPER, priority: int = 100) -> ProcessSpec:
    return ProcessSpec(name, argv, stop_seconds=2, priority=priority)


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def running(supervisor: Supervisor, name: str) -> ProcessStatus:
    """Status of a process once it runs and the program has replaced its start script."""

    def look() -> ProcessStatus | None:
        for status in supervisor.status():
            if status.name == name and status.state == "RUNNING" and status.pid:
                return status
        return None

    return wait_until(look, f"{name} to run")


def test_processes_run_and_are_described(supervisor: Supervisor) -> None:
    changes = supervisor.apply([sleeper("one"), sleeper("two")])
    assert sorted(changes.started) == ["one", "two"]
    status = running(supervisor, "one")
    assert status.pid
    assert alive(status.pid)
    assert status.uptime is not None
    assert status.uptime >= 0
    assert "pid" in status.description


def test_a_killed_process_comes_back(supervisor: Supervisor) -> None:
    supervisor.apply([sleeper("one")])
    before = running(supervisor, "one").pid
    assert before
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: running(supervisor, "one").pid != before, "a new process")


def test_a_second_apply_leaves_what_is_unchanged_alone(supervisor: Supervisor) -> None:
    supervisor.apply([sleeper("same"), sleeper("other"), sleeper("gone")])
    daemon = supervisor.pid()
    pids = {name: running(supervisor, name).pid for name in ("same", "other", "gone")}

    changes = supervisor.apply([sleeper("same"), sleeper("other", ("/bin/sleep", "2000")), sleeper("new")])

    assert changes.unchanged == ("same",)
    assert changes.restarted == ("other",)
    assert changes.started == ("new",)
    assert changes.removed == ("gone",)
    assert supervisor.pid() == daemon
    assert running(supervisor, "same").pid == pids["same"]
    assert running(supervisor, "other").pid != pids["other"]
    assert not alive(pids["gone"] or 0)
    assert [status.name for status in supervisor.status()] == ["new", "other", "same"]


def test_an_apply_starts_what_somebody_stopped(supervisor: Supervisor) -> None:
    supervisor.apply([sleeper("one")])
    running(supervisor, "one")
    supervisor._call("stopProcess", "one", wait=5)
    assert supervisor.status()[0].state == "STOPPED"
    assert supervisor.apply([sleeper("one")]).started == ("one",)
    running(supervisor, "one")


def test_restart_makes_a_new_process(supervisor: Supervisor) -> None:
    supervisor.apply([sleeper("one"), sleeper("two")])
    one, two = running(supervisor, "one").pid, running(supervisor, "two").pid
    supervisor.restart("one")
    assert running(supervisor, "one").pid != one
    assert running(supervisor, "two").pid == two
    with pytest.raises(SupervisionError, match="nobody"):
        supervisor.restart("nobody")


def test_stop_leaves_no_process(supervisor: Supervisor) -> None:
    stubborn = (
        sys.executable,
        "-c",
        "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(1000)",
    )
    supervisor.apply([sleeper("one"), sleeper("stubborn", stubborn)])
    daemon = supervisor.pid()
    pids = [daemon, running(supervisor, "one").pid, running(supervisor, "stubborn").pid]

    assert supervisor.stop()
    assert not any(alive(pid) for pid in pids if pid)
    assert supervisor.status() == []
    assert not supervisor.stop(), "there is nothing left to stop"


def test_arguments_and_environment_arrive_as_they_are(supervisor: Supervisor, folder: Path) -> None:
    awkward = "a 'b' \"c\" ; #d %(e)s $HOME \\ \u00e9"
    out = folder / "out"
    program = (
        "import os, pathlib, sys, time;"
        f"pathlib.Path({str(out)!r}).write_text('|'.join([sys.argv[1], os.environ['AWKWARD'], os.getcwd()]));"
        "time.sleep(1000)"
    )
    spec = ProcessSpec(
        "awkward",
        (sys.executable, "-c", program, awkward),
        env={"AWKWARD": awkward},
        directory=folder,
        ready=lambda: None if out.exists() and out.read_text() else "no output yet",
        stop_seconds=2,
    )
    supervisor.apply([spec])
    assert out.read_text() == f"{awkward}|{awkward}|{folder}"


def test_processes_start_in_order_each_ready_before_the_next(supervisor: Supervisor, folder: Path) -> None:
    first = folder / "first"
    slow = ProcessSpec(
        "slow",
        ("/bin/sh", "-c", f"sleep 0.5; touch {first}; exec sleep 1000"),
        ready=lambda: None if first.exists() else "no file yet",
        stop_seconds=2,
        priority=1,
    )
    second = folder / "second"
    after = ("/bin/sh", "-c", f"test -e {first} && touch {second}; exec sleep 1000")
    supervisor.apply([sleeper("after", after, priority=2), slow])
    wait_until(second.exists, "the second process to have found the first ready")


def test_a_process_that_never_gets_ready_is_reported_with_its_log(supervisor: Supervisor) -> None:
    spec = ProcessSpec(
        "unready",
        ("/bin/sh", "-c", "echo cannot find my keys; exec sleep 1000"),
        ready=lambda: "still looking",
        ready_seconds=1,
        stop_seconds=2,
    )
    with pytest.raises(ProcessFailed, match=r"(?s)still looking.*cannot find my keys"):
        supervisor.apply([spec])


def test_a_machine_crash_leaves_nothing_in_the_way(supervisor: Supervisor) -> None:
    """Stale socket, stale pid files (their pids now belong to others) and stale program descriptions."""
    supervisor.apply([sleeper("one"), sleeper("two")])
    daemon, orphan = supervisor.pid(), running(supervisor, "one").pid
    assert daemon
    assert orphan
    os.kill(daemon, signal.SIGKILL)
    wait_until(lambda: not alive(daemon), "supervisord to die")
    wait_until(lambda: not alive(orphan), "its process to die with it")
    assert supervisor.files.socket.exists()
    supervisor.files.pid_file.write_text(f"{os.getpid()}\n")
    supervisor.files.program_pid_file("two").write_text(f"{os.getpid()}\n")

    assert supervisor.status() == []
    assert supervisor.apply([sleeper("one")]).started == ("one",)
    assert [status.name for status in supervisor.status()] == ["one"]


def test_a_process_may_outlive_a_killed_supervisord_and_stop_still_finds_it(supervisor: Supervisor) -> None:
    supervisor.apply([ProcessSpec("lasting", SLEEPER, stop_seconds=2, outlives_supervisor=True)])
    daemon, lasting = supervisor.pid(), running(supervisor, "lasting").pid
    assert daemon
    assert lasting
    os.kill(daemon, signal.SIGKILL)
    wait_until(lambda: supervisor.pid() is None, "supervisord to die")
    assert alive(lasting)
    assert supervisor.stop()
    assert not alive(lasting)


def test_a_path_that_cannot_hold_a_socket_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        Supervisor(tmp_path / ("x" * 100))
    with pytest.raises(ValueError, match="spaces"):
        Supervisor(Path("/tmp/with space"))


def test_stop_works_on_a_supervisord_that_no_longer_answers(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor.apply([sleeper("one")])
    daemon, one = supervisor.pid(), running(supervisor, "one").pid
    assert daemon
    assert one
    monkeypatch.setattr("cairn_local.supervision.ANSWER_SECONDS", 1.0)
    os.kill(daemon, signal.SIGSTOP)
    with pytest.raises(SupervisionError, match="does not answer"):
        supervisor.apply([sleeper("one")])
    assert supervisor.stop()
    assert not alive(daemon)
    assert not alive(one)
