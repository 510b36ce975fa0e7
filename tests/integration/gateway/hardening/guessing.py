"""Requests that nobody would write: from the served OpenAPI documents, and from what APIs stumble over."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode

ODD_WORDS = (
    "",
    "None",
    "null",
    "0",
    "-1",
    "1.5",
    "1e400",
    "NaN",
    "true",
    "99999999999999999999999",
    "-9223372036854775809",
    "2147483648",
    "4294967296",
    "\x00",
    "a\x00b",
    "%00",
    "../../etc/passwd",
    "..%2f",
    "'; --",
    "<script>",
    "a" * 300,
    "é",
    "\u202e",
    "\ufeff",
    "🂡",
    "²",
    "٣",
    "\\",
    "{}",
    "[]",
    "in:a,b",
    "gte:2020-01-01T00:00:00",
    "lt:",
    "[",
    "(?",
    "%",
    "2024-01-01T00:00:00Z",
    "2024-13-41",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "name:asc",
    "::1",
    "1.2.3.4/33",
    "11111111-2222-4333-8444-555555555555",
)
"""Words that some parser, pattern or database does not like."""
QUERY_NAMES = (
    "limit",
    "marker",
    "sort_key",
    "sort_dir",
    "sort",
    "page_size",
    "all_tenants",
    "tenant_id",
    "project_id",
    "user_id",
    "deleted",
    "changes-since",
    "changes-before",
    "created_at",
    "updated_at",
    "name",
    "status",
    "ip",
    "ip6",
    "host",
    "image",
    "flavor",
    "reservation_id",
    "tags",
    "not-tags-any",
    "locked",
    "minDisk",
    "minRam",
    "is_public",
    "visibility",
    "member_status",
    "owner",
    "size_min",
    "size_max",
    "start",
    "end",
    "detailed",
    "fields",
    "id",
    "device_id",
    "fixed_ips",
    "network_id",
    "mac_address",
    "enabled",
    "domain_id",
    "parent_id",
    "type",
    "effective",
    "include_names",
    "role.id",
    "user.id",
    "scope.project.id",
    "hypervisor_hostname_pattern",
    "with_servers",
    "availability_zone",
    "binary",
    "reverse",
    "page_reverse",
    "nocatalog",
)
"""Names of filters and pages in the four APIs."""
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    2**31,
    2**32,
    2**63 - 1,
    2**63,
    2**64 - 1,
    -(2**63),
    1e308,
    0.1,
    [],
    {},
    [None],
    [[]],
    {"": ""},
    ["a", "a"],
    "x" * 70_000,
    "\x00",
    {"a": {"b": {"c": []}}},
    "not an id",
    "11111111-2222-4333-8444-555555555555",
    [1] * 500,
    {str(number): "v" for number in range(300)},
    "http://127.0.0.1:1/",
    "10.0.0.0/8",
    "AA==",
    "=",
    "é" * 256,
    " a",
    "a ",
    "\n",
)
"""Values where others belong."""
PARAMETER = re.compile(r"\{(\w+)\}")
NOTHING = object()
STATUSES_THAT_ARE_NO_FAULT = 400


@dataclass
class Found:
    """One thing that must not be."""

    what: str
    where: str
    request: str
    answer: str

    def __str__(self) -> str:
        return f"{self.what} at {self.where}\n  {self.request}\n  {self.answer}"


@dataclass
class Guesser:
    """Asks at random for as long as it has time, and keeps what was wrong."""

    base_url: str
    headers: dict[str, str]
    chance: random.Random
    ids: Callable[[], dict[str, list[str]]]
    """Values of path parameters that exist: `{"server_id": […]}`."""
    slowest: float = 10.0
    found: dict[str, Found] = field(default_factory=dict)
    asked: int = 0
    known: dict[str, list[str]] = field(default_factory=dict)
    strategies: dict[Any, Any] = field(default_factory=dict)
    drawn: dict[str, list[Any]] = field(default_factory=dict)
    """Bodies by operation."""
    statuses: dict[int, int] = field(default_factory=dict)

    def run(self, documents: list[str], rounds: int) -> None:
        """Go round all operations so often, each time in another order."""
        with httpx.Client(base_url=self.base_url, timeout=60) as client:
            operations = [
                (prefix, operation)
                for document in documents
                for prefix, operation in self._operations(client, document)
            ]
            assert len(operations) > 100
            for _ in range(rounds):
                self.chance.shuffle(operations)
                self.known = self.ids()
                for prefix, operation in operations:
                    for names, body in self._requests(operation):
                        self._ask(client, prefix, operation, names, body)

    def _operations(self, client: httpx.Client, document: str) -> Iterator[tuple[str, Any]]:
        raw = client.get(document).json()
        prefix = raw["servers"][0]["url"]
        for result in schemathesis.openapi.from_dict(raw).get_all_operations():
            yield prefix, result.ok()

    def _requests(self, operation: Any) -> Iterator[tuple[list[str], Any]]:
        """Path parameters and bodies: some that fit the schema, and some in which one thing is odd."""
        names = PARAMETER.findall(operation.path)
        if not operation.definition.raw.get("requestBody", {}).get("content", {}).get("application/json"):
            yield from [(names, NOTHING)] * 3
            return
        drawn = self.drawn.setdefault(operation.label, [])
        if not drawn or self.chance.random() < 0.3:  # to draw one takes longer than to ask ten times
            for case in self._cases(operation):
                body = case.as_transport_kwargs(base_url=self.base_url)
                drawn.append(body["json"] if "json" in body else body.get("data", NOTHING))
                yield names, drawn[-1]
        for content in self.chance.sample(drawn, min(3, len(drawn))):
            yield from ((names, self._odd(content)) for _ in range(4))

    def _odd(self, value: Any) -> Any:
        """`value` with something odd somewhere in it."""
        if isinstance(value, dict) and value and self.chance.random() < 0.85:
            key = self.chance.choice(list(value))
            return {**value, key: self._odd(value[key])}
        if isinstance(value, list) and value and self.chance.random() < 0.85:
            place = self.chance.randrange(len(value))
            return [*value[:place], self._odd(value[place]), *value[place + 1 :]]
        return self.chance.choice([self.chance.choice(ODD_WORDS), self.chance.choice(ODD_VALUES)])

    def _cases(self, operation: Any) -> list[Case]:
        """Some that fit the schema, or (one time in five) just do not."""
        cases: list[Case] = []
        negative = self.chance.random() < 0.2
        mode = GenerationMode.NEGATIVE if negative else GenerationMode.POSITIVE
        key = (operation.label, mode)
        if key not in self.strategies:
            self.strategies[key] = operation.as_strategy(generation_mode=mode)

        @seed(self.chance.getrandbits(64))
        @settings(
            max_examples=4,
            phases=[Phase.generate],
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(self.strategies[key])
        def collect(case: Case) -> None:
            cases.append(case)

        try:
            collect()
        except Unsatisfiable:
            return []  # there is nothing to negate
        return cases

    def _ask(self, client: httpx.Client, prefix: str, operation: Any, names: list[str], body: Any) -> None:
        path = operation.path
        for name in names:
            value = "x"
            if self.chance.random() < 0.7 and self.known.get(name):
                value = self.chance.choice(self.known[name])
            elif self.chance.random() < 0.8:
                value = self.chance.choice(ODD_WORDS) or "x"
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        query = [
            (self.chance.choice(QUERY_NAMES), self.chance.choice(ODD_WORDS))
            for _ in range(self.chance.choice([0, 0, 1, 2]))
        ]
        words = "&".join(f"{quote(name)}={quote(value)}" for name, value in query)
        url = prefix + path + (f"?{words}" if words else "")
        if body is not NOTHING and not isinstance(body, str | bytes):
            body = json.dumps(body, default=str)
        self._send(client, operation.method.upper(), url, b"" if body is NOTHING else body)

    def _send(self, client: httpx.Client, method: str, url: str, content: str | bytes) -> None:
        version = self.chance.choice(["latest", "2.1", "2.1", f"2.{self.chance.randint(1, 104)}"])
        headers = {
            **self.headers,
            "OpenStack-API-Version": f"compute {version}",
            "Content-Type": "application/json",
        }
        began = time.monotonic()
        request = f"{method} {url} (compute {version}) {content[:600]!r}"
        try:
            answer = client.request(method, url, headers=headers, content=content)
        except httpx.TimeoutException:
            self._keep("no answer", method, url, request, "")
            return
        except (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeError, ValueError):
            return  # not even a client could send it
        seconds = time.monotonic() - began
        self.asked += 1
        self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
        wrong = self._wrong(answer, seconds)
        if wrong:
            self._keep(wrong, method, url, request, f"{answer.status_code} {answer.text[:300]}")

    def _wrong(self, answer: httpx.Response, seconds: float) -> str:
        if answer.status_code >= 500 and answer.status_code != 501:
            return str(answer.status_code)
        if seconds > self.slowest:
            return f"{seconds:.1f} s"
        if "x-openstack-request-id" not in answer.headers:
            return "no request id"
        if answer.status_code >= STATUSES_THAT_ARE_NO_FAULT and answer.request.method != "HEAD":
            try:
                body = answer.json()
            except ValueError:
                return "a fault that is not JSON"
            if "Traceback" in answer.text or not isinstance(body, dict) or not body:
                return "a fault that tells nothing, or too much"
        return ""

    def _keep(self, what: str, method: str, url: str, request: str, answer: str) -> None:
        where = f"{method} {url.partition('?')[0]}"
        key = f"{what} {method} {'/'.join(part[:12] for part in where.split('/')[:5])}"
        self.found.setdefault(key, Found(what, where, request, answer))
