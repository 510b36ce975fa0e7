"""One line in the log for each request: who asked for what, and what came of it; never a secret."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote

import structlog

from cairn_gateway.http.call import LONGEST_QUERY_FIELDS, Call

log = structlog.get_logger()
SECRET_NAME = re.compile(
    r"token|secret|passw|adminpass|key|sig|credential|auth|code|ticket|session", re.IGNORECASE
)
HARMLESS_NAMES = frozenset({"sort_key", "sort_keys", "key_name"})
LONGEST_VALUE = 64
"""Characters. What is longer is more likely a token than a filter."""
LONGEST_PATH = 512
GLOBAL_REQUEST_ID = re.compile(
    r"req-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE
)
HIDDEN = "***"


def global_request_id(headers: dict[str, str]) -> str | None:
    """The id that the client gives to everything it does for one purpose (oslo.middleware: the request header
    X-Openstack-Request-Id, if it looks like one of ours)."""
    sent = headers.get("x-openstack-request-id")
    return sent if sent is not None and GLOBAL_REQUEST_ID.fullmatch(sent) else None


def log_request(call: Call, status: int, seconds: float) -> None:
    """Say at INFO that `call` was answered. The ids of the request are in the log's context."""
    caller = call.caller_or_none
    log.info(
        "request",
        method=call.method,
        path=shown_path(call.path),
        query=shown_query(call.query_string) if call.query_string else None,
        status=status,
        seconds=round(seconds, 5),
        user_id=caller.user_id if caller else None,
        project_id=caller.project_id if caller else None,
        remote=call.remote,
    )


def shown_path(path: str) -> str:
    """`path` as one printable word of bounded length."""
    return path if path.isascii() and path.isprintable() and len(path) <= LONGEST_PATH else _quoted(path)


def _quoted(path: str) -> str:
    whole = quote(path[:LONGEST_PATH], safe="/:@!$&'()*+,;=~")
    return whole if len(path) <= LONGEST_PATH else whole + "…"


def shown_query(query: str) -> str:
    """The query string with the values of what may be secret hidden."""
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=LONGEST_QUERY_FIELDS)
    except ValueError:
        return HIDDEN
    return "&".join(f"{quote(name[:LONGEST_VALUE])}={_shown(name, value)}" for name, value in fields)


def _shown(name: str, value: str) -> str:
    secret = SECRET_NAME.search(name) is not None and name not in HARMLESS_NAMES
    # A value with = in it holds fields of its own: some other separator, or another URL.
    return HIDDEN if secret or "=" in value or len(value) > LONGEST_VALUE else quote(value, safe=":/,*")
