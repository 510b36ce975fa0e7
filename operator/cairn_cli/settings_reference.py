"""The reference page of the settings, generated from the models of all processes.

`python -m cairn_cli.settings_reference docs/settings.md [--check]`; a test fails when the page is stale.
"""

from __future__ import annotations

import enum
import sys
import typing
from collections.abc import Iterator
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from cairn_agent.settings import AgentProcessSettings
from cairn_cli.database import DatabaseCommandSettings
from cairn_cli.identity import IdentityCommandSettings
from cairn_crds.generated import write_or_check
from cairn_gateway.settings import GatewayProcessSettings
from cairn_operator.conductor.settings import ConductorProcessSettings
from cairn_operator.scheduler.app import SchedulerProcessSettings
from cairn_runtime.settings import ProcessSettings

PROCESSES: tuple[type[ProcessSettings], ...] = (
    ConductorProcessSettings,
    SchedulerProcessSettings,
    AgentProcessSettings,
    GatewayProcessSettings,
    DatabaseCommandSettings,
    IdentityCommandSettings,
)
LONGEST_DEFAULT = 60
SIGNS: dict[type[Any], tuple[str, str]] = {
    Ge: ("ge", "≥"),
    Gt: ("gt", ">"),
    Le: ("le", "≤"),
    Lt: ("lt", "<"),
}
TYPES: dict[type[Any], str] = {
    SecretStr: "string, secret",
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
}
HEADER = """<!-- Generated from the settings models by `make manifests`. Do not edit. -->
# Settings

Every process reads the same kinds of sources, and the first that names a setting wins:

1. flags: `--conductor.sweep-seconds 30`
2. environment: `CAIRN_CONDUCTOR__SWEEP_SECONDS=30` (two underscores for each dot)
3. a YAML file, named by `--config FILE` or `CAIRN_CONFIG`:

   ```yaml
   conductor:
     sweep_seconds: 30
   ```

4. the defaults below

Lists and maps are written as JSON in flags and in the environment: `CAIRN_AGENT__NODES='["host-1"]'`.
One file, or one environment, may serve all processes: each takes its own sections. A wrong value ends the
process at its start with exit code 2 and the setting's name. `cairn PROCESS --help` shows what it takes.
"""


def page() -> str:
    """The whole page, Markdown."""
    sections = list(_sections())
    parts = [HEADER]
    parts += [_overview(sections)]
    parts += [_section(name, model) for name, model in sections]
    return "\n".join(parts)


def _sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """Each section once, those of all processes first."""
    seen: set[str] = set()
    schemas: tuple[type[ProcessSettings], ...] = (ProcessSettings, *PROCESSES)
    for schema in schemas:
        for name, field in schema.model_fields.items():
            if name not in seen and isinstance(field.annotation, type):
                seen.add(name)
                yield name, field.annotation


def _overview(sections: list[tuple[str, type[BaseModel]]]) -> str:
    lines = ["| command | takes the sections |", "|---|---|"]
    for schema in PROCESSES:
        command, _, purpose = (schema.__doc__ or "").strip().partition(":")
        names = ", ".join(f"[`{name}`](#{name})" for name, _model in sections if name in schema.model_fields)
        lines.append(f"| `{command}`:{purpose.rstrip('.')} | {names} |")
    return "\n".join([*lines, ""])


def _section(name: str, model: type[BaseModel]) -> str:
    lines = [
        f"## {name}",
        "",
        (model.__doc__ or "").strip(),
        "",
        "| setting | type | default | meaning |",
        "|---|---|---|---|",
        *(_row(path, field) for path, field in _fields(name, model)),
    ]
    return "\n".join([*lines, ""])


def _fields(path: str, model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        yield f"{path}.{name}", field
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _fields(f"{path}.{name}", inner)


def _row(path: str, field: FieldInfo) -> str:
    text = " ".join((field.description or "").split())
    cells = (f"`{path}`", _type(field.annotation) + _bounds(field), _default(field), text)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(annotation: Any) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None:
        return _plain_type(annotation)
    if origin is dict:
        return f"map of {_type(inner[1])}"
    if origin in (list, tuple, frozenset):
        return f"list of {_type(inner[0])}"
    # Annotated, or one of several: what may be None is described by what else it may be.
    return _type(next(kind for kind in inner if kind is not type(None)))


def _plain_type(annotation: type[Any]) -> str:
    if issubclass(annotation, enum.Enum):
        return " | ".join(str(member.value) for member in annotation)
    if issubclass(annotation, BaseModel):
        return "section"
    return TYPES.get(annotation, annotation.__name__.lower())


def _bounds(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(item, attribute):g}"
        for item in field.metadata
        for kind, (attribute, sign) in SIGNS.items()
        if isinstance(item, kind)
    ]
    return f", {', '.join(bounds)}" if bounds else ""


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None or field.default is None:
        return ""  # worked out at start: the meaning says how
    value = field.default
    if isinstance(value, BaseModel):
        return ""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, tuple | list | frozenset):
        value = ", ".join(map(str, value))
    if value in ("", {}):
        return ""
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{shown}`" if len(shown) <= LONGEST_DEFAULT else shown


if __name__ == "__main__":
    sys.exit(write_or_check(sys.argv[1:], page()))
