"""A scripted session: steps of real clients' commands with what they have to show, written as YAML.

A file of `session/` is a story told in order:

    as: ann                        # whose commands they are; a step can say otherwise
    steps:
      - openstack: server create --flavor tiny --image demo --network blue --wait web
        shows: {name: web, status: ACTIVE, id: "*"}
        keep: {server: id}         # {server} in later steps
      - openstack: server list
        lists: [{ID: "{server}", Name: web}]

What a step says:
- one of `openstack`, `nova` (a command line), `sdk`, `novaclient` (a call of the library: `compute.servers`,
  with `args`, `kwargs` and the microversion `version`);
- `status`: the exit status, 0 when left out; `says`: what standard error contains;
- `shows`: fields of the one object printed; `lists`, `lacks`, `count`: rows that are (not) among those
  printed, and how many there are; `prints`: text of the output;
- `within`: seconds in which a repeated command has to come to that; `process: true`: as a process of its own;
- `env`: variables that differ from the user's; null is none.

A value is compared as it is, except: `"*"` is anything but empty, `"/…/"` a regular expression that is found
in it; of a mapping only the keys named are looked at.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

SESSION = Path(__file__).with_name("session")
COMMANDS = ("openstack", "nova")
CALLS = ("sdk", "novaclient")
VARIABLE = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
ABSENT = object()


class MissingVariable(Exception):
    """A step needs what an earlier one was to keep."""


@dataclass(frozen=True)
class Step:
    """One command and what it has to do."""

    program: str
    command: str
    """The command line, or the dotted name of a call."""
    where: str
    """File and number, for messages."""
    user: str = ""
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    status: int = 0
    says: Any = None
    shows: Any = None
    lists: Sequence[Any] | None = None
    lacks: Sequence[Any] | None = None
    count: int | None = None
    prints: Any = None
    keep: Mapping[str, str] = field(default_factory=dict)
    within: float = 0.0
    process: bool = False
    env: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def structured(self) -> bool:
        """Whether its output is read as JSON."""
        wanted = (self.shows, self.lists, self.lacks, self.count)
        return bool(self.keep) or any(value is not None for value in wanted)

    def request(self) -> dict[str, Any]:
        """As `worker` wants it, without the environment."""
        if self.program in CALLS:
            request = {"program": self.program, "call": self.command, "version": self.version}
            return {**request, "args": list(self.args), "kwargs": dict(self.kwargs)}
        argv = shlex.split(self.command)
        if self.program == "openstack" and self.structured:
            argv += ["-f", "json"]
        if self.version:
            argv = ["--os-compute-api-version", self.version, *argv]
        return {"program": self.program, "argv": argv}

    def __str__(self) -> str:
        return f"{self.where} [{self.user}] {self.program} {self.command}"


def load(path: Path) -> list[Step]:
    """The steps of one file. Raises ValueError when a step says something unknown."""
    body = yaml.safe_load(path.read_text())
    return [
        _step(raw, f"{path.stem} {number}", body["as"]) for number, raw in enumerate(body["steps"], start=1)
    ]


def subjects() -> list[Path]:
    """The files of the session, in the order in which they are played."""
    return sorted(SESSION.glob("*.yaml"))


def _step(raw: Mapping[str, Any], where: str, user: str) -> Step:
    programs = [name for name in (*COMMANDS, *CALLS) if name in raw]
    if len(programs) != 1:
        raise ValueError(f"{where}: needs one of {', '.join((*COMMANDS, *CALLS))}")
    (program,) = programs
    rest = {("user" if key == "as" else key): value for key, value in raw.items() if key != program}
    unknown = set(rest) - {item.name for item in fields(Step)}
    if unknown:
        raise ValueError(f"{where}: unknown {', '.join(sorted(unknown))}")
    return Step(**{"user": user, **rest, "program": program, "command": raw[program], "where": where})


def filled(step: Step, variables: Mapping[str, str]) -> Step:
    """`step` with its {variables} replaced. Raises MissingVariable."""
    values = {item.name: _fill(getattr(step, item.name), variables) for item in fields(Step)}
    return replace(step, **{**values, "keep": step.keep})


def _fill(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, str):

        def found(match: re.Match[str]) -> str:
            if match[1] not in variables:
                raise MissingVariable(match[1])
            return variables[match[1]]

        return VARIABLE.sub(found, value)
    if isinstance(value, Mapping):
        return {_fill(key, variables): _fill(item, variables) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_fill(item, variables) for item in value]
    return value


def mismatches(wanted: Any, value: Any, path: str = "") -> list[str]:
    """Where `value` is not what is wanted, in words; empty when it matches."""
    place = path or "it"
    if value is ABSENT:
        return [f"{place} is missing"]
    if isinstance(wanted, Mapping):
        if not isinstance(value, Mapping):
            return [f"{place} is {value!r}, not a mapping"]
        pairs = ((key, item, value.get(key, ABSENT)) for key, item in wanted.items())
        return [
            text for key, item, own in pairs for text in mismatches(item, own, f"{path}.{key}".strip("."))
        ]
    if isinstance(wanted, list):
        if not isinstance(value, list) or len(value) != len(wanted):
            return [f"{place} is {value!r}, not {wanted!r}"]
        pairs = enumerate(zip(wanted, value, strict=True))
        return [text for n, (item, own) in pairs for text in mismatches(item, own, f"{path}[{n}]")]
    if wanted == "*":
        return [f"{place} is empty"] if value in (None, "", [], {}) else []
    if isinstance(wanted, str) and len(wanted) > 1 and wanted[0] == wanted[-1] == "/":
        return [] if re.search(wanted[1:-1], str(value), re.S) else [f"{place} is {value!r}, not {wanted}"]
    same = value == wanted and isinstance(value, bool) == isinstance(wanted, bool)
    return [] if same else [f"{place} is {value!r}, not {wanted!r}"]
