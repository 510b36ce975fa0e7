"""Structured logs: one line per fact, with the ids that tie the lines of one request together."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any

import orjson
import structlog

from cairn_runtime.settings import LogFormat, LogSettings

# kopf logs every event it hands on; the libraries below say at INFO what only their developers want.
_QUIET = {"kopf": logging.WARNING, "aiohttp.access": logging.WARNING, "asyncio": logging.WARNING}


def set_up_logs(settings: LogSettings, process: str) -> None:
    """Send structlog's and the standard library's logs to stderr in one form."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]

    def name_process(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        # No context variable: a library's own threads, and what they call, have none of the main thread's.
        event.setdefault("process", process)
        return event

    shared: list[Any] = [
        name_process,
        structlog.contextvars.merge_contextvars,
        merge_log_context,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if settings.format is LogFormat.JSON:
        last: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_to_json)]
    else:
        last = [structlog.dev.ConsoleRenderer(colors=False)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name, minimum in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, minimum))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _to_json(event: Any, **_options: Any) -> str:
    return orjson.dumps(event, default=str).decode()


_VALUES: ContextVar[dict[str, Any]] = ContextVar("log_values")
"""What `log_context` has put on the lines; never changed, only replaced."""
_NONE: dict[str, Any] = {}


class log_context:  # noqa: N801 - used as a function: `with log_context(instance_id=…):`
    """Put `values` (instance_id, request_id …) on every line logged inside, by whichever module.

    One variable for all of them: it is set for every phase of every run, logged in or not.
    """

    __slots__ = ("_token", "_values")

    def __init__(self, **values: Any) -> None:
        self._values = values
        self._token: Token[dict[str, Any]] | None = None

    def __enter__(self) -> None:
        new = {name: value for name, value in self._values.items() if value is not None}
        self._token = _VALUES.set({**_VALUES.get(_NONE), **new})

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _VALUES.reset(self._token)


def merge_log_context(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A processor of structlog's: what `log_context` says, where the line does not say it itself."""
    return {**_VALUES.get(_NONE), **event}
