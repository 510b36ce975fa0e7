"""Plays a scripted session: runs the steps, compares, keeps variables, reports everything that differs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from clients.programs import Clients, Outcome
from clients.steps import MissingVariable, Step, filled, mismatches

POLL_SECONDS = 0.3
SHOWN = 1500
"""Characters of output in a report."""


@dataclass
class Report:
    """How a session went."""

    passed: list[Step] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """A paragraph for each step that did not do what it should, or could not be run."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By step, for finding the slow ones."""

    def slowest(self, number: int) -> list[str]:
        """For people: where the time went."""
        ranked = sorted(self.seconds.items(), key=lambda item: -item[1])[:number]
        return [f"{seconds:6.1f} s  {step}" for step, seconds in ranked]

    def __str__(self) -> str:
        return f"{len(self.passed)} steps passed, {len(self.failed)} failed\n\n" + "\n\n".join(self.failed)


class Player:
    """Users, variables and the clients, over the files of a session."""

    def __init__(
        self,
        clients: Clients,
        users: Mapping[str, Mapping[str, str]],
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """`users` by name, each as OS_… variables."""
        self._clients = clients
        self._users = users
        self.variables = dict(variables or {})

    def play(self, steps: Iterable[Step]) -> Report:
        """Run all of them: a step that fails does not stop the others, unless they need what it keeps."""
        report = Report()
        for step in steps:
            try:
                ready = filled(step, self.variables)
            except MissingVariable as missing:
                report.failed.append(f"{step}\n  was not run: {{{missing}}} was not kept")
                continue
            began = time.monotonic()
            outcome, wrong = self._attempt(ready)
            report.seconds[str(step)] = time.monotonic() - began
            if wrong:
                report.failed.append(_paragraph(ready, outcome, wrong))
            else:
                report.passed.append(step)
            self._keep(step, outcome)
        return report

    def _attempt(self, step: Step) -> tuple[Outcome, list[str]]:
        """Until it does what it should, or its time is over."""
        deadline = time.monotonic() + step.within
        while True:
            outcome = self._run(step)
            wrong = differences(step, outcome)
            if not wrong or time.monotonic() > deadline:
                return outcome, wrong
            time.sleep(POLL_SECONDS)

    def _run(self, step: Step) -> Outcome:
        values = {**self._users[step.user], **step.env}
        env = {key: value for key, value in values.items() if value is not None}
        request = step.request()
        if step.process:
            return self._clients.run_process(step.program, request["argv"], env)
        return self._clients.run({**request, "env": env})

    def _keep(self, step: Step, outcome: Outcome) -> None:
        body = outcome.json() if step.keep and outcome.status == 0 else None
        for name, path in step.keep.items():
            value = dig(body, path)
            if value is not None:
                self.variables[name] = str(value)


def dig(body: Any, path: str) -> Any:
    """`id`, `flavor.id`, `0.ID` (of the first row); None where there is nothing."""
    for part in path.split("."):
        if isinstance(body, list) and part.isdigit() and int(part) < len(body):
            body = body[int(part)]
        elif isinstance(body, Mapping) and part in body:
            body = body[part]
        else:
            return None
    return body


def differences(step: Step, outcome: Outcome) -> list[str]:
    """What is not as the step says."""
    wrong = []
    if outcome.status != step.status:
        wrong.append(f"the status is {outcome.status}, not {step.status}")
    if step.says is not None and mismatches(f"/{step.says}/", outcome.stderr):
        wrong.append(f"standard error does not contain /{step.says}/")
    if step.prints is not None and mismatches(f"/{step.prints}/", outcome.stdout):
        wrong.append(f"the output does not contain /{step.prints}/")
    if wrong or not step.structured:
        return wrong
    body = outcome.json()
    if step.shows is not None:
        wrong += mismatches(step.shows, body)
    rows = body if isinstance(body, list) else []
    if step.lists is not None:
        wrong += [f"no row has {row}" for row in step.lists if not _among(row, rows)]
    if step.lacks is not None:
        wrong += [f"a row has {row}" for row in step.lacks if _among(row, rows)]
    if step.count is not None and len(rows) != step.count:
        wrong.append(f"there are {len(rows)} rows, not {step.count}")
    return wrong


def _among(wanted: Any, rows: list[Any]) -> bool:
    return any(not mismatches(wanted, row) for row in rows)


def _paragraph(step: Step, outcome: Outcome, wrong: list[str]) -> str:
    lines = [str(step), *(f"  {text}" for text in wrong)]
    for name, text in (("stdout", outcome.stdout), ("stderr", outcome.stderr)):
        if text.strip():
            lines.append(f"  {name}: {text.strip()[:SHOWN]}")
    return "\n".join(lines)
