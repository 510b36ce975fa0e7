"""Settings: one schema for all processes, read from flags, the environment and a file.

Precedence: flags (`--log.level debug`), then environment (`CAIRN_LOG__LEVEL`), then the YAML file that
`--config` or `CAIRN_CONFIG` names, then the defaults written here. Each process adds its own section by
subclassing `ProcessSettings`.
"""

from __future__ import annotations

import enum
import os
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)


class Section(BaseModel):
    """A part of the settings; unknown names are refused, so that a typing error is noticed at start."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid", frozen=True)


class LogLevel(enum.StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(enum.StrEnum):
    JSON = "json"
    TEXT = "text"


class LogSettings(Section):
    """What is logged, and how."""

    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.JSON
    """json for machines, text for people."""


class KubernetesSettings(Section):
    """How to reach the API server."""

    kubeconfig: Path | None = None
    """A kubeconfig file; inside a cluster the pod's service account when left out."""
    context: str | None = None
    """A context of that file; its current one when left out."""
    timeout_seconds: float = Field(15.0, gt=0)
    """For one request, connecting included."""


class HealthSettings(Section):
    """Where /healthz, /readyz and /metrics are served."""

    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 in a pod."""
    port: int = Field(0, ge=0, le=65535)
    """0 takes a free port (written to the log)."""


class DatabaseSettings(Section):
    """The SQL database, authoritative for instance state."""

    url: SecretStr = SecretStr("sqlite+aiosqlite:///cairn.db")
    """SQLAlchemy's form: sqlite+aiosqlite:///PATH, postgresql+asyncpg://…, mysql+asyncmy://…"""


class ProcessSettings(BaseSettings):
    """What every process has."""

    model_config = SettingsConfigDict(
        env_prefix="CAIRN_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        nested_model_default_partial_update=True,
    )

    log: LogSettings = LogSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    health: HealthSettings = HealthSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, file_secret_settings)


SECTIONS = frozenset(
    {
        "log",
        "kubernetes",
        "health",
        "database",
        "conductor",
        "scheduler",
        "agent",
        "libvirt",
        "fake",
        "gateway",
        "images",
        "identity",
        "bootstrap",
    }
)
"""The sections of all processes together."""

Loaded = TypeVar("Loaded", bound=ProcessSettings)


def load_settings(schema: type[Loaded], arguments: list[str], program: str) -> Loaded:
    """The settings of one process from its command line, its environment and its file.

    Raises pydantic.ValidationError, which names the setting, and SystemExit for `--help`.
    """
    config_file, arguments = _take_config_file(arguments)
    if config_file is not None:
        _check_sections(config_file, program)

    class FromEverywhere(schema):  # type: ignore[valid-type,misc]
        """The same settings, with this command line and this file as sources."""

        model_config = SettingsConfigDict(env_prefix="CAIRN_", env_nested_delimiter="__", extra="ignore")

        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *args: Any, **kwargs: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            _init, env, *_rest = super().settings_customise_sources(settings_cls, *args, **kwargs)
            flags: CliSettingsSource[Any] = CliSettingsSource(
                settings_cls,
                cli_prog_name=program,
                cli_parse_args=arguments,
                cli_kebab_case=True,
                cli_use_class_docs_for_groups=True,
                cli_implicit_flags=True,
            )
            file = (YamlConfigSettingsSource(settings_cls, config_file),) if config_file else ()
            return (flags, env, *file)

    FromEverywhere.__doc__ = schema.__doc__
    loaded = FromEverywhere()
    values = {name: getattr(loaded, name) for name in schema.model_fields}
    return cast(Loaded, schema.model_construct(**values))


def _check_sections(config_file: Path, program: str) -> None:
    """One file may serve all processes, each reading its own sections; a misspelt one is nobody's."""
    try:
        content = yaml.safe_load(config_file.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise SystemExit(f"{program}: {config_file}: {error}") from None
    unknown = sorted(set(content) - SECTIONS) if isinstance(content, dict) else ["(not a mapping)"]
    if unknown:
        raise SystemExit(
            f"{program}: {config_file}: unknown section {', '.join(map(str, unknown))}; "
            f"there are: {', '.join(sorted(SECTIONS))}"
        )


def _take_config_file(arguments: list[str]) -> tuple[Path | None, list[str]]:
    """`--config FILE` has to be known before the other sources are read."""
    rest = list(arguments)
    chosen = os.environ.get("CAIRN_CONFIG")
    for index, argument in enumerate(rest):
        if argument == "--config" and index + 1 < len(rest):
            chosen = rest[index + 1]
            del rest[index : index + 2]
            break
        if argument.startswith("--config="):
            chosen = argument.partition("=")[2]
            del rest[index]
            break
    return (Path(chosen) if chosen else None), rest
