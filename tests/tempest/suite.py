"""Runs tempest against a cloud and says what became of every test."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from support.client_environment import ClientEnvironment, clean_environment, client_environment

HERE = Path(__file__).parent
RESULTS = HERE / "results.py"
BASELINE = HERE / "passing-on-nova.txt"
LATER = HERE / "later.yaml"
SUITE = r"^tempest\.api\.compute"
WORKERS = 2
CLASS = re.compile(r"^(?P<phase>setUpClass|tearDownClass) \((?P<name>[\w.]+)\)$")
TAGS = re.compile(r"\[.*\]$")


class TempestFailed(Exception):
    """tempest did not run at all; the message has the end of its output."""


@dataclass
class Results:
    """What became of the tests, by id."""

    passed: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    """With tempest's own reason."""
    later: dict[str, str] = field(default_factory=dict)
    """Not run, because Cairn learns what they need later; with what that is."""
    failed: dict[str, str] = field(default_factory=dict)
    """With the end of the traceback. The set-up of a class counts as one."""
    seconds: dict[str, float] = field(default_factory=dict)

    def reason(self, test: str) -> str:
        """Why `test` is not among those that passed."""
        return self.skipped.get(test) or self.later.get(test) or "failed"

    def summary(self) -> str:
        """One line of counts and, when there are any, the failures."""
        counts = (
            f"{len(self.passed)} passed, {len(self.failed)} failed, {len(self.skipped)} skipped, "
            f"{len(self.later)} left out"
        )
        return "\n\n".join([counts, *(f"FAILED {name}\n{text}" for name, text in self.failed.items())])


@dataclass(frozen=True)
class Workspace:
    """A folder of tempest's own kind, with its configuration."""

    directory: Path
    configuration: Path
    environment: ClientEnvironment

    def tempest(self, *arguments: str, seconds: float, log: Path | None = None) -> str:
        """What `tempest …` printed. Raises TempestFailed when it took too long."""
        registry = ("--workspace-path", str(self.directory / "workspace.yaml"))
        command = [str(self.environment.program("tempest")), *arguments, *registry]
        env = {**clean_environment(), "TEMPEST_CONFIG_DIR": str(self.configuration.parent)}
        env["PYTHONWARNINGS"] = "ignore"
        try:
            done = subprocess.run(
                command,
                cwd=self.directory,
                env=env,
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            raise TempestFailed(f"tempest {arguments[0]} took more than {seconds:.0f} s") from None
        if log is not None:
            log.write_text(done.stdout + done.stderr)
        return done.stdout


def make_workspace(directory: Path, configuration: Path) -> Workspace:
    """`tempest init`."""
    environment = client_environment("tempest")
    registry = str(directory / "workspace.yaml")
    folder = directory / "workspace"
    command = [str(environment.program("tempest")), "init", str(folder), "--workspace-path", registry]
    done = subprocess.run(
        command, cwd=directory, env=clean_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise TempestFailed(done.stdout + done.stderr)
    return Workspace(folder, configuration, environment)


def run_suite(
    workspace: Workspace, regex: str = SUITE, *, workers: int = WORKERS, seconds: float = 1800.0
) -> Results:
    """All tests that `regex` selects, except those of LATER. Raises TempestFailed."""
    listed = workspace.tempest("run", "--list-tests", "--regex", regex, seconds=300)
    tests = [line for line in listed.splitlines() if re.match(r"[\w.]+(\[|$)", line) and "." in line]
    if not tests:
        raise TempestFailed(f"no test is selected by {regex}\n{listed[-2000:]}")
    results = Results(later=_later(tests))
    chosen = workspace.directory / "tests.txt"
    chosen.write_text("\n".join(test for test in tests if test not in results.later) + "\n")
    log = workspace.directory / "run.log"
    options = ("--load-list", str(chosen), "--concurrency", str(workers))
    workspace.tempest("run", *options, seconds=seconds, log=log)
    _take(results, _last(workspace), tests, log)
    return results


def _later(tests: Sequence[str]) -> dict[str, str]:
    """Those of `tests` that LATER names, by themselves or by their class, with the reason."""
    entries: dict[str, list[str]] = yaml.safe_load(LATER.read_text()) or {}
    reasons = {name: reason for reason, names in entries.items() for name in names}
    found = {test: reasons.get(plain(test)) or reasons.get(plain(test).rpartition(".")[0]) for test in tests}
    return {test: reason for test, reason in found.items() if reason is not None}


def plain(test: str) -> str:
    """Without tempest's own ids and tags in brackets."""
    return TAGS.sub("", test)


def _last(workspace: Workspace) -> list[dict[str, str]]:
    """stestr's record of the run that just ended, as `results` writes it."""
    stestr = [str(workspace.environment.program("stestr")), "last", "--subunit"]
    stream = subprocess.run(
        stestr, cwd=workspace.directory, env=clean_environment(), capture_output=True, check=False
    )
    read = [str(workspace.environment.python), "-P", str(RESULTS)]
    done = subprocess.run(read, input=stream.stdout, capture_output=True, check=False)
    if done.returncode != 0:
        raise TempestFailed(done.stderr.decode(errors="replace"))
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def _take(results: Results, found: Sequence[dict[str, str]], tests: Sequence[str], log: Path) -> None:
    """Sort what was found; a class that was skipped as a whole stands for its tests."""
    for item in found:
        name, status = item["id"], item["status"]
        whole = CLASS.match(name)
        results.seconds[name] = float(item["seconds"])
        if status == "success":
            if whole is None:
                results.passed.add(name)
        elif status == "skip":
            names = [name] if whole is None else [test for test in tests if _of(test, whole["name"])]
            results.skipped.update({test: item["reason"] for test in names if test not in results.later})
        else:
            results.failed[name] = item["details"]
    known = results.passed | results.skipped.keys() | results.later.keys() | results.failed.keys()
    broken = [match["name"] for name in results.failed if (match := CLASS.match(name))]
    for test in tests:
        if test not in known and not any(_of(test, name) for name in broken):
            results.failed[test] = f"nobody knows what became of it, see {log}"


def _of(test: str, name: str) -> bool:
    return test.startswith(name + ".")
